"""Work that is under way ends when its user loses the permission for it."""

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from connections.console.pages import exports
from connections.import_export import exporter
from connections.jobs import bulk_change, import_job
from connections.models import ConnectionAuth, ImportRun, UserScope
from tests.support.change_runs import choose, confirm, run_of
from tests.support.helpers import member_of
from tests.support.import_runs import confirmed

pytestmark = pytest.mark.django_db


def switch_off(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def keep_out(user):
    User.objects.filter(pk=user.pk).update(is_staff=False)


def make_viewer(user):
    user.groups.set([Group.objects.get(name="Viewer")])


def limit(user):
    UserScope.objects.create(user=user, environments=["Elsewhere"])


TAKEN = [switch_off, keep_out, make_viewer, limit]


@pytest.mark.parametrize("take", TAKEN)
def test_a_bulk_change_changes_nothing_more(many, monkeypatch, take):
    operator = member_of("Operator")
    url = choose(operator, "pause")
    confirm(operator, url)
    do = bulk_change.execute_batch

    def take_after_the_first(run, position):
        do(run, position)
        if position == 0:
            take(operator.user)

    monkeypatch.setattr(bulk_change, "execute_batch", take_after_the_first)
    bulk_change.execute(run_of(url).pk)
    assert ConnectionAuth.objects.filter(is_paused=True).count() == 100
    reason = "gone" if take is limit else "forbidden"
    assert run_of(url).result["refused"] == {reason: 150}


@pytest.mark.parametrize("take", TAKEN)
def test_an_import_ends_with_the_batch(launched, small_batches, monkeypatch, take):
    operator = member_of("Operator")
    run = confirmed(operator)
    progress = import_job.ImportProgress.__call__

    def take_at_the_second(self, done, total):
        if done == 16:
            take(operator.user)
        progress(self, done, total)

    monkeypatch.setattr(import_job.ImportProgress, "__call__", take_at_the_second)
    import_job.execute(run.pk)
    assert ImportRun.objects.get(pk=run.pk).status == "cancelled"
    assert ConnectionAuth.objects.count() == 16


@pytest.mark.parametrize("take", TAKEN)
def test_a_waiting_import_stores_nothing(launched, take):
    operator = member_of("Operator")
    run = confirmed(operator)
    take(operator.user)
    import_job.execute(run.pk)
    assert not ConnectionAuth.objects.exists()


@pytest.mark.parametrize("take", [*TAKEN, lambda user: user.groups.clear()])
def test_an_export_ends(monkeypatch, take):
    ConnectionAuth.objects.bulk_create(ConnectionAuth(name=f"N{n:03}") for n in range(20))
    for module, name, value in (
        (exports, "PERMISSION_CHECK_SECONDS", 0),
        (exporter, "BATCH_SIZE", 5),
    ):
        monkeypatch.setattr(module, name, value)
    custodian = member_of("Custodian")
    form = {"shape": "auth", "naming": "camel", "format": "json", "secrets": "mask"}
    pieces = custodian.post(reverse("admin:connections_export"), form).streaming_content
    next(pieces)
    next(pieces)
    if take is make_viewer:
        take(custodian.user)  # may still export masks
        assert len([*pieces]) == 3
        return
    take(custodian.user)
    with pytest.raises(PermissionDenied):
        list(pieces)
