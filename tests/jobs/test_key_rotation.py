"""rotate_keys reseals everything under the newest key, despite edits and kills."""

import json
import os
import random
import signal
import threading
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.db import connection, models, transaction

from benchmarks.harness import family, members, wait
from connections.encryption import keyring
from connections.encryption.fields import SealedTextField
from connections.jobs import chunks, integrity, key_rotation
from connections.json_format.stream.sources import CHUNK_SIZE, SpooledSource
from connections.models import (
    SEALED_COLUMNS,
    AccessEvent,
    ConnectionAuth,
    FormerVersion,
    ImportChunk,
    Integration,
    StoredKey,
    former_version,
)
from connections.records import versions
from tests.support.helpers import FULL_AUTH, SECRET, export_text, import_text, make, run_command
from tests.support.stores import VENDORS, write
from tests.support.thorough import is_thorough

OLD, NEW = keyring.generate_key(), keyring.generate_key()
TABLE = ConnectionAuth._meta.db_table
BROKEN = "gAAAAA" + "x" * 114


@pytest.fixture
def keys(settings, db):
    """Three records and the stored keys under the old key; a new key is in front of it."""
    StoredKey.objects.all().delete()
    settings.FERNET_KEYS = [OLD]
    import_text(
        [{"id": f"conn-{n}", "integration_type": "hubspot", "auth": FULL_AUTH} for n in range(3)]
    )
    make(name="nothing sealed")
    settings.FERNET_KEYS = [NEW, OLD]
    return settings


run = partial(run_command, "rotate_keys")


def counts(*arguments):
    code, out, _err = run("--json", *arguments)
    found = json.loads(out)
    assert found.pop("seconds") >= 0
    return code, found


def test_everything_is_under_the_new_key(keys):
    before = export_text(shape="connection")
    assert counts() == (0, {"total": 3, "rotated": 3, "current": 0, "unreadable": 0})
    keys.FERNET_KEYS = [NEW]
    keyring.require_keys()
    assert export_text(shape="connection") == before
    assert integrity.verify().faults == []
    for record in ConnectionAuth.objects.exclude(connection_id=None):
        for name in SEALED_COLUMNS:
            if value := getattr(record, name):
                Fernet(NEW).decrypt(value.token)


def test_a_second_run_finds_nothing_to_do(keys):
    run()
    assert counts() == (0, {"total": 3, "rotated": 0, "current": 3, "unreadable": 0})


def test_a_dry_run_changes_nothing(keys):
    before = list(ConnectionAuth.all_objects.values_list("token", "sealed_under"))
    assert counts("--dry-run") == (0, {"total": 3, "rotated": 3, "current": 0, "unreadable": 0})
    assert list(ConnectionAuth.all_objects.values_list("token", "sealed_under")) == before


def test_a_rotation_is_no_change_of_the_record(keys):
    before = list(ConnectionAuth.objects.order_by("id").values("version", "updated_at"))
    run()
    assert list(ConnectionAuth.objects.order_by("id").values("version", "updated_at")) == before


def test_verify_says_whether_the_old_key_can_go(keys):
    code, out, _ = run("--verify")
    assert code == 1 and "3 rows" in out
    code, out, _ = run("--verify", "--json")
    assert json.loads(out)["needs_old"] is True and json.loads(out)["stored_keys"] >= 2
    run()
    code, out, _ = run("--verify")
    assert (code, out) == (0, "The old keys can go: nothing is sealed under them.\n")


def put(connection_id, column, value):
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE {TABLE} SET "{column}" = %s WHERE connection_id = %s', [value, connection_id]
        )


def test_an_unreadable_value_is_named_and_the_rest_is_rotated(keys):
    put("conn-1", "token", BROKEN)
    code, out, err = run("--json")
    assert code == 1
    assert json.loads(out)["rotated"] == 2 and json.loads(out)["unreadable"] == 1
    record = ConnectionAuth.objects.get(connection_id="conn-1")
    assert f"{record.pk}: token does not open." in err and SECRET not in out + err
    assert record.unreadable_fields == ["token"]
    assert (
        keyring.key_id_for(record.key.token) == keyring.key_ids()[0]
    )  # its other values are rotated


