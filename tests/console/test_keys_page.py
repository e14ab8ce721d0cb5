"""The page about the keys: what each of them seals, and the next step; never a key."""

import io

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections.encryption import keyring
from connections.encryption.fields import Sealed
from connections.models import AccessEvent, StoredKey, UserScope
from tests.support.helpers import SECRET, make, member_of

PAGE = reverse("admin:connections_keys")
LIST = reverse("admin:connections_connectionauth_changelist")
OLDEST, OLD, NEW = (keyring.generate_key() for _ in range(3))


@pytest.fixture
def keys(settings, db):
    """One connection under the oldest key, two under the old one; the newest is in front."""
    StoredKey.objects.all().delete()
    for number, keys in enumerate(([OLDEST], [OLD, OLDEST], [OLD, OLDEST])):
        settings.FERNET_KEYS = keys
        make(token=f"{SECRET}-{number}", environment="Staging" if number else "EU")
    make(name="nothing sealed")
    settings.FERNET_KEYS = [NEW, OLD, OLDEST]
    return settings


@pytest.fixture
def custodian(db):
    """A client of a Custodian: who may reveal, and does not read the audit log."""
    return member_of("Custodian")


def see(client):
    page = client.get(PAGE)
    assert page.status_code == 200
    return page.context["usage"], " ".join(page.content.decode().split())


def rotate():
    call_command("rotate_keys", stdout=io.StringIO(), stderr=io.StringIO())


def test_each_key_has_a_row_with_a_count(keys, custodian):
    usage, text = see(custodian)
    assert [name for name, _ in usage.keys] == keyring.key_ids()
    assert [key.count for _, key in usage.keys] == [0, 2, 1]
    assert "3 connections are still under an old key" in text
    assert "Run <code>manage.py rotate_keys</code>" in text


def test_every_number_is_a_link_to_the_list_that_it_counts(keys, client):
    usage, text = see(client)
    (_, _), (name, old), (_, oldest) = usage.keys
    for number in (old, oldest, usage.old):
        listed = client.get(f"/admin/{number.url}").context["cl"]
        assert listed.result_count == number.count
    assert f'<a href="/admin/{old.url}">2</a>' in text
    assert f"Key {name}" in client.get(f"/admin/{old.url}").content.decode()


def test_the_name_of_an_unknown_key_does_not_filter(keys, client):
    assert client.get(LIST, {"old_key": "0badc0de"}).context["cl"].result_count == 4


def test_no_key_is_shown_and_nothing_opened(keys, custodian, monkeypatch):
    monkeypatch.setattr(Sealed, "reveal", None)
    _, text = see(custodian)
    assert not any(key in text for key in (OLDEST, OLD, NEW))


def test_after_a_rotation_all_is_under_the_newest(keys, client):
    rotate()
    usage, text = see(client)
    assert [key.count for _, key in usage.keys] == [3, 0, 0]
    assert usage.since is not None
    assert "All connections are under the newest key" in text
    assert "rotate_keys --verify</code> whether the older ones can go" in text
    assert "Last rotation" in text and usage.rotation.count >= 3
    keys.FERNET_KEYS = [NEW]
    assert "Change it once a year" in see(client)[1]


def test_a_key_that_was_removed_too_early_is_named_with_the_next_step(keys, custodian):
    _, old, oldest = keyring.key_ids()
    StoredKey.objects.all().delete()
    keys.FERNET_KEYS = [NEW]
    usage, text = see(custodian)
    assert usage.missing.count == 3
    assert usage.missing_names == sorted([old, oldest])
    assert "3 connections need a key that is not there" in text
    assert "behind the newer ones" in text
    listed = custodian.get(f"/admin/{usage.missing.url}")
    assert listed.context["cl"].result_count == 3


def test_the_newest_waits_for_a_rotation_though_nothing_is_sealed(db, settings, custodian):
    StoredKey.objects.all().delete()
    settings.FERNET_KEYS = [OLD]
    make(name="nothing sealed")
    keyring.seal("x", "y")  # the first use of the keys
    settings.FERNET_KEYS = [NEW, OLD]
    usage, text = see(custodian)
    assert usage.since is None
    assert "The newest key waits for a rotation" in text


def test_users_with_a_scope_see_counts_of_their_connections_only(keys, custodian):
    UserScope.objects.create(user=custodian.user, environments=["EU"])
    usage, _ = see(custodian)
    assert [key.count for _, key in usage.keys] == [0, 0, 1]


@pytest.mark.parametrize(
    ("group", "status"), [("Custodian", 200), ("Auditor", 200), ("Operator", 403), ("Viewer", 403)]
)
def test_it_is_for_custodians_and_auditors_and_so_is_the_way_there(db, group, status):
    client = member_of(group)
    assert client.get(PAGE).status_code == status
    assert (f'href="{PAGE}"' in client.get("/admin/").content.decode()) is (status == 200)


def test_only_readers_of_the_audit_log_see_when_the_last_rotation_was(keys, custodian):
    rotate()
    assert AccessEvent.objects.filter(action="rotate").exists()
    usage, text = see(custodian)
    assert usage.rotation is None and "Last rotation" not in text


def test_it_takes_few_queries_however_many_keys_and_connections(keys, custodian):
    see(custodian)
    with CaptureQueriesContext(connection) as queries:
        see(custodian)
    assert len(queries) <= 8, [query["sql"] for query in queries]
