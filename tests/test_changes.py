"""Changes of many: what one would do is shown first, then done, told of, and undone."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import DatabaseError
from django.urls import reverse
from django.utils import timezone

from connections import changes, runs
from connections.models import (
    AccessEvent,
    ChangeRun,
    ConnectionAuth,
    ImportChunk,
    Integration,
    ReplacedAuth,
    UserScope,
)

from .helpers import SECRET, import_text, latest_event, make, member_of

pytestmark = pytest.mark.django_db
LIST = reverse("admin:connections_connectionauth_changelist")


@pytest.fixture
def operator():
    return member_of("Operator")


@pytest.fixture
def three():
    """Three in use: `a` is paused, `b` and `c` are not; `c` is in Sandbox."""
    Integration.objects.create(type="xero", name="Xero")
    Integration.objects.create(type="hubspot", name="HubSpot")
    return {
        "a": make(name="A", key=SECRET, integration_id="xero", is_paused=True),
        "b": make(name="B", key=SECRET + "b", integration_id="xero"),
        "c": make(name="C", key=SECRET + "c", environment="Sandbox", is_paused=False),
    }


def choose(client, action, records=(), query="", **value):
    """The address of the page that says what an action would do."""
    chosen = [str(record.pk) for record in records] or ["x"]
    across = {} if records else {"select_across": "1"}
    posted = {"action": action, "_selected_action": chosen, **across}
    url = client.post(LIST + query, posted).url
    if value:
        client.post(url, value)
    return url


def confirm(client, url):
    return client.post(url, {"confirm": "1"}, follow=True)


def run_of(url):
    return ChangeRun.objects.get(pk=url.rstrip("/").rpartition("/")[2])


def counts(url):
    result = run_of(url).result
    return result["changed"], result["already"], result["refused"]


def state(record):
    """What of a record a change of many may touch."""
    record = ConnectionAuth.all_objects.get(pk=record.pk)
    return record.is_paused, record.environment, record.integration_id, record.version


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
    assert not ReplacedAuth.objects.exists()


def test_it_shows_the_first_records_and_what_they_will_be(operator, three):
    response = operator.get(choose(operator, "set_environment", value="Sandbox"))
    assert {str(record) for record in response.context["records"]} == {"A", "B"}
    assert "Set the environment: Sandbox: 2" in response.content.decode()


def test_it_asks_for_the_value_first(operator, three):
    url = choose(operator, "set_environment")
    content = operator.get(url).content.decode()
    assert "See what would change" in content
    assert "confirm" not in content
    confirm(operator, url)
    assert run_of(url).status == "uploaded"
    assert "This field is required" in operator.post(url, {"value": " "}).content.decode()


def test_another_value_can_be_tried_before(operator, three):
    url = choose(operator, "set_environment", value="Sandbox")
    assert counts(url) == (2, 1, {})
    operator.post(url, {"value": "Production"})
    assert counts(url) == (1, 2, {})
    confirm(operator, url)
    assert state(three["c"])[1] == "Production"
    assert state(three["a"])[1] is None  # absent is shown as Production, and stays absent


def test_changing_nothing_leaves_nothing_behind(operator, three):
    url = choose(operator, "pause")
    response = operator.post(url, {"discard": "1"}, follow=True)
    assert "Nothing was changed." in response.content.decode()
    assert not ChangeRun.objects.exists()
    assert not ImportChunk.objects.exists()


def test_a_preview_that_nobody_confirms_is_forgotten_within_the_hour(operator, three):
    url = choose(operator, "pause")
    ChangeRun.objects.update(created_at=timezone.now() - timedelta(hours=1, seconds=1))
    assert operator.get(url).status_code == 404
    assert not ImportChunk.objects.exists()


def test_what_matches_a_filter_is_all_that_is_chosen(operator, three):
    url = choose(operator, "pause", query="?environment=Sandbox&p=1")
    confirm(operator, url)
    assert counts(url) == (1, 0, {})
    assert state(three["b"])[0] is None


def test_what_would_be_chosen_is_kept_as_it_was(operator, three):
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
def test_an_integration_that_is_not_there_is_no_value(operator, three, value):
    url = choose(operator, "set_integration", value=value)
    assert run_of(url).result is None


def test_binning(operator, three):
    confirm(operator, choose(operator, "move_to_bin", [three["a"], three["b"]]))
    binned = ConnectionAuth.all_objects.binned()
    assert {record.name for record in binned} == {"A", "B"}
    assert {record.binned_by for record in binned} == {operator.user}


def test_secrets_and_when_a_credential_was_changed_stay(operator, three):
    moment = timezone.now() - timedelta(days=3)
    ConnectionAuth.objects.update(locally_changed_at=moment, received_at=moment)
    confirm(operator, choose(operator, "set_environment", value="Sandbox"))
    record = ConnectionAuth.objects.get(name="B")
    assert record.key.reveal() == SECRET + "b"
    assert (record.locally_changed_at, record.received_at) == (moment, moment)


def test_a_record_without_an_id_is_found_again_where_it_went(operator, three):
    confirm(operator, choose(operator, "set_environment", [three["b"]], value="Sandbox"))
    entry = {"environment": "Sandbox", "integration_type": "xero", "auth": None}
    entry["auth"] = {"key": SECRET + "b", "name": "B"}
    result, _ = import_text([entry])
    assert (result.unchanged, result.created) == (1, 0)


# What is refused, and why


def test_what_somebody_saved_meanwhile_is_left(operator, three):
    url = choose(operator, "set_environment", value="Staging")
    record = ConnectionAuth.objects.get(name="B")
    record.environment = "Theirs"
    record.save(update_fields=["environment"])
    content = confirm(operator, url).content.decode()
    assert counts(url) == (2, 0, {"newer": 1})
    assert "Saved by somebody else since they were chosen." in content
    assert state(record)[1] == "Theirs"


def test_what_was_binned_meanwhile_is_left(operator, three):
    url = choose(operator, "pause")
    ConnectionAuth.objects.filter(name="B").update(binned_at=timezone.now())
    confirm(operator, url)
    assert counts(url) == (1, 1, {"gone": 1})
    assert state(three["b"])[0] is None


def test_the_place_of_another_one_is_not_taken(operator):
    for environment in (None, "Sandbox"):
        make(key=SECRET, environment=environment)
    first = ConnectionAuth.objects.get(environment=None)
    url = choose(operator, "set_environment", [first], value="Sandbox")
    confirm(operator, url)
    assert counts(url) == (0, 0, {"taken": 1})
    assert state(first)[1] is None


def test_nothing_outside_the_scope_is_chosen_or_reached(three):
    limited = member_of("Operator", "limited", environments=["Sandbox", "Staging"])
    url = choose(limited, "set_environment", list(three.values()), value="Staging")
    assert run_of(url).total == 1
    assert counts(url) == (1, 0, {})
    limited.post(url, {"value": "Elsewhere"})
    assert counts(url) == (0, 0, {"outside": 1})
    assert "They would leave what you may reach." in limited.get(url).content.decode()
    confirm(limited, url)
    assert state(three["c"])[1] == "Sandbox"


def test_a_scope_that_narrows_meanwhile_is_obeyed(operator, three):
    url = choose(operator, "pause")
    UserScope.objects.create(user=operator.user, environments=["Sandbox"])
    confirm(operator, url)
    assert counts(url) == (1, 0, {"gone": 2})
    assert state(three["b"])[0] is None


def test_a_permission_that_is_taken_away_meanwhile_is_gone(operator, three):
    url = choose(operator, "pause")
    operator.user.groups.set([Group.objects.get(name="Viewer")])
    assert operator.post(url, {"confirm": "1"}).status_code == 403
    run = run_of(url)
    runs.start(run, run.options, by=lambda run: None, result=run.result | {"seconds": 0})
    changes.work(run.pk)
    assert run_of(url).result["refused"] == {"forbidden": 3}
    assert state(three["b"])[0] is None


def test_who_may_only_look_is_offered_no_action_and_has_none(three):
    viewer = member_of("Viewer")
    content = viewer.get(LIST).content.decode()
    for action in ("pause", "resume", "set_environment", "set_integration", "move_to_bin"):
        assert f'value="{action}"' not in content
        posted = {"action": action, "_selected_action": [str(three["b"].pk)]}
        viewer.post(LIST, posted)
    assert not ChangeRun.objects.exists()


def test_who_may_not_delete_may_still_pause(three):
    client = member_of("Viewer")
    codename = "change_connectionauth"
    client.user.user_permissions.add(Permission.objects.get(codename=codename))
    content = client.get(LIST).content.decode()
    assert 'value="pause"' in content
    assert 'value="move_to_bin"' not in content


@pytest.mark.parametrize("part", ["", "progress/"])
def test_a_change_is_nobody_elses_to_see(operator, three, part):
    url = choose(operator, "pause")
    assert member_of("Custodian").get(url + part).status_code == 404


def test_the_list_of_past_ones_shows_the_limited_only_their_own(operator, three):
    confirm(operator, choose(operator, "set_environment", value="Outside"))
    address = reverse("admin:connections_changes")
    assert "Set the environment: Outside" in operator.get(address).content.decode()
    limited = member_of("Operator", "limited", environments=["Sandbox"])
    assert "Outside" not in limited.get(address).content.decode()


# What is told of it


def test_few_are_told_of_by_name(operator, three):
    confirm(operator, choose(operator, "pause"))
    told = AccessEvent.objects.filter(action="change")
    assert {event.record_name for event in told} == {"B", "C"}
    assert {(event.user, *event.fields) for event in told} == {
        (operator.user.username, "is_paused")
    }


@pytest.fixture
def many(monkeypatch):
    """250 records, and batches of a hundred in the background, which the test calls."""
    for name, size in (("BATCH", 100), ("AT_ONCE", 10)):
        monkeypatch.setattr(changes, name, size)
    monkeypatch.setattr(runs, "launch", lambda run: None)
    ConnectionAuth.objects.bulk_create(ConnectionAuth(name=f"N{n:03}") for n in range(250))


def test_many_are_told_of_at_the_start_and_the_end(operator, many):
    url = choose(operator, "pause")
    confirm(operator, url)
    changes.work(run_of(url).pk)
    told = AccessEvent.objects.filter(action="change").order_by("id")
    assert [(e.result, e.count) for e in told] == [("started", 250), ("done", 250)]
    assert all(event.reason.startswith("Pause") for event in told)


def test_the_page_of_a_record_tells_of_both(operator, three):
    confirm(operator, choose(operator, "pause"))
    address = reverse("admin:connections_connectionauth_history", args=[three["b"].pk])
    few = operator.get(address).content.decode()
    assert few.count("isPaused") == 1
    ChangeRun.objects.update(total=1000)
    many = operator.get(address).content.decode()
    assert "Changed with many others" in many


# In the background


def test_many_wait_for_a_process(operator, many):
    url = choose(operator, "pause")
    content = confirm(operator, url).content.decode()
    assert "You can close this page; it goes on." in content
    assert operator.get(url + "progress/").json()["words"]["count"] == "0 / 250"
    assert changes.work(run_of(url).pk)["changed"] == 250
    assert "Done. 250 of 250" in operator.get(url).content.decode()
    assert operator.get(url + "progress/").json()["state"] == "done"
    assert not ImportChunk.objects.exists()
    assert changes.work(run_of(url).pk) is None


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
    do = changes._do_batch

    def cancel_after(run, *args):
        do(run, *args)
        operator.post(url, {"cancel": "1"})

    monkeypatch.setattr(changes, "_do_batch", cancel_after)
    changes.work(run_of(url).pk)
    assert run_of(url).status == "cancelled"
    assert ConnectionAuth.objects.filter(is_paused=True).count() == 100
    assert latest_event("change").reason.endswith("cancelled)")
    operator.post(url, {"undo": "1"})
    assert not ConnectionAuth.objects.filter(is_paused=True).exists()


def test_what_is_interrupted_goes_on_where_it_was(operator, many, monkeypatch):
    url = choose(operator, "pause")
    confirm(operator, url)
    do = changes._do_batch

    def fail_at_the_second(run, position, seconds):
        if position == 1:
            raise DatabaseError
        do(run, position, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(changes, "_do_batch", fail_at_the_second)
        with pytest.raises(DatabaseError):
            changes.work(run_of(url).pk)
    content = operator.get(url).content.decode()
    assert "The process that did it is gone." in content
    assert ConnectionAuth.objects.filter(is_paused=True).count() == 100
    operator.post(url, {"continue": "1"})
    assert changes.work(run_of(url).pk)["changed"] == 250
    assert {*ConnectionAuth.objects.values_list("version", flat=True)} == {2}


def test_what_is_interrupted_can_be_left_at_that(operator, many, monkeypatch):
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


def test_one_that_cannot_be_started_can_be_tried_again(operator, many, monkeypatch):
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


# Undoing


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("pause", {}),
        ("resume", {}),
        ("set_environment", {"value": "Staging"}),
        ("set_integration", {"value": "hubspot"}),
        ("move_to_bin", {}),
    ],
)
def test_each_can_be_undone(operator, three, action, value):
    before = {name: state(record)[:3] for name, record in three.items()}
    url = choose(operator, action, **value)
    assert 'name="undo"' in confirm(operator, url).content.decode()
    content = operator.post(url, {"undo": "1"}, follow=True).content.decode()
    assert "Undone." in content
    assert 'name="undo"' not in content
    assert {name: state(record)[:3] for name, record in three.items()} == before
    assert ConnectionAuth.objects.count() == 3


def test_what_was_changed_since_is_left(operator, three):
    url = choose(operator, "set_environment", value="Staging")
    confirm(operator, url)
    record = ConnectionAuth.objects.get(name="B")
    record.environment = "Theirs"
    record.save(update_fields=["environment"])
    content = operator.post(url, {"undo": "1"}, follow=True).content.decode()
    assert "2 put back, 1 changed since and left." in content
    assert state(record)[1] == "Theirs"


def test_undoing_reaches_no_further_than_the_scope(operator, three):
    url = choose(operator, "set_environment", value="Staging")
    confirm(operator, url)
    UserScope.objects.create(user=operator.user, environments=["Staging", "Sandbox"])
    operator.post(url, {"undo": "1"})
    assert state(three["c"])[1] == "Sandbox"
    assert state(three["a"])[1] == "Staging"  # it came from where they may not reach any more


def test_undoing_takes_back_only_what_this_one_binned(operator, three):
    confirm(operator, choose(operator, "move_to_bin", [three["a"]]))
    url = choose(operator, "move_to_bin", [three["b"]])
    confirm(operator, url)
    operator.post(url, {"undo": "1"})
    assert [record.name for record in ConnectionAuth.all_objects.binned()] == ["A"]


def test_after_a_week_it_stays(operator, three):
    url = choose(operator, "pause")
    confirm(operator, url)
    ChangeRun.objects.update(finished_at=timezone.now() - timedelta(days=7, seconds=1))
    assert 'name="undo"' not in operator.get(url).content.decode()
    operator.post(url, {"undo": "1"})
    assert state(three["b"])[0] is True


def test_a_single_one_is_put_back_by_its_former_versions(operator, three):
    confirm(operator, choose(operator, "set_environment", value="Staging"))
    versions = reverse("admin:connections_connectionauth_versions", args=[three["b"].pk])
    assert "Change of many" in operator.get(versions).content.decode()
    held = ReplacedAuth.objects.get(record=three["b"])
    operator.post(versions, {"held": str(held.pk), "version": "2"})
    assert state(three["b"])[1] is None


def test_its_pages_take_few_queries(operator, many, django_assert_max_num_queries):
    url = choose(operator, "set_environment", value="Staging")
    with django_assert_max_num_queries(12):
        operator.get(url)
    confirm(operator, url)
    with django_assert_max_num_queries(12):
        operator.get(url)
    changes.work(run_of(url).pk)
    for address in (url, reverse("admin:connections_changes")):
        with django_assert_max_num_queries(12):
            operator.get(address)
