"""Each record stores the id of the key it is sealed under, which lists and checks read."""

import io

import pytest
from django.core.management import call_command
from django.db import connection

from connections.checks import check_key_order
from connections.encryption import keyring
from connections.encryption.fields import Sealed
from connections.models import ConnectionAuth, StoredKey
from tests.support.helpers import FULL_AUTH, SECRET, import_text, make
from tests.support.record_form import LIST

OLD, NEW = keyring.generate_key(), keyring.generate_key()


@pytest.fixture
def keys(settings, db):
    """Three records and our own keys under the old key; the new one is in front of it."""
    StoredKey.objects.all().delete()
    settings.FERNET_KEYS = [OLD]
    import_text(
        [{"id": f"conn-{n}", "integration_type": "hubspot", "auth": FULL_AUTH} for n in range(3)]
    )
    make(name="nothing sealed")
    settings.FERNET_KEYS = [NEW, OLD]
    return settings


def test_a_record_stores_the_id_of_its_key(keys):
    new, old = keyring.key_ids()
    under = dict(ConnectionAuth.objects.values_list("name", "sealed_under"))
    assert under == {FULL_AUTH["name"]: old, "nothing sealed": None}
    record = ConnectionAuth.objects.get(connection_id="conn-0")
    record.token = "synth-new"
    record.save_version()
    assert record.sealed_under == old  # of several keys the oldest
    assert make(token=SECRET).sealed_under == new
    call_command("rotate_keys", stdout=io.StringIO())
    assert {*ConnectionAuth.objects.values_list("sealed_under", flat=True)} == {new, None}


def test_the_list_filters_by_key_without_opening(keys, admin_client, monkeypatch):
    monkeypatch.setattr(Sealed, "reveal", None)

    def listed(value):
        return admin_client.get(LIST, {"old_key": value}).context["cl"].result_count

    assert "sealed under" in admin_client.get(LIST).content.decode().lower()
    assert (listed("1"), listed("0")) == (3, 0)
    monkeypatch.undo()
    keys.FERNET_KEYS = [NEW, OLD]
    call_command("rotate_keys", stdout=io.StringIO())
    assert (listed("1"), listed("0")) == (0, 3)


def test_records_under_a_key_that_was_removed_too_early_can_be_filtered(keys, admin_client):
    assert "A missing key" not in admin_client.get(LIST).content.decode()
    StoredKey.objects.all().delete()
    keys.FERNET_KEYS = [NEW]
    page = admin_client.get(LIST, {"old_key": "missing"})
    assert page.context["cl"].result_count == 3
    assert "A missing key" in admin_client.get(LIST).content.decode()


@pytest.mark.parametrize("asked", ["old", "missing"])
def test_the_query_uses_the_index(keys, asked):
    """No list may read a million rows to offer a filter."""
    queryset = ConnectionAuth.all_objects.order_by()
    queryset = queryset.under_old_key() if asked == "old" else queryset.under_missing_key()
    if connection.vendor == "sqlite":  # PostgreSQL reads a table of four rows whole
        plan = queryset.explain()
        assert "connection_sealed_under" in plan and "SCAN" not in plan, plan


def test_a_change_of_plain_fields_keeps_the_key_id_that_a_rotation_stored(keys):
    record = ConnectionAuth.objects.get(connection_id="conn-0")  # with tokens of before
    call_command("rotate_keys", stdout=io.StringIO())
    record.api_url = "https://api.hubspot.example/v2"
    record.save_version(["api_url"])
    assert ConnectionAuth.objects.get(pk=record.pk).sealed_under == keyring.key_ids()[0]


def test_demo_records_store_the_id_of_their_key(keys):
    ConnectionAuth.all_objects.all().delete()
    call_command("seed_demo", "--count", "30", stdout=io.StringIO(), stderr=io.StringIO())
    sealed = ConnectionAuth.objects.exclude(sealed_under=None)
    assert {*sealed.values_list("sealed_under", flat=True)} == {keyring.key_ids()[0]}
    assert sealed.count() > 20


def test_keys_in_the_wrong_order_give_a_warning(keys):
    call_command("rotate_keys", stdout=io.StringIO())
    assert check_key_order(None) == []
    keys.FERNET_KEYS = [OLD, NEW]
    (warning,) = check_key_order(None)
    assert warning.id == "connections.W001" and not warning.is_serious()
    assert "key 2" in warning.msg and "swapped" in warning.hint and "rotate_keys" in warning.hint
    assert OLD not in str(warning) and NEW not in str(warning)


@pytest.mark.parametrize("sealed_under_first", [2, 3])
def test_the_warning_needs_most_records_under_another_key(keys, sealed_under_first):
    for number in range(sealed_under_first):
        make(token=f"{SECRET}-{number}")
    assert bool(check_key_order(None)) is (sealed_under_first < 3)
