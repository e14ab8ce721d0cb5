"""Imports confirmed in the browser: one process does each, and says how far it is."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, connections, transaction
from django.urls import reverse
from django.utils import timezone

from connections import alive, audit, importing, reader, runs
from connections.models import ConnectionAuth, ImportChunk, ImportRun

from .helpers import SECRET, user_with
from .test_import_page import text_of, upload

Status = ImportRun.Status
HISTORY = reverse("admin:connections_import_history")
GONE = f"{socket.gethostname()} 999999999 1"


def entries(count):
    return [
        {"id": f"c-{n}", "integrationType": "hubspot", "auth": {"key": f"{SECRET}-{n}"}}
        for n in range(count)
    ]


@pytest.fixture
def client(db, admin_client):
    return admin_client


@pytest.fixture
def launched(monkeypatch):
    """The runs that a process would have been started for; none is."""
    found = []
    monkeypatch.setattr(runs, "launch", lambda run: found.append(run.pk))
    return found


@pytest.fixture
def run(client, launched):
    """A confirmed import of 40 records and a refusal, which waits for its process."""
    return confirmed(client)


def confirmed(client, **choices):
    url = upload(client, [*entries(40), {"token": 1}]).url
    client.post(url, choices)
    return ImportRun.objects.latest("created_at")


def page_of(run):
    return reverse("admin:connections_import_run", args=[run.pk])


def progress(client, run):
    return client.get(page_of(run) + "progress/").json()


def interrupt(run):
    """As after a kill, when nothing was heard for a while."""
    ImportRun.objects.filter(pk=run.pk).update(
        process=GONE, heartbeat_at=timezone.now() - timedelta(seconds=31)
    )
    run.refresh_from_db()


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of a few records, and a note after each."""
    monkeypatch.setattr(reader, "PIECE_ENTRIES", 8)
    monkeypatch.setattr(importing, "TOGETHER", 1)
    monkeypatch.setattr(runs, "PAUSE", 0)


# Who does it


def test_a_confirmation_stores_nothing_itself(client, run, launched):
    assert launched == [run.pk]
    assert (run.status, run.process, run.options["on_conflict"]) == ("running", "", "update")
    assert not ConnectionAuth.objects.exists()
    assert "Importing" in text_of(client.get(page_of(run)))


def test_a_second_confirmation_starts_nothing(client, run, launched):
    client.post(page_of(run), {})
    assert not runs.confirm(run, importing.Options())
    assert launched == [run.pk]


def test_one_process_does_a_run(run):
    assert runs.work(run.pk).created == 40
    assert runs.work(run.pk) is None


def test_a_process_that_lost_its_run_stops_and_leaves_it_alone(run, small_batches, monkeypatch):
    def lose(self, verdict):
        ImportRun.objects.update(process="somebody else")

    monkeypatch.setattr(runs.Report, "add", lose)
    assert runs.work(run.pk).cancelled
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


def test_the_database_sees_to_it_that_it_is_one(run):
    twin = ImportRun(user=run.user, size=1, status="running", heartbeat_at=timezone.now())
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save()


def test_what_is_started_holds_no_secret(client, monkeypatch):
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


def test_where_no_process_can_be_started_the_upload_waits_on(client, monkeypatch):
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
    assert runs.work(run.pk).created == 0


def test_celery_does_it_where_there_is_a_broker(client, settings):
    settings.CELERY_BROKER_URL = "memory://"
    from project.celery import app

    app.conf.task_always_eager = True
    try:
        run = confirmed(client)
    finally:
        app.conf.task_always_eager = False
    assert run.status == "done"
    assert ConnectionAuth.objects.count() == 40


def test_celery_is_not_loaded_without_a_broker():
    code = "import sys, django; django.setup(); import connections.runs, connections.site; "
    code += "print('celery' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


# The command's side


