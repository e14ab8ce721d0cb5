"""verify_records finds what was changed behind the application, and nothing else."""

import base64
import json
import random
from functools import partial
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from connections.encryption import keyring
from connections.jobs import integrity
from connections.json_format import schema
from connections.json_format.schema import AUTH_FIELDS, ENDPOINT_FIELDS, PLAIN_FIELDS
from connections.models import (
    SEALED_COLUMNS,
    ConnectionAuth,
    FormerVersion,
    Integration,
    StoredKey,
    former_version,
)
from connections.records import versions
from tests.support.helpers import FULL_AUTH, SECRET, import_text, make, run_command
from tests.support.module_store import module_store
from tests.support.thorough import is_thorough

pytestmark = pytest.mark.django_db
TABLE = ConnectionAuth._meta.db_table


def full(number, **around):
    return {"id": f"conn-{number}", "integration_type": "hubspot", **around, "auth": FULL_AUTH}


@module_store
def imported():
    """Three complete records, two without an id, one almost empty."""
    import_text(
        [
            *(full(number) for number in range(3)),
            {"integration_type": "xero", "auth": FULL_AUTH},
            {"token": f"{SECRET}-alone"},
            {"id": "empty", "integration_type": "xero", "auth": {}},
        ]
    )


@pytest.fixture
def records(imported):
    return list(ConnectionAuth.all_objects.order_by("id"))


def put(record, column, value):
    """Change a column in the database, behind the application."""
    with connection.cursor() as cursor:
        pk = ConnectionAuth._meta.pk.get_db_prep_value(record.pk, connection)
        cursor.execute(f'UPDATE {TABLE} SET "{column}" = %s WHERE id = %s', [value, pk])


def token(record, name):
    return getattr(record, name).token


def found():
    return {(fault.id, fault.field, fault.code) for fault in integrity.verify().faults}


def test_untouched_records_have_no_faults(records):
    result = integrity.verify()
    assert (result.checked, result.faults) == (6, [])


def flipped(text, place):
    """A token with one bit of its bytes changed."""
    raw = bytearray(base64.urlsafe_b64decode(text))
    raw[place % len(raw)] ^= 1 << (place % 8)
    return base64.urlsafe_b64encode(raw).decode()


