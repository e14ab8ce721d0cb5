"""What has expired is neither shown nor used, and a cleanup deletes it."""

import json
import sys
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from connections.audit import log
from connections.import_export import importer
from connections.jobs import cleanup, import_job, runs
from connections.models import ConnectionAuth, FormerVersion, ImportChunk, ImportRun
from connections.records import recycle_bin
from tests.support.helpers import SECRET, make
from tests.support.import_form import upload
from tests.support.import_runs import GONE, entries, page_of

pytestmark = pytest.mark.django_db
INDEX = reverse("admin:index")


@pytest.fixture
def started(monkeypatch):
    """The commands that were started; none is run."""
    commands = []
    monkeypatch.setattr(runs, "start_command", lambda *arguments: commands.append(arguments))
    return commands


@pytest.fixture
def old_upload(client):
    upload(client, entries(1))
    ImportRun.objects.update(created_at=timezone.now() - ImportRun.UPLOAD_RETENTION)
    return ImportRun.objects.get()


def binned_long_ago(**fields):
    return make(key=SECRET, binned_at=timezone.now() - recycle_bin.RETENTION, **fields)


def test_the_dashboard_starts_it_once_where_something_has_expired(client, started):
    client.get(INDEX)
    assert started == []
    binned_long_ago()
    client.get(INDEX)
    client.get(INDEX)
    assert started == [("cleanup",)]


def test_no_other_page_starts_it(client, started, old_upload):
    for name in ("bin", "import", "import_history", "changes"):
        client.get(reverse(f"admin:connections_{name}"))
    assert started == []


def test_the_dashboard_shows_where_it_can_not_be_started(client, monkeypatch):
    def fail(*arguments):
        raise runs.CannotStart

    monkeypatch.setattr(runs, "start_command", fail)
    binned_long_ago()
    assert client.get(INDEX).status_code == 200


def test_the_dashboard_shows_where_the_cache_is_down(client, started, monkeypatch):
    def fail(*arguments):
        raise ConnectionError

    monkeypatch.setattr(cleanup.cache, "add", fail)
    binned_long_ago()
    assert client.get(INDEX).status_code == 200 and started == []


def test_an_upload_that_expired_can_not_be_confirmed(client, old_upload):
    assert client.get(page_of(old_upload)).status_code == 404
    assert client.post(page_of(old_upload), {}).status_code == 404
    assert not import_job.confirm(old_upload, importer.ImportOptions())
    cleanup.delete_expired()
    assert not ImportRun.objects.exists()
    assert not ImportChunk.objects.exists()


def test_an_import_does_not_bring_back_what_expired_in_the_bin(client, launched):
    old = binned_long_ago(connection_id="c-0")
    client.post(upload(client, entries(1)).url, {})
    import_job.execute(launched[0])
    assert ConnectionAuth.all_objects.get().pk != old.pk


def test_the_command_counts_what_it_deletes(client, old_upload, capsys):
    binned_long_ago()
    record = make(name="In use")
    for age in (timedelta(0), FormerVersion.RETENTION):
        replaced_at = timezone.now() - age
        FormerVersion.objects.create(
            record=record, version=1, fields=[], content={}, replaced_at=replaced_at
        )
    silent = timezone.now() - ImportRun.INTERRUPTED_RETENTION
    ImportRun.objects.create(
        status="running", size=0, started_at=silent, heartbeat_at=silent, process=GONE
    )
    call_command("cleanup", "--json")
    counts = {"purged": 1, "former_versions": 1, "uploads": 1, "ended": 1}
    assert json.loads(capsys.readouterr().out) == counts
    call_command("cleanup")
    said = "Deleted: 0 from the bin, 0 former versions, 0 uploads. Ended: 0 interrupted runs.\n"
    assert capsys.readouterr().out == said


def test_in_the_background_only_the_audit_log_goes_to_the_output_of_the_server(
    capsys, monkeypatch
):
    streams = []
    monkeypatch.setattr(log, "log_to", streams.append)
    binned_long_ago()
    call_command("cleanup", "--verbosity", "0")
    assert streams == [sys.stdout]
    assert capsys.readouterr().out == ""
    assert not ConnectionAuth.all_objects.exists()
