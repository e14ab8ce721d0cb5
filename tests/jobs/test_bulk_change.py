"""Bulk changes: previewed, confirmed, done and audited."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from connections.jobs import bulk_change, cleanup
from connections.models import AccessEvent, ChangeRun, ConnectionAuth, FormerVersion, ImportChunk
from tests.support.change_runs import choose, confirm, counts, run_of, state
from tests.support.helpers import SECRET, import_text, make

pytestmark = pytest.mark.django_db


# The preview


def test_nothing_is_changed_before_it_is_confirmed(operator, three):
    before = {name: state(record) for name, record in three.items()}
    events = AccessEvent.objects.count()
    url = choose(operator, "pause")
    content = operator.get(url).content.decode()
    assert "3 connections are chosen. Nothing is changed yet." in content
    assert counts(url) == (2, 1, {})
    assert {name: state(record) for name, record in three.items()} == before
    assert AccessEvent.objects.count() == events
    assert not FormerVersion.objects.exists()


def test_it_shows_the_first_records_and_what_they_will_be(operator, three):
    response = operator.get(choose(operator, "set_environment", value="Sandbox"))
    assert {str(record) for record in response.context["records"]} == {"A", "B"}
    assert "Set the environment: Sandbox: 2" in response.content.decode()


def test_a_value_is_asked_for_before_the_preview(operator, three):
    url = choose(operator, "set_environment")
    content = operator.get(url).content.decode()
    assert "See what would change" in content
    assert "confirm" not in content
    confirm(operator, url)
    assert run_of(url).status == "uploaded"
    assert "This field is required" in operator.post(url, {"value": " "}).content.decode()


def test_another_value_can_be_previewed(operator, three):
    url = choose(operator, "set_environment", value="Sandbox")
    assert counts(url) == (2, 1, {})
    operator.post(url, {"value": "Production"})
    assert counts(url) == (1, 2, {})
    confirm(operator, url)
    assert state(three["c"])[1] == "Production"
    assert state(three["a"])[1] is None  # absent is shown as Production, and stays absent


def test_a_discarded_change_is_deleted(operator, three):
    url = choose(operator, "pause")
    response = operator.post(url, {"discard": "1"}, follow=True)
    assert "Nothing was changed." in response.content.decode()
    assert not ChangeRun.objects.exists()
    assert not ImportChunk.objects.exists()


def test_a_preview_that_nobody_confirms_expires_after_an_hour(operator, three):
    url = choose(operator, "pause")
    ChangeRun.objects.update(created_at=timezone.now() - timedelta(hours=1, seconds=1))
    assert operator.get(url).status_code == 404
    assert not bulk_change.start(run_of(url))
    cleanup.delete_expired()
    assert not ImportChunk.objects.exists()


def test_all_that_match_a_filter_are_chosen(operator, three):
    url = choose(operator, "pause", query="?environment=Sandbox&p=1")
    confirm(operator, url)
    assert counts(url) == (1, 0, {})
    assert state(three["b"])[0] is None


def test_the_choice_stays_as_it_was_made(operator, three):
    url = choose(operator, "pause", query="?environment=Sandbox")
    make(name="Later", key=SECRET + "l", environment="Sandbox")
    confirm(operator, url)
    assert counts(url) == (1, 0, {})
    assert ConnectionAuth.objects.get(name="Later").is_paused is None


# What each action does


def test_pausing(operator, three):
    url = choose(operator, "pause")
    content = confirm(operator, url).content.decode()
    assert "Done. 3 of 3" in content
    assert [state(three[name])[0] for name in "abc"] == [True, True, True]
    assert [state(three[name])[3] for name in "abc"] == [1, 2, 2]


def test_resuming(operator, three):
    confirm(operator, choose(operator, "resume"))
    assert [state(three[name])[0] for name in "abc"] == [False, None, False]


def test_setting_the_integration(operator, three):
    url = choose(operator, "set_integration", value="hubspot")
    assert counts(url) == (3, 0, {})
    confirm(operator, url)
    assert {state(record)[2] for record in three.values()} == {"hubspot"}


@pytest.mark.parametrize("value", ["", "nowhere", "x" * 5000])
def test_an_unknown_integration_is_refused(operator, three, value):
    url = choose(operator, "set_integration", value=value)
    assert run_of(url).result is None


def test_binning(operator, three):
    confirm(operator, choose(operator, "move_to_bin", [three["a"], three["b"]]))
    binned = ConnectionAuth.all_objects.binned()
    assert {record.name for record in binned} == {"A", "B"}
    assert {record.binned_by for record in binned} == {operator.user}


def test_secrets_and_locally_changed_at_stay(operator, three):
    moment = timezone.now() - timedelta(days=3)
    ConnectionAuth.objects.update(locally_changed_at=moment, received_at=moment)
    confirm(operator, choose(operator, "set_environment", value="Sandbox"))
    record = ConnectionAuth.objects.get(name="B")
    assert record.key.reveal() == SECRET + "b"
    assert (record.locally_changed_at, record.received_at) == (moment, moment)


def test_an_import_finds_a_moved_record_without_an_id(operator, three):
    confirm(operator, choose(operator, "set_environment", [three["b"]], value="Sandbox"))
    entry = {"environment": "Sandbox", "integration_type": "xero", "auth": None}
    entry["auth"] = {"key": SECRET + "b", "name": "B"}
    result, _ = import_text([entry])
    assert (result.unchanged, result.created) == (1, 0)


# The audit log and the history


def test_few_records_have_an_audit_entry_each(operator, three):
    confirm(operator, choose(operator, "pause"))
    told = AccessEvent.objects.filter(action="change")
    assert {event.record_name for event in told} == {"B", "C"}
    assert {(event.user, *event.fields) for event in told} == {
        (operator.user.username, "is_paused")
    }


def test_many_records_have_one_audit_entry_at_the_start_and_one_at_the_end(operator, many):
    url = choose(operator, "pause")
    confirm(operator, url)
    bulk_change.execute(run_of(url).pk)
    told = AccessEvent.objects.filter(action="change").order_by("id")
    assert [(e.result, e.count) for e in told] == [("started", 250), ("done", 250)]
    assert all(event.reason.startswith("Pause") for event in told)


def test_the_page_of_a_record_shows_both(operator, three):
    confirm(operator, choose(operator, "pause"))
    address = reverse("admin:connections_connectionauth_history", args=[three["b"].pk])
    few = operator.get(address).content.decode()
    assert few.count("isPaused") == 1
    ChangeRun.objects.update(total=1000)
    many = operator.get(address).content.decode()
    assert "Changed with many others" in many
