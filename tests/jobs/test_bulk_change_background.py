"""Bulk changes in the background: cancelled, interrupted, continued."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django.utils import timezone

from connections.jobs import bulk_change, runs
from connections.models import AccessEvent, ChangeRun, ConnectionAuth, ImportChunk
from tests.support.change_runs import choose, confirm, counts, run_of, state
from tests.support.helpers import latest_event

pytestmark = pytest.mark.django_db


def test_many_wait_for_a_process(operator, many):
    url = choose(operator, "pause")
    content = confirm(operator, url).content.decode()
    assert "You can close this page; it goes on." in content
    assert operator.get(url + "progress/").json()["words"]["count"] == "0 / 250"
    assert bulk_change.execute(run_of(url).pk)["changed"] == 250
    assert "Done. 250 of 250" in operator.get(url).content.decode()
    assert operator.get(url + "progress/").json()["state"] == "done"
    assert not ImportChunk.objects.exists()
    assert bulk_change.execute(run_of(url).pk) is None


def test_the_command_does_it(operator, many, capsys):
    url = choose(operator, "pause")
    confirm(operator, url)
    call_command("change_connections", run=run_of(url).pk)
    assert "250 changed, 0 already so, 0 refused." in capsys.readouterr().out


def test_it_is_cancelled_between_batches_and_what_was_done_can_be_undone(
    operator, many, monkeypatch
):
    url = choose(operator, "pause")
    confirm(operator, url)
    do = bulk_change.execute_batch

    def cancel_after(run, *args):
        do(run, *args)
        operator.post(url, {"cancel": "1"})

    monkeypatch.setattr(bulk_change, "execute_batch", cancel_after)
    bulk_change.execute(run_of(url).pk)
    assert run_of(url).status == "cancelled"
    assert ConnectionAuth.objects.filter(is_paused=True).count() == 100
    assert latest_event("change").reason.endswith("cancelled)")
    operator.post(url, {"undo": "1"})
    assert not ConnectionAuth.objects.filter(is_paused=True).exists()


def test_an_interrupted_change_continues(operator, many, monkeypatch):
    url = choose(operator, "pause")
    confirm(operator, url)
    do = bulk_change.execute_batch

    def fail_at_the_second(run, position):
        if position == 1:
            raise DatabaseError
        do(run, position)

    with monkeypatch.context() as patch:
        patch.setattr(bulk_change, "execute_batch", fail_at_the_second)
        with pytest.raises(DatabaseError):
            bulk_change.execute(run_of(url).pk)
    content = operator.get(url).content.decode()
    assert "The process that did it is gone." in content
    assert ConnectionAuth.objects.filter(is_paused=True).count() == 100
    operator.post(url, {"continue": "1"})
    assert bulk_change.execute(run_of(url).pk)["changed"] == 250
    assert {*ConnectionAuth.objects.values_list("version", flat=True)} == {2}


def test_an_interrupted_change_can_be_ended(operator, many, monkeypatch):
    url = choose(operator, "pause")
    confirm(operator, url)
    ChangeRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    operator.post(url, {"discard": "1"})
    run = run_of(url)
    assert (run.status, run.result["changed"]) == ("cancelled", 0)
    assert not ImportChunk.objects.exists()


def test_a_second_one_waits_for_the_first(operator, many):
    first, second = choose(operator, "pause"), choose(operator, "resume")
    confirm(operator, first)
    content = confirm(operator, second).content.decode()
    assert "One at a time" in content
    assert run_of(second).status == "uploaded"


def test_a_change_that_can_not_be_started_can_be_tried_again(operator, many, monkeypatch):
    def fail(run):
        raise runs.CannotStart

    monkeypatch.setattr(runs, "launch", fail)
    url = choose(operator, "pause")
    content = confirm(operator, url).content.decode()
    assert "could not be started" in content
    assert (run_of(url).status, counts(url)) == ("uploaded", (250, 0, {}))


def test_confirming_twice_does_it_once(operator, three):
    url = choose(operator, "pause")
    confirm(operator, url)
    confirm(operator, url)
    assert state(three["b"])[3] == 2
    assert AccessEvent.objects.filter(action="change").count() == 2