def test_the_command_takes_files_or_a_run(run, tmp_path):
    for arguments in ((), ("x.json", "--run", str(run.pk))):
        with pytest.raises(CommandError) as refused:
            call_command("import_connections", *arguments)
        assert refused.value.returncode == 2


def test_the_command_does_a_run_and_says_what_came_of_it(run, capsys):
    with pytest.raises(SystemExit):  # one was refused
        call_command("import_connections", "--run", str(run.pk), "--json", "--jobs", "1")
    assert json.loads(capsys.readouterr().out)["created"] == 40
    with pytest.raises(CommandError, match="waits"):
        call_command("import_connections", "--run", str(run.pk))


# How far it is


def test_what_the_server_starts_says_the_lines_of_the_log_alone(
    run, capfd, django_capture_on_commit_callbacks
):
    try:
        with django_capture_on_commit_callbacks(execute=True):
            call_command("import_connections", "--run", str(run.pk), *runs.LOG_ALONE)
    finally:
        audit.log_to(sys.stderr)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["action"], line["result"]) for line in lines] == [
        ("import", "started"),
        ("import", "done"),
    ]


def test_progress_moves_and_holds_no_secret(client, run, small_batches, monkeypatch):
    seen = []
    note = runs._Progress.__call__

    def look(self, done, total):
        note(self, done, total)
        seen.append(progress(client, run))

    monkeypatch.setattr(runs._Progress, "__call__", look)
    assert progress(client, run)["words"]["count"] == "Reading the file"
    runs.work(run.pk)
    done = [news["done"] for news in seen]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert {news["total"] for news in seen} == {41}
    assert seen[-1]["words"]["created"] == "40"
    assert progress(client, run)["state"] == "done"
    assert SECRET not in json.dumps(seen)
    assert "Imported, with refusals" in text_of(client.get(page_of(run)))


def test_a_page_halfway_shows_what_is_done(client, run, small_batches, monkeypatch):
    pages = []
    note = runs._Progress.__call__

    def look(self, done, total):
        note(self, done, total)
        pages.append(client.get(page_of(run)))

    monkeypatch.setattr(runs._Progress, "__call__", look)
    runs.work(run.pk)
    assert "8 of 41 records" in text_of(pages[1])
    assert "20 %" not in text_of(pages[0])
    assert all(SECRET not in page.content.decode() for page in pages)


def test_what_was_refused_so_far_is_told_with_the_place_and_without_the_value(client, run):
    issue = {"record": 7, "line": 8, "path": "auth.token", "code": "wrong_type", "message": "No."}
    result = {**runs.Report().so_far(1), "issues": [issue]}
    ImportRun.objects.filter(pk=run.pk).update(result=result)
    assert progress(client, run)["refused"] == [
        {"record": "7", "place": "line 8 auth.token", "code": "wrong_type", "message": "No."}
    ]
    assert "Refused so far" in text_of(client.get(page_of(run)))


def test_the_newest_refusals_are_told_while_it_goes_on(client, run, small_batches, monkeypatch):
    seen = []
    note = runs._Progress.__call__

    def look(self, done, total):
        note(self, done, total)
        seen.append(progress(client, run)["refused"])

    monkeypatch.setattr(runs._Progress, "__call__", look)
    runs.work(run.pk)
    assert seen[0] == []
    assert [issue["record"] for issue in seen[-1]] == ["40"]
    assert SECRET not in json.dumps(seen)


def test_only_its_owner_sees_a_run(client, run):
    for suffix in ("", "progress/", "report/"):
        other = user_with("import_connections", name=f"u{suffix}x")
        assert other.get(page_of(run) + suffix).status_code == 404
        assert user_with(name=f"n{suffix}x").get(page_of(run) + suffix).status_code == 403
    for button in ("cancel", "continue", "discard"):
        assert other.post(page_of(run), {button: "1"}).status_code == 404


def test_an_upload_has_no_progress_yet(client, launched):
    url = upload(client, entries(1)).url
    assert client.get(url + "progress/").status_code == 404


