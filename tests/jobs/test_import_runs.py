"""Imports confirmed in the browser: each is done by one process, and is in the history."""

import json
import subprocess
import sys

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from connections.import_export import importer
from connections.jobs import import_job
from connections.models import ConnectionAuth, ImportChunk, ImportRun
from tests.support.helpers import text_of, user_with
from tests.support.import_form import upload
from tests.support.import_runs import HISTORY, confirmed, entries, page_of

# Which process does it


def test_a_confirmation_stores_nothing_itself(client, run, launched):
    assert launched == [run.pk]
    assert (run.status, run.process, run.options["on_conflict"]) == ("running", "", "update")
    assert not ConnectionAuth.objects.exists()
    assert "Importing" in text_of(client.get(page_of(run)))


def test_a_second_confirmation_starts_nothing(client, run, launched):
    client.post(page_of(run), {})
    assert not import_job.confirm(run, importer.ImportOptions())
    assert launched == [run.pk]


def test_one_process_does_a_run(run):
    assert import_job.execute(run.pk).created == 40
    assert import_job.execute(run.pk) is None


def test_a_process_that_has_lost_its_run_stops(run, small_batches, monkeypatch):
    def lose(self, verdict):
        ImportRun.objects.update(process="somebody else")

    monkeypatch.setattr(import_job.ImportReport, "add", lose)
    assert import_job.execute(run.pk).cancelled
    run.refresh_from_db()
    assert (run.status, run.process) == ("running", "somebody else")
    assert ImportChunk.objects.exists()


def test_a_person_has_one_import_at_a_time(client, run, launched):
    url = upload(client, entries(1)).url
    answer = client.post(url, {"on_conflict": "skip"}, follow=True)
    assert "An import of yours is under way" in text_of(answer)
    assert f'href="{page_of(run)}"' in answer.content.decode()
    assert answer.context["options"].on_conflict == "skip"
    assert launched == [run.pk]
    assert "under way" in text_of(client.get(reverse("admin:connections_import")))
    other = user_with("import_connections", "add_connectionauth")
    assert confirmed(other).status == "running"
    assert len(launched) == 2


def test_the_database_allows_one_running_import_a_user(run):
    twin = ImportRun(user=run.user, size=1, status="running", heartbeat_at=timezone.now())
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save()


def test_the_command_that_is_started_holds_no_secret(client, monkeypatch):
    started = []

    class Process:
        def __init__(self, arguments, **settings):
            started.append((arguments, settings))

        def wait(self):
            pass

    monkeypatch.setattr(subprocess, "Popen", Process)
    run = confirmed(client)
    ((arguments, settings),) = started
    assert arguments[1:5] == ["manage.py", "import_connections", "--run", str(run.pk)]
    assert "env" not in settings  # the server's own
    assert settings["start_new_session"]


def test_an_upload_stays_if_no_process_can_be_started(client, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("out of memory")

    monkeypatch.setattr(subprocess, "Popen", fail)
    run = confirmed(client)
    assert run.status == "uploaded"
    assert "could not be started" in text_of(client.get(page_of(run)))


def test_the_permissions_of_the_moment_count(db, launched):
    client = user_with("import_connections", "add_connectionauth")
    run = confirmed(client)
    run.user.user_permissions.clear()
    assert import_job.execute(run.pk).created == 0


def test_celery_does_it_where_there_is_a_broker(client, settings):
    settings.CELERY_BROKER_URL = "memory://"
    from project.celery import app

    app.conf.broker_url = "memory://"
    app.loader.import_default_modules()  # as a worker does
    run = confirmed(client)
    assert run.status == "running"
    with app.connection() as connection, connection.SimpleQueue("celery") as queue:
        message = queue.get(timeout=10)
    arguments, *_ = message.payload
    assert arguments == [str(run.pk)]
    app.tasks[message.headers["task"]].apply(arguments).get()
    run.refresh_from_db()
    assert run.status == "done"
    assert ConnectionAuth.objects.count() == 40


def test_celery_is_not_loaded_without_a_broker():
    code = "import sys, django; django.setup(); "
    code += "import connections.jobs.runs, connections.console.site; "
    code += "print('celery' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


# The command


def test_the_command_takes_files_or_a_run(run, tmp_path):
    for arguments in ((), ("x.json", "--run", str(run.pk))):
        with pytest.raises(CommandError) as refused:
            call_command("import_connections", *arguments)
        assert refused.value.returncode == 2


def test_the_command_executes_a_run_and_prints_its_result(run, capsys):
    with pytest.raises(SystemExit):  # one was refused
        call_command("import_connections", "--run", str(run.pk), "--json", "--jobs", "1")
    assert json.loads(capsys.readouterr().out)["created"] == 40
    with pytest.raises(CommandError, match="waits"):
        call_command("import_connections", "--run", str(run.pk))


# The history


def test_the_history_says_who_imported_what(client, run):
    import_job.execute(run.pk)
    other = user_with("import_connections", "add_connectionauth", name="grace")
    theirs = confirmed(other)
    import_job.execute(theirs.pk)
    upload(client, entries(1), name="not-confirmed.json")
    content = client.get(HISTORY).content.decode()
    assert "grace" in content
    assert run.sha256 in content
    assert f'href="{page_of(run)}"' in content
    assert f'href="{page_of(theirs)}"' not in content
    assert "not-confirmed" not in content
    assert user_with("view_connectionauth", name="v").get(HISTORY).status_code == 403


def test_the_history_has_pages_and_few_queries(client, run, django_assert_max_num_queries):
    made = [
        ImportRun(
            user=User.objects.create(username=f"u{n}"),
            size=1,
            status="done",
            started_at=timezone.now(),
            file_name=f"old-{n}.json",
            result={"created": n},
        )
        for n in range(60)
    ]
    ImportRun.objects.bulk_create(made)
    with django_assert_max_num_queries(12):
        first = client.get(HISTORY)
    assert first.content.decode().count("old-") == 50
    assert "61 imports" in text_of(first)
    assert client.get(HISTORY, {"page": "2"}).content.decode().count("old-") >= 10
