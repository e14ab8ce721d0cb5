"""What is deleted goes to the bin: gone from everywhere else, restorable, purged after a week."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from connections.jobs import cleanup
from connections.models import AccessEvent, ConnectionAuth, FormerVersion
from connections.records import recycle_bin
from tests.support.helpers import SECRET, cast, export_text, make, member_of, prove_present
from tests.support.record_form import LIST, page

pytestmark = pytest.mark.django_db

BIN = reverse("admin:connections_bin")


@pytest.fixture
def custodian():
    return prove_present(member_of("Custodian"))


def bin_url(record, what):
    return reverse(f"admin:connections_bin_{what}", args=[record.pk])


def delete(client, record):
    return client.post(page(record, "delete"), {"post": "yes"}, follow=True)


def binned(**fields):
    fields.setdefault("binned_at", timezone.now())
    return make(**{"name": "Acorn Ltd", "access_token": SECRET, **fields})


def test_deleting_puts_into_the_bin_and_says_by_whom(operator):
    record = make(name="Acorn Ltd", access_token=SECRET)
    asked = operator.get(page(record, "delete")).content.decode()
    assert "Move Acorn Ltd to the bin?" in asked
    said = delete(operator, record).content.decode()
    assert "Moved Acorn Ltd to the bin." in said
    stored = ConnectionAuth.all_objects.get()
    assert (stored.binned_by.username, stored.version) == ("Operator", 2)
    assert stored.binned_at <= timezone.now()
    assert stored.access_token.reveal() == SECRET


def test_the_action_puts_what_was_selected_into_the_bin(operator):
    records = cast()
    chosen = [str(records[name].pk) for name in ("broken", "day")]
    data = {"action": "move_to_bin", "_selected_action": chosen}
    asked = operator.post(LIST, data, follow=True)
    assert "2 connections are chosen" in asked.content.decode()
    assert not ConnectionAuth.all_objects.binned()
    operator.post(asked.redirect_chain[-1][0], {"confirm": "1"})
    assert {str(r.pk) for r in ConnectionAuth.all_objects.binned()} == {*chosen}
    assert ConnectionAuth.objects.count() == 5


def test_the_action_takes_all_that_match_a_search(operator):
    cast()
    data = {"action": "move_to_bin", "select_across": "1", "_selected_action": ["x"]}
    asked = operator.post(LIST + "?bucket=broken", data)
    operator.post(asked.url, {"confirm": "1"})
    assert [record.name for record in ConnectionAuth.all_objects.binned()] == ["Broken Ltd"]


def test_nothing_can_be_deleted_past_the_bin(operator):
    record = make(name="Acorn Ltd")
    data = {"action": "delete_selected", "_selected_action": [str(record.pk)], "post": "yes"}
    operator.post(LIST, data)
    assert ConnectionAuth.objects.exists()


def test_what_is_in_the_bin_is_nowhere_else(operator):
    record = binned(connection_id="c-1", ends_in=timedelta(hours=-1))
    for url in (LIST, LIST + "?q=corn+L", LIST + "?bucket=broken", reverse("admin:index")):
        content = operator.get(url).content.decode()
        assert "Acorn" not in content, url
        assert "c-1" not in content, url
    assert operator.get(reverse("admin:index")).context["nav_broken_count"] == 0
    assert export_text() == "[]\n"
    assert operator.get(page(record)).status_code in (302, 404)
    assert operator.post(page(record), {"name": "X"}).status_code in (302, 404)
    out = StringIO()
    call_command("check_expiry", format="json", stdout=out)
    assert json.loads(out.getvalue())["total"] == 0


def test_the_bin_says_when_by_whom_and_how_long_still(operator):
    user = User.objects.create_user("ada")
    binned(binned_at=timezone.now() - timedelta(days=2, hours=1), binned_by=user)
    content = operator.get(BIN).content.decode()
    for text in ("Acorn Ltd", "2 days ago", "ada", "in 4 days", "Restore"):
        assert text in content
    assert "Purge" not in content.split("<tbody>")[1]
    assert SECRET not in content


def test_restoring_brings_it_back_whole(operator):
    record = binned(connection_id="c-1")
    shown = operator.post(bin_url(record, "restore"), follow=True)
    assert "Restored Acorn Ltd." in shown.content.decode()
    stored = ConnectionAuth.objects.get()
    assert (stored.binned_at, stored.binned_by) == (None, None)
    assert stored.access_token.reveal() == SECRET
    assert "<td>Restored</td>" in operator.get(page(record, "history")).content.decode()


def test_a_get_restores_nothing(operator):
    assert operator.get(bin_url(binned(), "restore")).status_code == 405
    assert not ConnectionAuth.objects.exists()


@pytest.mark.parametrize("what", ["restore", "purge"])
def test_what_is_not_in_the_bin_is_neither_restored_nor_purged(custodian, what):
    assert custodian.post(bin_url(make(name="In use"), what)).status_code == 404
    assert ConnectionAuth.objects.exists()


def test_purging_asks_then_removes_all_of_it(custodian):
    record = binned()
    FormerVersion.objects.create(record=record, version=1, fields=[], content={})
    asked = custodian.get(bin_url(record, "purge"))
    assert "Purge Acorn Ltd?" in asked.content.decode()
    assert ConnectionAuth.all_objects.exists()
    custodian.post(bin_url(record, "purge"))
    assert not ConnectionAuth.all_objects.exists()
    assert not FormerVersion.objects.exists()


@pytest.mark.parametrize("group", ["Viewer", "Auditor", "Operator"])
def test_only_custodians_purge(group):
    record, client = binned(), member_of(group)
    assert client.get(bin_url(record, "purge")).status_code == 403
    assert client.post(bin_url(record, "purge")).status_code == 403
    assert ConnectionAuth.all_objects.exists()


@pytest.mark.parametrize("group", ["Viewer", "Auditor"])
def test_who_may_not_delete_sees_no_bin(group):
    record, client = binned(), member_of(group)
    assert client.get(BIN).status_code == 403
    assert client.post(bin_url(record, "restore")).status_code == 403
    assert f'href="{BIN}"' not in client.get(LIST).content.decode()
    assert not ConnectionAuth.objects.exists()


def test_each_step_is_in_the_audit_log(custodian):
    record = make(name="Acorn Ltd", access_token=SECRET)
    delete(custodian, record)
    custodian.post(bin_url(record, "restore"))
    delete(custodian, record)
    custodian.post(bin_url(record, "purge"))
    found = AccessEvent.objects.filter(record_id=str(record.pk)).order_by("id")
    assert [event.action for event in found] == ["delete", "restore", "delete", "purge"]
    assert {(event.user, event.record_name) for event in found} == {("Custodian", "Acorn Ltd")}


def test_purging_asks_for_presence_and_comes_back():
    record, client = binned(), member_of("Custodian")
    for asking in (client.get(bin_url(record, "purge")), client.post(bin_url(record, "purge"))):
        assert asking.url.startswith("/admin/account/reauthenticate/?next=%2Fadmin%2Fbin%2F")
    assert ConnectionAuth.all_objects.exists()
    back = client.post(asking.url, {"password": "password"}, follow=True)
    assert "Purge Acorn Ltd?" in back.content.decode()


def test_many_at_once_are_one_entry_of_the_audit_log(monkeypatch):
    monkeypatch.setattr(recycle_bin, "MAX_LOGGED_BY_NAME", 2)
    for number in range(3):
        make(name=str(number))
    assert recycle_bin.move(ConnectionAuth.objects.all(), User.objects.create_user("ada")) == 3
    event = AccessEvent.objects.get(action="delete")
    assert (event.action, event.count, event.user, event.record_id) == ("delete", 3, "ada", "")


def test_after_a_week_it_is_neither_shown_nor_restored(operator, custodian):
    record = binned(binned_at=timezone.now() - recycle_bin.RETENTION)
    assert "Acorn Ltd" not in operator.get(BIN).content.decode()
    assert operator.post(bin_url(record, "restore")).status_code == 404
    assert custodian.post(bin_url(record, "purge")).status_code == 404
    assert not recycle_bin.restore(record)
    assert ConnectionAuth.all_objects.binned().exists()


def test_what_is_purged_by_itself_is_nobody_s_deed():
    now = timezone.now()
    binned(name="Old", binned_at=now - recycle_bin.RETENTION)
    binned(name="Newer", binned_at=now - recycle_bin.RETENTION + timedelta(minutes=1))
    make(name="In use")
    cleanup.delete_expired()
    assert {*ConnectionAuth.all_objects.values_list("name", flat=True)} == {"Newer", "In use"}
    event = AccessEvent.objects.get(action="purge")
    assert (event.user, event.record_name) == ("automatic", "Old")


def test_purging_many_goes_by_batches(monkeypatch):
    monkeypatch.setattr(recycle_bin, "BATCH_SIZE", 2)
    for number in range(5):
        binned(name=str(number))
    make(name="In use")
    assert recycle_bin.purge(ConnectionAuth.all_objects.all()) == 5
    assert ConnectionAuth.all_objects.get().name == "In use"


LOOK_BEFORE_AND_AFTER = """
import os
from connections.jobs import cleanup
from connections.records import recycle_bin
from connections.models import ConnectionAuth, former_version
record = ConnectionAuth.objects.create(name="Acorn Ltd", access_token="synthetic-1")
former = former_version.build_former_version(record, ["access_token"])
former.replaced_at -= former.RETENTION
former.save()
token = TOKEN.encode()
files = [os.path.join(FOLDER, name) for name in os.listdir(FOLDER)]
def held():
    return any(token in open(path, "rb").read() for path in files if os.path.isfile(path))
print(held())
DELETE
print(held())
"""
PURGE = """
recycle_bin.move(ConnectionAuth.objects.all(), None)
recycle_bin.purge(ConnectionAuth.all_objects.all())
"""


@pytest.mark.parametrize(
    ("token", "delete"),
    [("record.access_token.token", PURGE), ("former.content.token", "cleanup.delete_expired()")],
)
def test_nothing_of_what_was_purged_stays_in_the_files_of_sqlite(stores, token, delete):
    store = stores.make("sqlite")
    script = LOOK_BEFORE_AND_AFTER.replace("FOLDER", repr(str(store.folder)))
    script = script.replace("TOKEN", token).replace("DELETE", delete)
    outcome = store.run("shell", "-v", "0", "-c", script)
    assert outcome.out.split() == ["True", "False"], outcome.err