@pytest.mark.browser
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_refusals_appear_in_the_browser_as_they_come(page, live_server, run, client):
    """The page of a run that waits for its process, and made-up answers to what it asks."""
    news = progress(client, run)
    markup = "<b>No</b>"
    page.route("**/progress/", lambda route: route.fulfill(json=news))
    session = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page.goto(live_server.url + page_of(run))
    table = page.get_by_role("table")
    assert not table.is_visible()
    for record in ("7", "8"):
        news["refused"].insert(
            0, {"record": record, "place": "token", "code": "wrong_type", "message": markup}
        )
        page.get_by_role("cell", name=record, exact=True).wait_for()
    assert table.get_by_text(markup).count() == 2
    assert table.locator("tbody tr").filter(visible=True).count() == 2
    assert table.locator("tbody td[data-label=Why]").first.inner_text() == markup
    news["refused"].clear()
    table.wait_for(state="hidden")


# Cancelled


def test_cancelled_between_batches(client, run, small_batches, monkeypatch):
    add = runs.Report.add

    def cancel_at_ten(self, verdict):
        add(self, verdict)
        if sum(self.actions.values()) == 10:
            client.post(page_of(run), {"cancel": "1"})

    monkeypatch.setattr(runs.Report, "add", cancel_at_ten)
    result = runs.work(run.pk)
    assert (result.cancelled, result.created) == (True, 16)
    assert ConnectionAuth.objects.count() == 16
    run.refresh_from_db()
    assert (run.status, run.result["created"], run.total) == ("cancelled", 16, 41)
    assert not ImportChunk.objects.exists()
    page = text_of(client.get(page_of(run)))
    assert "Import cancelled" in page
    assert "16 of 41 records" in page


def test_cancelled_before_it_began(client, run):
    client.post(page_of(run), {"cancel": "1"})
    assert "Stopping" in text_of(client.get(page_of(run)))
    assert runs.work(run.pk).cancelled
    assert not ConnectionAuth.objects.exists()


def test_too_late_to_cancel(client, run):
    runs.work(run.pk)
    answer = client.post(page_of(run), {"cancel": "1"})
    assert "Imported" in text_of(answer)


@pytest.mark.skipif("connection.vendor != 'sqlite'")
def test_all_or_nothing_on_sqlite_can_not_be_cancelled(client, launched):
    run = confirmed(client, atomic="1")
    client.post(page_of(run), {"cancel": "1"})
    page = text_of(client.get(page_of(run)))
    assert "neither watched nor cancelled" in page
    assert runs.work(run.pk).error["code"] == "nothing_stored"
    run.refresh_from_db()
    assert run.status == "failed"


@pytest.mark.skipif("connection.vendor == 'sqlite'")
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_all_or_nothing_elsewhere_is_watched_and_cancelled(
    admin_client, launched, small_batches, monkeypatch
):
    run = confirmed(admin_client, atomic="1")
    seen = []
    note = runs._Progress.__call__

    def look(self, done, total):
        with ThreadPoolExecutor(1) as elsewhere:  # that is, on another connection
            seen.append(elsewhere.submit(from_outside, done).result())
        note(self, done, total)

    def from_outside(done):
        try:
            if done >= 16:
                admin_client.post(page_of(run), {"cancel": "1"})
            return progress(admin_client, run)["done"]
        finally:
            connections.close_all()

    monkeypatch.setattr(runs._Progress, "__call__", look)
    assert runs.work(run.pk).cancelled
    assert seen == [0, 0, 8]
    assert not ConnectionAuth.objects.exists()
    run.refresh_from_db()
    assert (run.status, run.result["skipped"]) == ("cancelled", 16)


# Interrupted


