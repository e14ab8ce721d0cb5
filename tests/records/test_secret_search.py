"""find_secret: which records hold a secret, by fingerprint and without opening anything."""

import io
import json
import sys
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from connections.encryption import keyring
from connections.encryption.digests import SECRET_FIELDS, fingerprint
from connections.encryption.fields import Sealed
from connections.models import (
    SEALED_COLUMNS,
    ConnectionAuth,
    SecretFingerprint,
    former_version,
)
from connections.records import secret_search
from tests.support.helpers import FULL_AUTH, SECRET, import_text, make

pytestmark = pytest.mark.django_db
FULL = {"id": "conn-1", "integration_type": "hubspot", "auth": {**FULL_AUTH, "newKey": SECRET}}


def where(secret):
    return [
        (holder.record.connection_id, holder.field)
        for holder in secret_search.search(secret).holders
    ]


@pytest.mark.parametrize(
    ("secret", "field"),
    [
        (f"{SECRET}-access", "accessToken"),
        (f"{SECRET}-client", "clientSecret"),
        (f"{SECRET}-other-1", "otherAuthInfo"),
        (f"{SECRET}-meta", "meta"),
        (FULL_AUTH["pem"], "pem"),
        (SECRET, "extra"),
    ],
)
def test_a_secret_of_an_import_is_found_wherever_it_is(secret, field):
    import_text([FULL, {"id": "conn-2", "auth": {"token": "synth-other"}}])
    assert where(secret) == [("conn-1", field)]
    assert where(f"\n {secret}\r\n") == [("conn-1", field)]


def test_what_is_stored_nowhere_is_found_nowhere():
    import_text([FULL])
    for text in ("synth-nowhere", "ada@example.com", "client-1", SECRET.upper()):
        assert where(text) == []


def test_a_changed_secret_is_found_and_the_former_is_not():
    import_text([FULL])
    record = ConnectionAuth.objects.get()
    record.token = "synth-saved"
    record.save_version()
    assert where("synth-saved") == [("conn-1", "token")]
    assert where(f"{SECRET}-token") == []
    import_text([{**FULL, "auth": {**FULL_AUTH, "token": "synth-imported"}}])
    assert where("synth-imported") == [("conn-1", "token")]
    assert where("synth-saved") == []
    record = ConnectionAuth.objects.get()
    record.token = None
    record.save_version(["token"])
    assert where("synth-imported") == []
    record.delete()
    assert not SecretFingerprint.objects.exists()


def test_a_preview_stores_no_fingerprint():
    import_text([FULL], dry_run=True)
    assert not SecretFingerprint.objects.exists()


def test_an_entry_that_is_there_twice_has_its_fingerprints_once():
    import_text([FULL, FULL, {"token": "synth-a"}, {"token": "synth-a"}])
    before = SecretFingerprint.objects.count()
    import_text([FULL])
    assert where("synth-a") == [(None, "token")]
    assert SecretFingerprint.objects.count() == before


def test_nothing_is_opened_and_three_queries_are_enough(monkeypatch):
    monkeypatch.setattr("connections.audit.log.log_event", lambda *args, **kwargs: None)
    for number in range(5):
        make(token=SECRET, key=f"synth-{number}")
    closed = mock.patch.object(Sealed, "reveal", side_effect=AssertionError)
    with closed, CaptureQueriesContext(connection) as queries:
        assert len(secret_search.search(SECRET)) == 5
    assert len(queries) == 3  # the key, the fingerprints, the records


def test_a_field_that_does_not_open_keeps_its_fingerprint():
    record = make(token=SECRET, key="synth-key")
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {ConnectionAuth._meta.db_table} SET token = 'gAAAAA'")
    record = ConnectionAuth.objects.get(pk=record.pk)
    record.key = "synth-new"
    record.save_version()
    assert [holder.field for holder in secret_search.search(SECRET).holders] == ["token"]
    assert [holder.field for holder in secret_search.search("synth-new").holders] == ["key"]


def test_the_database_alone_tells_nothing(settings):
    """Fingerprints are made under a key of their own, and not one that the database holds."""
    make(token=SECRET)
    (number,) = SecretFingerprint.objects.values_list("number", flat=True)
    assert number == fingerprint(SECRET, keyring.fingerprint_key())
    assert number != fingerprint(SECRET, keyring.digest_key())
    assert number not in {fingerprint(SECRET, b""), fingerprint(SECRET, b"fingerprint")}


