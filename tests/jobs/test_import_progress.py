"""A running import shows its progress, and can be cancelled."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from connections.audit import log
from connections.jobs import import_job, runs
from connections.json_format.issues import Issue
from connections.models import ConnectionAuth, ImportChunk, ImportRun
from tests.support.helpers import SECRET, text_of, user_with
from tests.support.import_form import upload
from tests.support.import_runs import confirmed, entries, page_of, progress

# Progress


def test_a_background_command_prints_only_the_audit_log(
    run, capfd, django_capture_on_commit_callbacks
):
    try:
        with django_capture_on_commit_callbacks(execute=True):
            call_command("import_connections", "--run", str(run.pk), *runs.QUIET_ARGS)
    finally:
        log.log_to(sys.stderr)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["action"], line["result"]) for line in lines] == [
        ("import", "started"),
        ("import", "done"),
    ]


@pytest.fixture
def watch(client, run, small_batches, monkeypatch):
    """Execute the run, and look whenever it notes its progress; returns what was seen."""

    def execute(look):
        seen = []
        note = import_job.ImportProgress.__call__

        def note_and_look(self, done, total):
            note(self, done, total)
            seen.append(look(client, run))

        monkeypatch.setattr(import_job.ImportProgress, "__call__", note_and_look)
        import_job.execute(run.pk)
        return seen

    return execute


def test_progress_moves_and_holds_no_secret(client, run, watch):
    assert progress(client, run)["words"]["count"] == "Reading the file"
    seen = watch(progress)
    done = [news["done"] for news in seen]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert {news["total"] for news in seen} == {41}
    assert seen[-1]["words"]["created"] == "40"
    assert seen[0]["refused"] == []
    assert [issue["record"] for issue in seen[-1]["refused"]] == ["40"]
    assert progress(client, run)["state"] == "done"
    assert SECRET not in json.dumps(seen)
    assert "Imported, with refusals" in text_of(client.get(page_of(run)))


def test_a_page_halfway_shows_what_is_done(watch):
    pages = watch(lambda client, run: client.get(page_of(run)))
    assert "8 of 41 records" in text_of(pages[1])
    assert "20 %" not in text_of(pages[0])
    assert all(SECRET not in page.content.decode() for page in pages)


def test_a_silent_run_shows_no_time_left(client, run):
    now = timezone.now()
    result = {**import_job.ImportReport().partial_result(2), "created": 20}
    for silent, pace in (
        (1, "about 3 s left, 10 records a second"),
        (12, "10 records a second, no news for 12 s"),
    ):
        ImportRun.objects.update(
            done=20, total=40, result=result, heartbeat_at=now - timedelta(seconds=silent)
        )
        with time_machine.travel(now, tick=False):
            assert progress(client, run)["words"]["pace"] == pace


def test_refusals_so_far_have_a_place_and_no_value(client, run):
    issue = Issue("wrong_type.text", "auth.token", record=7, line=8)
    result = {**import_job.ImportReport().partial_result(1), "issues": [issue.as_stored()]}
    ImportRun.objects.filter(pk=run.pk).update(result=result)
    assert progress(client, run)["refused"] == [
        {
            "record": "7",
            "place": "line 8 auth.token",
            "code": "wrong_type",
            "message": "Text belongs here.",
        }
    ]
    assert "Refused so far" in text_of(client.get(page_of(run)))


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
    add = import_job.ImportReport.add

    def cancel_at_ten(self, verdict):
        add(self, verdict)
        if sum(self.action_counts.values()) == 10:
            client.post(page_of(run), {"cancel": "1"})

    monkeypatch.setattr(import_job.ImportReport, "add", cancel_at_ten)
    result = import_job.execute(run.pk)
    assert (result.cancelled, result.created) == (True, 16)
    assert ConnectionAuth.objects.count() == 16
    run.refresh_from_db()
    assert (run.status, run.result["created"], run.total) == ("cancelled", 16, 41)
    assert not ImportChunk.objects.exists()
    page = text_of(client.get(page_of(run)))
    assert "Import cancelled" in page
    assert "16 of 41 records" in page


def test_cancelled_before_it_is_claimed(client, run):
    client.post(page_of(run), {"cancel": "1"})
    assert "Stopping" in text_of(client.get(page_of(run)))
    assert import_job.execute(run.pk).cancelled
    assert not ConnectionAuth.objects.exists()


def test_too_late_to_cancel(client, run):
    import_job.execute(run.pk)
    answer = client.post(page_of(run), {"cancel": "1"})
    assert "Imported" in text_of(answer)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere it can be cancelled")
def test_all_or_nothing_on_sqlite_can_not_be_cancelled(client, launched):
    run = confirmed(client, atomic="1")
    client.post(page_of(run), {"cancel": "1"})
    page = text_of(client.get(page_of(run)))
    assert "neither watched nor cancelled" in page
    assert import_job.execute(run.pk).error.code == "nothing_stored"
    run.refresh_from_db()
    assert run.status == "failed"


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite lets nobody else write")
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_all_or_nothing_elsewhere_is_watched_and_cancelled(
    admin_client, launched, small_batches, monkeypatch
):
    run = confirmed(admin_client, atomic="1")
    seen = []
    note = import_job.ImportProgress.__call__

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

    monkeypatch.setattr(import_job.ImportProgress, "__call__", look)
    assert import_job.execute(run.pk).cancelled
    assert seen == [0, 0, 8]
    assert not ConnectionAuth.objects.exists()
    run.refresh_from_db()
    assert (run.status, run.result["skipped"]) == ("cancelled", 16)
