"""Bulk changes refuse records that were saved meanwhile or are out of scope."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone

from connections.jobs import bulk_change, runs
from connections.models import ChangeRun, ConnectionAuth, UserScope
from tests.support.change_runs import LIST, choose, confirm, counts, run_of, state
from tests.support.helpers import SECRET, make, member_of

pytestmark = pytest.mark.django_db


def test_a_record_that_was_saved_meanwhile_is_refused(operator, three):
    url = choose(operator, "set_environment", value="Staging")
    record = ConnectionAuth.objects.get(name="B")
    record.environment = "Theirs"
    record.save_version(["environment"])
    content = confirm(operator, url).content.decode()
    assert counts(url) == (2, 0, {"newer": 1})
    assert "Saved by somebody else since they were chosen." in content
    assert state(record)[1] == "Theirs"


def test_a_record_that_was_binned_meanwhile_is_refused(operator, three):
    url = choose(operator, "pause")
    ConnectionAuth.objects.filter(name="B").update(binned_at=timezone.now())
    confirm(operator, url)
    assert counts(url) == (1, 1, {"gone": 1})
    assert state(three["b"])[0] is None


def test_a_record_without_an_id_does_not_move_onto_an_equal_one(operator):
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


def test_a_scope_that_narrows_meanwhile_counts(operator, three):
    url = choose(operator, "pause")
    UserScope.objects.create(user=operator.user, environments=["Sandbox"])
    confirm(operator, url)
    assert counts(url) == (1, 0, {"gone": 2})
    assert state(three["b"])[0] is None


def test_a_permission_that_is_removed_meanwhile_counts(operator, three):
    url = choose(operator, "pause")
    operator.user.groups.set([Group.objects.get(name="Viewer")])
    assert operator.post(url, {"confirm": "1"}).status_code == 403
    run = run_of(url)
    runs.start(run, run.options, launcher=lambda run: None, result=run.result | {"seconds": 0})
    bulk_change.execute(run.pk)
    assert run_of(url).result["refused"] == {"forbidden": 3}
    assert state(three["b"])[0] is None


def test_viewers_have_no_actions(three):
    viewer = member_of("Viewer")
    content = viewer.get(LIST).content.decode()
    for action in ("pause", "resume", "set_environment", "set_integration", "move_to_bin"):
        assert f'value="{action}"' not in content
        posted = {"action": action, "_selected_action": [str(three["b"].pk)]}
        viewer.post(LIST, posted)
    assert not ChangeRun.objects.exists()


def test_pausing_needs_no_permission_to_delete(three):
    client = member_of("Viewer")
    codename = "change_connectionauth"
    client.user.user_permissions.add(Permission.objects.get(codename=codename))
    content = client.get(LIST).content.decode()
    assert 'value="pause"' in content
    assert 'value="move_to_bin"' not in content


@pytest.mark.parametrize("part", ["", "progress/"])
def test_a_change_has_pages_only_for_its_user(operator, three, part):
    url = choose(operator, "pause")
    assert member_of("Custodian").get(url + part).status_code == 404


def test_users_with_limits_see_only_their_own_past_changes(operator, three):
    confirm(operator, choose(operator, "set_environment", value="Outside"))
    address = reverse("admin:connections_changes")
    assert "Set the environment: Outside" in operator.get(address).content.decode()
    limited = member_of("Operator", "limited", environments=["Sandbox"])
    assert "Outside" not in limited.get(address).content.decode()