def test_a_value_of_another_place_is_not_resealed(keys):
    token = ConnectionAuth.objects.get(connection_id="conn-0").token.token
    put("conn-1", "token", token)
    code, _out, err = run()
    assert code == 1 and "token does not open" in err
    assert ConnectionAuth.objects.get(connection_id="conn-1").token.token == token


@contextmanager
def meanwhile(monkeypatch, connection_id, action):
    """Do something to a record after it was read and before it is written."""
    write, done = key_rotation.RowResealer.write, []

    def act_first(self, rows, wait=False):
        if self.model is ConnectionAuth and not done:
            record = ConnectionAuth.objects.get(connection_id=connection_id)
            done.append(record.pk)
            action(record)
        return write(self, rows, wait)

    with monkeypatch.context() as patch:
        patch.setattr(key_rotation.RowResealer, "write", act_first)
        yield
    assert done


def edit(keys, **values):
    """An edit by a process that has not been restarted with the new key yet."""

    def save(record):
        keys.FERNET_KEYS = [OLD]
        for name, value in values.items():
            setattr(record, name, value)
        record.save_version()
        keys.FERNET_KEYS = [NEW, OLD]

    return save


def test_an_edit_between_reading_and_writing_is_not_lost(keys, monkeypatch):
    """Somebody saves after a row was read: their value wins, and is rotated too."""
    with meanwhile(monkeypatch, "conn-1", edit(keys, token="synth-edited")):
        run()
    record = ConnectionAuth.objects.get(connection_id="conn-1")
    assert record.token.reveal() == "synth-edited"
    assert keyring.key_id_for(record.token.token) == keyring.key_ids()[0]


def test_a_value_that_is_added_meanwhile_is_rotated_too(keys, monkeypatch):
    put("conn-1", "dev_api_key", None)
    with meanwhile(monkeypatch, "conn-1", edit(keys, dev_api_key="synth-added")):
        run()
    record = ConnectionAuth.objects.get(connection_id="conn-1")
    newest = keyring.key_ids()[0]
    assert (keyring.key_id_for(record.dev_api_key.token), record.sealed_under) == (newest, newest)


def test_a_value_that_is_repaired_meanwhile_is_not_unreadable(keys, monkeypatch):
    put("conn-1", "token", BROKEN)
    with meanwhile(monkeypatch, "conn-1", edit(keys, token="synth-mended")):
        code, _out, err = run()
    record = ConnectionAuth.objects.get(connection_id="conn-1")
    assert (code, err, record.unreadable_fields) == (0, "", None)
    assert record.content_digest and record.token.reveal() == "synth-mended"


@pytest.mark.parametrize("token", [None, BROKEN], ids=["good", "broken"])
def test_a_row_that_is_deleted_meanwhile_is_skipped(keys, monkeypatch, token):
    if token:
        put("conn-1", "token", token)
    with meanwhile(monkeypatch, "conn-1", lambda record: record.delete()):
        assert counts() == (0, {"total": 2, "rotated": 2, "current": 0, "unreadable": 0})


def test_a_partly_unreadable_row_needs_the_old_key(keys):
    for number in range(3):
        put(f"conn-{number}", "token", BROKEN)
    _code, out, _err = run("--verify", "--json")
    left = json.loads(out)
    assert left["needs_old"] and (left["rows"], left["unreadable"]) == (3, 3)
    run()
    code, out, _err = run("--verify", "--json")
    left = json.loads(out)
    assert code == 1 and not left["needs_old"] and (left["rows"], left["unreadable"]) == (0, 3)


