"""Bulk changes can be undone for a week."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from connections.jobs import bulk_change
from connections.models import ChangeRun, ConnectionAuth, FormerVersion, UserScope
from tests.support.change_runs import choose, confirm, run_of, state

pytestmark = pytest.mark.django_db


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
def test_each_action_can_be_undone(operator, three, action, value):
    before = {name: state(record)[:3] for name, record in three.items()}
    url = choose(operator, action, **value)
    assert 'name="undo"' in confirm(operator, url).content.decode()
    content = operator.post(url, {"undo": "1"}, follow=True).content.decode()
    assert "Undone." in content
    assert 'name="undo"' not in content
    assert {name: state(record)[:3] for name, record in three.items()} == before
    assert ConnectionAuth.objects.count() == 3


def test_a_record_that_was_changed_since_is_left(operator, three):
    url = choose(operator, "set_environment", value="Staging")
    confirm(operator, url)
    record = ConnectionAuth.objects.get(name="B")
    record.environment = "Theirs"
    record.save_version(["environment"])
    content = operator.post(url, {"undo": "1"}, follow=True).content.decode()
    assert "2 put back, 1 changed since and left." in content
    assert state(record)[1] == "Theirs"


def test_undoing_stays_in_scope(operator, three):
    url = choose(operator, "set_environment", value="Staging")
    confirm(operator, url)
    UserScope.objects.create(user=operator.user, environments=["Staging", "Sandbox"])
    operator.post(url, {"undo": "1"})
    assert state(three["c"])[1] == "Sandbox"
    assert state(three["a"])[1] == "Staging"  # it came from where they may not reach any more


def test_undoing_restores_only_what_this_change_binned(operator, three):
    confirm(operator, choose(operator, "move_to_bin", [three["a"]]))
    url = choose(operator, "move_to_bin", [three["b"]])
    confirm(operator, url)
    operator.post(url, {"undo": "1"})
    assert [record.name for record in ConnectionAuth.all_objects.binned()] == ["A"]


def test_after_a_week_it_can_not_be_undone(operator, three):
    url = choose(operator, "pause")
    confirm(operator, url)
    ChangeRun.objects.update(finished_at=timezone.now() - timedelta(days=7, seconds=1))
    assert 'name="undo"' not in operator.get(url).content.decode()
    operator.post(url, {"undo": "1"})
    assert state(three["b"])[0] is True


def test_a_single_record_is_restored_from_its_former_versions(operator, three):
    confirm(operator, choose(operator, "set_environment", value="Staging"))
    versions = reverse("admin:connections_connectionauth_versions", args=[three["b"].pk])
    assert "Change of many" in operator.get(versions).content.decode()
    held = FormerVersion.objects.get(record=three["b"])
    operator.post(versions, {"former_version": str(held.pk), "version": "2"})
    assert state(three["b"])[1] is None


def test_its_pages_take_few_queries(operator, many, django_assert_max_num_queries):
    url = choose(operator, "set_environment", value="Staging")
    with django_assert_max_num_queries(12):
        operator.get(url)
    confirm(operator, url)
    with django_assert_max_num_queries(12):
        operator.get(url)
    bulk_change.execute(run_of(url).pk)
    for address in (url, reverse("admin:connections_changes")):
        with django_assert_max_num_queries(12):
            operator.get(address)
