"""An import whose process is gone is shown as interrupted, and continued or discarded."""

import os
import socket
import subprocess
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from connections.import_export import importer
from connections.jobs import chunks, cleanup, import_job, runs
from connections.lib import processes
from connections.models import ConnectionAuth, ImportChunk, ImportRun
from tests.support.helpers import text_of
from tests.support.import_runs import GONE, HISTORY, confirmed, interrupt, page_of, progress


def test_an_unclaimed_run_is_waiting(client, run):
    """With Celery: a worker is busy, or none is running."""
    assert runs.state(run) == "running"
    with time_machine.travel(run.started_at + timedelta(seconds=31)):
        answer = client.get(page_of(run))
        assert "Import waiting" in text_of(answer)
        assert "interrupted" not in text_of(answer)
        assert 'data-state="waiting"' in answer.content.decode()
        assert progress(client, run)["state"] == "waiting"
        assert "waits to be taken up" in text_of(client.get(reverse("admin:connections_import")))
        assert "Waiting" in text_of(client.get(HISTORY))
        assert import_job.execute(run.pk).created == 40
        assert progress(client, run)["state"] == "done"


def test_a_waiting_run_can_be_discarded(client, run):
    with time_machine.travel(run.started_at + timedelta(seconds=31)):
        client.post(page_of(run), {"discard": "1"})
        assert import_job.execute(run.pk) is None
    assert not ImportChunk.objects.exists()


def test_a_silent_run_whose_process_lives_is_not_interrupted(run):
    interrupt(run)
    assert runs.is_interrupted(run)
    run.process = processes.process_name()
    assert not runs.is_interrupted(run)
    run.process, run.heartbeat_at = "elsewhere 1 1", timezone.now() - timedelta(seconds=29)
    assert not runs.is_interrupted(run)


def test_a_reused_process_id_is_another_process():
    assert processes.is_alive(processes.process_name())
    assert not processes.is_alive(f"{socket.gethostname()} {os.getpid()} 1")
    assert not processes.is_alive("")


def test_a_killed_child_is_not_alive_before_it_is_waited_for():
    child = subprocess.Popen(["sleep", "60"])
    name = processes.process_name(child.pid)
    assert processes.is_alive(name)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert not processes.is_alive(name)
    child.wait()


def test_an_interrupted_run_continues(client, run, launched):
    importer.run_import([chunks.ChunkSource(run)], importer.ImportOptions())  # what it had stored
    ConnectionAuth.objects.filter(connection_id__gte="c-2").delete()
    kept = ConnectionAuth.objects.count()
    interrupt(run)
    page = text_of(client.get(page_of(run)))
    assert "Import interrupted" in page
    assert progress(client, run)["state"] == "interrupted"
    client.post(page_of(run), {"continue": "1"})
    client.post(page_of(run), {"continue": "1"})
    assert launched == [run.pk, run.pk]
    result = import_job.execute(run.pk)
    assert (result.unchanged, result.created) == (kept, 40 - kept)
    assert "Continued after an interruption" in text_of(client.get(page_of(run)))


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_was_stored_before_an_interruption_can_be_undone(client, run, is_cancelled):
    """Also if the continued import stored nothing more."""
    options = importer.ImportOptions(run_id=run.pk)
    importer.run_import([chunks.ChunkSource(run)], options)
    interrupt(run)
    client.post(page_of(run), {"continue": "1"})
    if is_cancelled:
        client.post(page_of(run), {"cancel": "1"})
    assert import_job.execute(run.pk).created == 0
    page = text_of(client.get(page_of(run)))
    assert "Undo this import" in page
    assert "In all, 40 were created and 0 updated." in page
    assert ", continued</td>" in client.get(HISTORY).content.decode()
    client.post(page_of(run), {"undo": "1"})
    assert not ConnectionAuth.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)  # another connection notes it
def test_all_or_nothing_has_stored_nothing_before_an_interruption(client, launched):
    run = confirmed(client, atomic="1")
    interrupt(run)
    client.post(page_of(run), {"continue": "1"})
    assert import_job.execute(run.pk).error.code == "nothing_stored"
    assert "Undo this import" not in text_of(client.get(page_of(run)))


def test_a_healthy_run_is_neither_continued_nor_discarded(client, run, launched):
    for button in ("continue", "discard"):
        client.post(page_of(run), {button: "1"})
    assert launched == [run.pk]
    assert ImportChunk.objects.exists()


def test_an_interrupted_run_is_discarded_and_stays_in_the_history(client, run):
    interrupt(run)
    client.post(page_of(run), {"discard": "1"})
    assert not ImportChunk.objects.exists()
    assert "Import cancelled" in text_of(client.get(page_of(run)))
    assert "Cancelled" in text_of(client.get(HISTORY))
    assert confirmed(client).status == "running"


def test_a_failed_run_is_interrupted_at_once(run, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(importer, "run_import", fail)
    with pytest.raises(RuntimeError):
        import_job.execute(run.pk)
    run.refresh_from_db()
    assert runs.is_interrupted(run)


def test_uploads_expire_after_an_hour_and_interrupted_runs_after_a_day(client, run):
    long_ago = timezone.now() - timedelta(hours=23)
    ImportRun.objects.update(created_at=long_ago, heartbeat_at=long_ago, process=GONE)
    cleanup.delete_expired()
    assert ImportChunk.objects.exists()
    ImportRun.objects.update(heartbeat_at=long_ago - timedelta(hours=2))
    cleanup.delete_expired()
    run.refresh_from_db()
    assert run.status == "cancelled"
    assert not ImportChunk.objects.exists()


def test_pages_of_a_run_write_nothing(client, run):
    """An import of all or nothing locks SQLite: a page that writes would wait for it."""
    statements = []
    with connection.execute_wrapper(
        lambda execute, sql, *rest: statements.append(sql) or execute(sql, *rest)
    ):
        for url in (page_of(run), page_of(run) + "progress/", HISTORY):
            client.get(url)
    assert not [sql for sql in statements if not sql.lstrip("(").startswith("SELECT")]