def test_an_unreadable_stored_key_is_named_and_the_rest_is_rotated(keys):
    StoredKey.objects.filter(name="fingerprint").update(token=BROKEN)
    code, _out, err = run()
    assert code == 1 and err.startswith("connections.StoredKey fingerprint: token does not open.")
    newest = keyring.key_ids()[0]
    others = StoredKey.objects.exclude(name="fingerprint")
    assert {keyring.key_id_for(key.token) for key in others} == {newest}


def upload(keys, *pieces):
    """An upload that waits for its confirmation, sealed under the old key."""
    keys.FERNET_KEYS = [OLD]
    source = SpooledSource("in.json", keyring.seal_bytes, keyring.unseal_bytes)
    source.write(b"".join(pieces))
    run = chunks.store_upload(source, User.objects.create(username="operator"))
    keys.FERNET_KEYS = [NEW, OLD]
    return run


def test_waiting_uploads_are_rotated_too(keys):
    pieces = [bytes([65 + n]) * CHUNK_SIZE for n in range(2)] + [b"end"]
    waiting = upload(keys, *pieces)
    _code, out, _err = run("--verify", "--json")
    assert json.loads(out)["uploads"] == 3
    assert counts() == (0, {"total": 6, "rotated": 6, "current": 0, "unreadable": 0})
    assert counts() == (0, {"total": 6, "rotated": 0, "current": 6, "unreadable": 0})
    assert run("--verify")[0] == 0
    keys.FERNET_KEYS = [NEW]
    assert list(chunks.ChunkSource(waiting).chunks()) == pieces


def test_an_unreadable_chunk_is_named_and_the_rest_is_rotated(keys):
    waiting = upload(keys, b"a" * CHUNK_SIZE, b"end")
    broken = waiting.chunks.get(position=0)
    broken.token = BROKEN.encode()
    broken.save()
    code, out, err = run("--json")
    assert code == 1 and json.loads(out)["rotated"] == 4 and json.loads(out)["unreadable"] == 1
    assert err == f"connections.ImportChunk {broken.pk}: token does not open.\n"
    broken.refresh_from_db()
    assert bytes(broken.token) == BROKEN.encode()


def test_a_chunk_that_is_deleted_meanwhile_is_skipped(keys, monkeypatch):
    waiting = upload(keys, b"end")
    binding = key_rotation.chunk_binding

    def throw_away_first(*place):
        waiting.delete()
        return binding(*place)

    monkeypatch.setattr(key_rotation, "chunk_binding", throw_away_first)
    assert run()[0] == 0
    assert not ImportChunk.objects.exists()


@pytest.fixture
def former(keys):
    """The former version of conn-1 from when the key of its token was missing."""
    put("conn-1", "token", MISSING.encrypt(token_of("conn-1", "synth-missing")).decode())
    record = ConnectionAuth.objects.get(connection_id="conn-1")
    keys.FERNET_KEYS = [OLD]
    former_version.build_former_version(record, ["token"]).save()
    keys.FERNET_KEYS = [NEW, OLD]
    record.token = "synth-mended"
    record.save_version()
    return FormerVersion.objects.get()


MISSING_KEY = keyring.generate_key()
MISSING = Fernet(MISSING_KEY)


def token_of(connection_id, value):
    pk = ConnectionAuth.objects.get(connection_id=connection_id).pk
    return f"{pk}/token\n{value}".encode()


def test_an_unreadable_value_inside_a_former_version_is_named_and_kept(former):
    closed = former.content.reveal()["closed"]
    code, out, err = run("--json")
    assert code == 1 and json.loads(out)["unreadable"] == 1
    assert err == f"connections.FormerVersion {former.pk}: content.token does not open.\n"
    former.refresh_from_db()
    assert keyring.key_id_for(former.content.token) == keyring.key_ids()[0]
    assert former.content.reveal()["closed"] == closed
    code, out, _err = run("--verify", "--json")
    assert code == 1 and json.loads(out)["unreadable"] == 1 and not json.loads(out)["needs_old"]