def test_what_nobody_has_taken_up_waits(client, run):
    """With Celery: a worker is busy, or there is none."""
    assert not run.is_waiting
    with time_machine.travel(run.started_at + timedelta(seconds=31)):
        answer = client.get(page_of(run))
        assert "Import waiting" in text_of(answer)
        assert "interrupted" not in text_of(answer)
        assert 'data-state="waiting"' in answer.content.decode()
        assert progress(client, run)["state"] == "waiting"
        assert "waits to be taken up" in text_of(client.get(reverse("admin:connections_import")))
        assert "Waiting" in text_of(client.get(HISTORY))
        assert runs.work(run.pk).created == 40
        assert progress(client, run)["state"] == "done"


def test_what_waits_can_be_discarded(client, run):
    with time_machine.travel(run.started_at + timedelta(seconds=31)):
        client.post(page_of(run), {"discard": "1"})
        assert runs.work(run.pk) is None
    assert not ImportChunk.objects.exists()


def test_silent_but_alive_is_not_interrupted(run):
    interrupt(run)
    assert run.is_interrupted
    run.process = alive.this_process()
    assert not run.is_interrupted
    run.process, run.heartbeat_at = "elsewhere 1 1", timezone.now() - timedelta(seconds=29)
    assert not run.is_interrupted


def test_a_number_that_another_process_has_now_is_not_it():
    assert alive.is_alive(alive.this_process())
    assert not alive.is_alive(f"{socket.gethostname()} {os.getpid()} 1")
    assert not alive.is_alive("")


def test_a_killed_child_is_gone_though_nobody_waited_for_it():
    child = subprocess.Popen(["sleep", "60"])
    name = f"{socket.gethostname()} {child.pid} {alive._began(child.pid)}"
    assert alive.is_alive(name)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert not alive.is_alive(name)
    child.wait()


def test_an_interrupted_run_goes_on(client, run, launched):
    importing.run([runs.StoredUpload(run)], importing.Options())  # what it had stored
    ConnectionAuth.objects.filter(connection_id__gte="c-2").delete()
    kept = ConnectionAuth.objects.count()
    interrupt(run)
    page = text_of(client.get(page_of(run)))
    assert "Import interrupted" in page
    assert progress(client, run)["state"] == "interrupted"
    client.post(page_of(run), {"continue": "1"})
    client.post(page_of(run), {"continue": "1"})
    assert launched == [run.pk, run.pk]
    result = runs.work(run.pk)
    assert (result.unchanged, result.created) == (kept, 40 - kept)
    assert "Continued after an interruption" in text_of(client.get(page_of(run)))


def test_a_run_that_is_well_is_not_continued_or_discarded(client, run, launched):
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


def test_what_goes_wrong_shows_as_interrupted_at_once(run, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(importing, "run", fail)
    with pytest.raises(RuntimeError):
        runs.work(run.pk)
    run.refresh_from_db()
    assert run.is_interrupted


def test_an_hour_is_for_uploads_and_a_day_for_what_was_interrupted(client, run):
    long_ago = timezone.now() - timedelta(hours=23)
    ImportRun.objects.update(created_at=long_ago, heartbeat_at=long_ago, process=GONE)
    client.get(HISTORY)
    assert ImportChunk.objects.exists()
    ImportRun.objects.update(heartbeat_at=long_ago - timedelta(hours=2))
    client.get(HISTORY)
    run.refresh_from_db()
    assert run.status == "cancelled"
    assert not ImportChunk.objects.exists()


def test_a_look_writes_nothing(client, run):
    """So that no page waits where all or nothing keeps the database to itself."""
    statements = []
    with connection.execute_wrapper(
        lambda execute, sql, *rest: statements.append(sql) or execute(sql, *rest)
    ):
        for url in (page_of(run), page_of(run) + "progress/", HISTORY):
            client.get(url)
    assert not [sql for sql in statements if not sql.lstrip("(").startswith("SELECT")]


# The history


def test_the_history_says_who_imported_what(client, run):
    runs.work(run.pk)
    other = user_with("import_connections", "add_connectionauth", name="grace")
    theirs = confirmed(other)
    runs.work(theirs.pk)
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