@pytest.mark.parametrize("seed", range(60 if is_thorough() else 20))
def test_a_flipped_bit_or_a_cut_is_found(records, seed):
    chance = random.Random(seed)
    record, name = records[seed % 3], SEALED_COLUMNS[seed % (len(SEALED_COLUMNS) - 1)]
    if getattr(record, name) is None:
        name = "token"
    text = token(record, name)
    place = chance.randrange(len(text))
    put(record, name, flipped(text, place) if seed % 2 else text[: place // 4 * 4])
    assert found() == {(str(record.pk), name, "does_not_open")}


@pytest.mark.parametrize("name", ["access_token", "client_secret", "meta", "emails", "pem"])
def test_a_value_of_another_row_is_found(records, name):
    put(records[0], name, token(records[1], name))
    assert found() == {(str(records[0].pk), name, "misplaced")}


@pytest.mark.parametrize("name", ["token", "key", "refresh_token"])
def test_a_value_of_another_column_is_found(records, name):
    put(records[0], name, token(records[0], "access_token"))
    assert found() == {(str(records[0].pk), name, "misplaced")}


def of_other_models(record):
    """Tokens that open elsewhere: of a stored key, a former version, a second step."""
    return {
        "key": StoredKey.objects.get(name="proof").token,
        "former version": former(record).content.token,
        "second step": keyring.seal(f"{SECRET}-totp", "mfa"),
    }


@pytest.mark.parametrize("model", ["key", "former version", "second step"])
def test_a_value_of_another_model_is_found(records, model):
    for name in ("token", "meta"):
        put(records[0], name, of_other_models(records[0])[model])
        assert (str(records[0].pk), name, "misplaced") in found()


@pytest.mark.parametrize("name", ["digest", "fingerprint"])
def test_a_value_in_the_place_of_a_stored_key_is_reported(records, name):
    StoredKey.objects.filter(name=name).update(token=token(records[0], "token"))
    with pytest.raises(CommandError) as refused:
        call_command("verify_records")
    assert refused.value.returncode == 2


def test_a_removed_or_restored_value_is_found(records):
    put(records[0], "token", None)
    assert found() == {(str(records[0].pk), "token", "value_changed")}
    former = token(records[1], "access_token")
    records[1].access_token = "synth-new"
    records[1].save_version()
    put(records[1], "access_token", former)  # it opens, but is the one of yesterday
    assert (str(records[1].pk), "access_token", "value_changed") in found()


@pytest.mark.parametrize("name", ["emails", "meta"])
def test_a_removed_value_without_fingerprint_is_found(records, name):
    put(records[0], name, None)
    ((_, _, code),) = found()
    assert code == {"emails": "content_changed", "meta": "value_changed"}[name]


def test_an_older_row_is_found_by_its_fingerprints(records):
    before = ConnectionAuth.objects.filter(pk=records[1].pk).values(
        "access_token", "content_digest", "version", "updated_at", "sealed_under"
    )[0]
    records[1].access_token = "synth-new"
    records[1].save_version()
    for name, value in before.items():
        put(records[1], name, value.token if name == "access_token" else value)
    assert found() == {(str(records[1].pk), "access_token", "fingerprint_changed")}


def test_changed_or_removed_fingerprints_are_found(records):
    records[0].fingerprints.filter(field="token").delete()
    records[1].fingerprints.filter(field="key").update(number=1)
    assert found() == {
        (str(records[0].pk), "token", "fingerprint_changed"),
        (str(records[1].pk), "key", "fingerprint_changed"),
    }


@pytest.mark.parametrize("change", ["{}\n", "{}=", "!{}", " {}", "{}!!!!"])
def test_characters_that_base64_ignores_are_found(records, change):
    put(records[0], "token", change.format(token(records[0], "token")))
    ((pk, name, code),) = found()
    assert (pk, name) == (str(records[0].pk), "token") and code in ("altered", "does_not_open")


@pytest.mark.parametrize("value", ["", "synth: in clear", "gAAAAA"])
def test_a_value_that_is_no_token_is_found(records, value):
    put(records[0], "token", value)
    assert found() == {(str(records[0].pk), "token", "does_not_open")}


@pytest.mark.parametrize("column", ["key", "api_url"])
def test_bytes_that_are_no_text_are_found(records, column):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL does not take that.")
    with connection.cursor() as cursor:
        text = f"UPDATE connections_connectionauth SET {column} = CAST(x'ff' AS TEXT)"
        cursor.execute(f"{text} WHERE id = %s", [records[0].pk.hex])
    fault = ("key", "does_not_open") if column == "key" else ("content_digest", "content_changed")
    assert found() == {(str(records[0].pk), *fault)}


def test_an_edit_during_the_check_raises_no_alarm(records, monkeypatch):
    read = integrity.stored_fingerprints

    def edit_first(**filters):
        if "record__gte" in filters:
            record = ConnectionAuth.objects.get(pk=records[0].pk)
            record.token = "synth-edited"
            record.save_version()
        return read(**filters)

    monkeypatch.setattr(integrity, "stored_fingerprints", edit_first)
    assert not found()


def former(record):
    """A former version of a record."""
    held = former_version.build_former_version(record, ["token"])
    held.save()
    return held


def test_a_former_version_is_checked_too(records):
    held, other = former(records[0]), former(records[1])
    assert not found()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE connections_formerversion SET content = %s WHERE id = %s",
            [other.content.token, FormerVersion._meta.pk.get_db_prep_value(held.pk, connection)],
        )
    assert found() == {(str(records[0].pk), "former version 1", "misplaced")}
    FormerVersion.objects.filter(pk=other.pk).update(record=records[2])
    assert (str(records[2].pk), "former version 1", "misplaced") in found()
    with pytest.raises(keyring.SealError):
        other.refresh_from_db()
        versions.restore_locked(records[2], other, user=None)


def test_a_digest_key_that_does_not_open_is_an_error(records):
    StoredKey.objects.filter(name="digest").update(token="gAAAAA" + "x" * 114)
    with pytest.raises(CommandError, match="the digests") as refused:
        call_command("verify_records")
    assert refused.value.returncode == 2


@pytest.mark.parametrize("name", [name for name in PLAIN_FIELDS if name in AUTH_FIELDS])
def test_a_plain_field_of_the_auth_object_is_found(records, name):
    kind = AUTH_FIELDS[name]
    changed = {"date": "2031-01-01 00:00:00", "number": 12345.0}.get(kind, "https://evil.example/")
    put(records[0], name, changed)
    assert found() == {(str(records[0].pk), "content_digest", "content_changed")}


def test_a_moved_record_without_an_id_is_found(records):
    put(records[3], "environment", "Sandbox")
    assert found() == {(str(records[3].pk), "identity_digest", "identity_changed")}


def test_the_digest_of_another_record_or_none_is_found(records):
    put(records[0], "content_digest", "0" * 64)
    put(records[1], "content_digest", None)
    assert found() == {
        (str(records[0].pk), "content_digest", "content_changed"),
        (str(records[1].pk), "content_digest", "no_digest"),
    }


def test_the_bin_is_checked_too(records):
    put(records[0], "binned_at", "2026-01-01 00:00:00")
    put(records[0], "api_url", "https://evil.example/")
    assert len(found()) == 1


@pytest.mark.parametrize("name", ENDPOINT_FIELDS)
def test_a_changed_endpoint_is_found(records, name):
    put(records[2], name, "https://evil.example/")
    assert found() == {(str(records[2].pk), "content_digest", "content_changed")}


def flip(chance, record, name):
    put(record, name, flipped(token(record, name), chance.randrange(100)))


def cut(chance, record, name):
    put(record, name, token(record, name)[: chance.randrange(len(token(record, name)))])


def swap_columns(chance, record, name):
    other = chance.choice([other for other in WHOLE if other != name])
    put(record, name, token(record, other))
    put(record, other, token(record, name))


def from_another_model(chance, record, name):
    put(record, name, chance.choice([*of_other_models(record).values()]))


def take_away(chance, record, name):
    put(record, name, None)


def edit_endpoint(chance, record, name):
    put(record, chance.choice(ENDPOINT_FIELDS), f"https://evil-{chance.random()}.example/")


def edit_digest(chance, record, name):
    put(record, "content_digest", chance.choice([None, "0" * 64]))


def take_fingerprint_away(chance, record, name):
    record.fingerprints.filter(field="token").delete()


WHOLE = [name for name in SEALED_COLUMNS if schema.to_camel_case(name) in FULL_AUTH]
CHANGES = (
    *(flip, cut, swap_columns, from_another_model),
    *(take_away, edit_endpoint, edit_digest, take_fingerprint_away),
)


def test_changes_of_all_kinds_are_each_found_and_named(records):
    chance = random.Random(11)
    for number in range(240 if is_thorough() else 48):
        change, swaps = chance.choice(CHANGES), number % 9 == 0
        record, other = chance.sample(records[:4], 2)
        with transaction.atomic():
            name = chance.choice(WHOLE)
            if swaps:
                put(record, name, token(other, name))
                put(other, name, token(record, name))
            else:
                change(chance, record, name)
            named = {fault.id for fault in integrity.verify().faults}
            assert named == {str(record.pk)} | ({str(other.pk)} if swaps else set()), change
            transaction.set_rollback(True)
    assert not found()


def test_the_token_address_of_an_integration_is_covered(records):
    integration = Integration.objects.get(type="hubspot")
    integration.token_url = "https://api.hubapi.com/oauth/v1/token"
    integration.save()
    assert not found()
    for url in ("https://evil.example/", ""):
        Integration.objects.filter(pk=integration.pk).update(token_url=url)
        assert found() == {(str(integration.pk), "token_url", "token_url_changed")}


def test_clean_records_raise_no_alarm():
    ConnectionAuth.all_objects.all().delete()
    import_text([full(number, environment="Sandbox") for number in range(101)])
    result = integrity.verify()
    assert (result.checked, result.faults) == (101, [])


def test_edits_and_extreme_dates_raise_no_alarm(records):
    record = make(name="é\u2028", expires_in=3599.9, meta={"n": 1e300, "i": 2**70, "d": {}})
    record.expiry_date = "0001-01-01T00:00:00Z"
    record.refresh_from_db()
    record.emails, record.token_url = [], ""
    record.save_version()
    assert not found()


run = partial(run_command, "verify_records")


def test_the_command_names_the_place_and_never_a_value(records):
    code, out, err = run("--json", "--jobs", "1")
    assert code == 0 and json.loads(out)["bad"] == [] and json.loads(out)["checked"] == 6
    put(records[0], "token", token(records[1], "token"))
    code, out, err = run("--json")
    assert code == 1
    assert json.loads(out)["bad"] == [
        {
            "id": str(records[0].pk),
            "connection_id": "conn-0",
            "field": "token",
            "code": "misplaced",
        }
    ]
    code, out, err = run()
    assert code == 1 and "conn-0: token: " in err and SECRET not in out + err


def test_every_code_is_documented():
    page = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
    for code, sentence in integrity.FAULT_MESSAGES.items():
        assert f"| `{code}` | {sentence} |" in page


def test_an_import_verifies_after_a_change_of_the_first_key(records, settings):
    settings.FERNET_KEYS = [keyring.generate_key(), *settings.FERNET_KEYS]
    assert not found()