def test_a_value_inside_a_former_version_is_rotated_once_its_key_is_back(keys, former):
    run()  # the version itself is under the newest key from here on
    keys.FERNET_KEYS = [NEW, OLD, MISSING_KEY]
    _code, out, _err = run("--verify", "--json")
    assert json.loads(out)["needs_old"] and json.loads(out)["rows"] == 1
    code, result = counts()
    assert (code, result["rotated"], result["unreadable"]) == (0, 1, 0)
    keys.FERNET_KEYS = [NEW]
    former.refresh_from_db()
    record = ConnectionAuth.objects.get(connection_id="conn-1")
    with transaction.atomic():
        versions.restore_locked(record, former, user=None)
    assert ConnectionAuth.objects.get(pk=record.pk).token.reveal() == "synth-missing"


def test_a_rotation_is_audited(keys):
    run("--dry-run")
    run("--verify")
    assert not AccessEvent.objects.filter(action="rotate").exists()
    run()
    entry = AccessEvent.objects.get(action="rotate")
    assert (entry.count, entry.result) == (3, "done")
    put("conn-1", "token", BROKEN)
    run()
    assert AccessEvent.objects.filter(action="rotate").latest("id").result == "failed"


def test_all_sealed_fields_are_found(keys):
    found = key_rotation.sealed_models()
    assert set(found[ConnectionAuth]) == set(SEALED_COLUMNS)
    assert Integration not in found
    for model, names in found.items():
        for name in names:
            assert isinstance(model._meta.get_field(name), SealedTextField)
        assert isinstance(model._meta.pk, models.UUIDField)  # values are bound to it


def entry(number):
    auth = {"accessToken": f"synth-{number}", "refreshToken": f"synth-r-{number}"}
    return {"id": f"conn-{number:05}", "integration_type": "hubspot", "auth": auth}


KILLS = 15 if is_thorough() else 6
EDITS = f"""
import time, sys
from connections.models import ConnectionAuth, VersionConflict
end = time.monotonic() + {0.7 * KILLS}
number = 0
while time.monotonic() < end:
    record = ConnectionAuth.objects.get(connection_id=f"conn-{{number % 20:05}}")
    record.access_token = f"synth-edited-{{number}}"
    record.save_version()
    number += 1
print("edits", number)
"""


@pytest.mark.crash
@pytest.mark.parametrize("vendor", VENDORS)
def test_killed_over_and_over_beside_an_editor(stores, tmp_path, vendor):
    store, count = stores.make(vendor), 3000
    old = store.keys
    assert store.imports(write(tmp_path / "in.json", map(entry, range(count)))).code == 0
    store.keys = f"{NEW},{old}"
    editor = store.start("shell", "-c", EDITS)
    chance = random.Random(7)
    for kill in range(KILLS):
        process = store.start("rotate_keys", "--json", "--jobs", "2")
        time_to_live = chance.uniform(0.3, 1.2)
        threading.Event().wait(time_to_live)
        # Every other time any one of its processes: the others end by themselves.
        victims = family(process.pid) if kill % 2 else [process.pid]
        with suppress(ProcessLookupError):  # one that had just ended
            os.kill(chance.choice(victims), signal.SIGKILL)
        wait(process)
        assert not members(process.pid)
    edited = wait(editor)
    assert edited.code == 0, edited.err
    outcome = store.run("rotate_keys", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["total"] == count
    outcome = store.run("rotate_keys", "--verify", "--json")
    assert outcome.code == 0 and not outcome.json["needs_old"], outcome.out
    store.keys = NEW
    outcome = store.run("verify_records", "--json")
    assert (outcome.code, outcome.json["checked"], outcome.json["bad"]) == (0, count, [])
    number = int(edited.out.split()[-1])
    assert number > 40
    tokens = {one["id"]: one["auth"]["accessToken"] for one in store.exported()}
    for n in range(count):
        last = max((i for i in range(max(0, number - 20), number) if i % 20 == n), default=None)
        assert tokens[f"conn-{n:05}"] == (f"synth-{n}" if n >= 20 else f"synth-edited-{last}")