@given(st.text(min_size=1).filter(lambda text: text.strip() and "\0" not in text))
def test_any_text_is_found_again(text):
    key = b"k" * 32
    assert -(2**63) <= fingerprint(text, key) < 2**63
    assert fingerprint(f" {text}\n", key) == fingerprint(text, key)


def test_every_sealed_field_but_the_addresses_of_people_is_covered():
    assert {*SECRET_FIELDS} == {*SEALED_COLUMNS} - {"emails"}


def test_fingerprints_can_be_made_anew():
    import_text([FULL])
    before = set(SecretFingerprint.objects.values_list("record", "field", "number"))
    SecretFingerprint.objects.all().delete()
    assert SecretFingerprint.objects.rebuild() == 1
    assert set(SecretFingerprint.objects.values_list("record", "field", "number")) == before


def run(*arguments, secret=""):
    out, stdin = io.StringIO(), mock.Mock(buffer=io.BytesIO(secret.encode()), isatty=lambda: False)
    code = 0
    with mock.patch.object(sys, "stdin", stdin):
        try:
            call_command("find_secret", *arguments, stdout=out)
        except SystemExit as left:
            code = left.code
        except CommandError as error:
            return error.returncode, str(error)
    return code, out.getvalue()


def replaced(count=1, **fields):
    """A record whose token was replaced `count` times, last by `synth-now`."""
    record = make(token=SECRET, **fields)
    for number in range(count):
        held = former_version.build_former_version(record, ["token"])
        record.token = f"synth-{number}" if number + 1 < count else "synth-now"
        record.save_version(["token"])
        held.save()
    return record


def test_former_versions_are_looked_through_when_asked_for():
    record = replaced(3, name="Acme")
    replaced(name="Other", key="synth-other")
    make(token=SECRET)
    assert len(secret_search.search(SECRET)) == 1
    found = secret_search.search("synth-0", former=True)
    assert [(place.record, place.field, place.version) for place in found.former] == [
        (record, "token", 2)
    ]
    found = secret_search.search(SECRET, former=True)
    assert [place.version for place in found.former] == [1, 1]
    assert (len(found.holders), len(found), found.record_count) == (1, 3, 3)
    assert secret_search.search("synth-nowhere", former=True) == secret_search.SearchResult([])


@pytest.mark.parametrize("stored", ["\n", "\r\n"])
@pytest.mark.parametrize("given_", ["\n", "\r\n"])
def test_lines_may_end_in_either_way(stored, given_):
    lines = ["-----BEGIN X-----", SECRET, "-----END X-----"]
    make(pem=stored.join(lines))
    assert len(secret_search.search(given_.join(lines))) == 1


def test_the_command_and_former_versions():
    replaced(name="Acme", connection_id="conn-1")
    assert run(secret=SECRET) == (0, "Found nowhere.\n")
    code, out = run("--former", secret=SECRET)
    assert code == 1 and "Acme: token (conn-1), in version 1" in out
    assert out.endswith("Found in 1 place.\n")
    code, out = run("--former", "--json", secret=SECRET)
    (place,) = json.loads(out)["former"]
    assert (code, place["name"], place["field"], place["version"]) == (1, "Acme", "token", 1)
    assert SECRET not in out


def test_the_command():
    make(name="Acme", connection_id="conn-1", refresh_token=SECRET)
    make(name="Bob", refresh_token=SECRET)
    code, out = run("--json", secret=f"{SECRET}\n")
    assert code == 1 and SECRET not in out
    first = json.loads(out)["found"][0]
    assert (first["connection_id"], first["name"], first["field"]) == (
        "conn-1",
        "Acme",
        "refreshToken",
    )
    code, out = run(secret=SECRET)
    assert code == 1 and "Acme: refreshToken (conn-1)" in out and SECRET not in out
    assert out.endswith("Found in 2 places.\n")
    assert run(secret="synth-nowhere") == (0, "Found nowhere.\n")
    assert run(secret=" \n")[0] == 2
    code, out = run("--shared", "--json")
    assert code == 1 and [len(group) for group in json.loads(out)["shared"]] == [2]
    assert SECRET not in out
    assert run("--shared", "--field", "pem")[0] == 0
    assert run("--field", "pem")[0] == 2
    assert run("--rebuild", "--json") == (0, '{"rebuilt": 2}\n')
