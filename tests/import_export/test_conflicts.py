"""What an import does with a record that is stored already: unchanged, changed, older, refused."""

import json
from datetime import timedelta

import pytest
import time_machine

from connections.encryption.keyring import SealError
from connections.import_export import importer
from connections.json_format import schema
from connections.models import ConnectionAuth
from tests.support.concurrent_import import (
    FULL,
    MASK,
    auth_now,
    connection,
    snake,
    store,
    table,
    verdict_of,
)
from tests.support.helpers import FULL_AUTH, NOW, codes, export_text, import_text
from tests.support.record_form import spoil

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("policy", importer.CONFLICT_POLICIES)
@pytest.mark.parametrize("entry", [FULL, FULL_AUTH, FULL["auth"]])
def test_the_same_again_is_unchanged_and_writes_nothing(policy, entry):
    store(entry)
    before = table()
    verdict = verdict_of(entry, on_conflict=policy)
    assert verdict.action == "unchanged"
    assert not [code for code in codes([verdict]) if code != "unknown_key"]
    assert table() == before


def test_the_same_in_other_spelling_order_and_form_is_unchanged():
    store(FULL)
    apart = ("auth", "futureToo")
    other = {
        "auth": {
            **{snake(name): value for name, value in reversed(FULL["auth"].items())},
            "expires_in": 3600.0,
            "expiry_date": "2027-01-01T01:00:00+01:00",
            "refresh_token_expires_date": "2027-06-01T12:00:00.0004Z",
        },
        **{snake(name): value for name, value in FULL.items() if name not in apart},
        "futureToo": 1,
    }
    assert verdict_of(other).action == "unchanged"


@pytest.mark.parametrize(
    "changed",
    [{"expiresIn": 3600.5}, {"token": ""}, {"emails": ["ada@example.com"]}, {"meta": {"a": 1.0}}],
)
def test_any_difference_is_a_change(changed):
    store({**FULL, "auth": {**FULL_AUTH, "meta": {"a": 1}}})
    verdict = verdict_of({**FULL, "auth": {**FULL_AUTH, "meta": {"a": 1}, **changed}})
    assert verdict.action == "updated"
    assert verdict.fields == list(changed)


def test_a_change_around_the_auth_object_seals_nothing_anew():
    record = store(FULL)
    before = table()[0]
    changed = {**FULL, "isPaused": True, "updatedAt": "2026-11-02T00:00:00Z"}
    verdict = verdict_of({**changed, "permissions": None})
    assert (verdict.action, sorted(verdict.fields)) == (
        "updated",
        ["isPaused", "permissions", "updatedAt"],
    )
    after = table()[0]
    differing = {name for name in after if after[name] != before[name]}
    assert differing <= {
        "is_paused", "permissions", "source_updated_at", "version", "updated_at",
    }  # fmt: skip
    record.refresh_from_db()
    assert record.permissions is None


def test_no_auth_leaves_the_auth_object_alone():
    store(FULL)
    for policy in ("update", "replace"):
        entry = {name: value for name, value in FULL.items() if name != "auth"}
        verdict = verdict_of({**entry, "environment": policy}, on_conflict=policy)
        assert (verdict.action, verdict.fields) == ("updated", ["environment"])
    assert auth_now() == FULL["auth"]


def test_update_takes_plain_fields_from_the_file_and_keeps_secrets_that_it_lacks():
    store(FULL)
    verdict = verdict_of(connection({"accessToken": "new", "apiUrl": FULL_AUTH["apiUrl"]}))
    assert verdict.action == "updated"
    secrets = {n: v for n, v in FULL["auth"].items() if snake(n) not in schema.PLAIN_FIELDS}
    assert auth_now() == {**secrets, "accessToken": "new", "apiUrl": FULL_AUTH["apiUrl"]}
    record = ConnectionAuth.objects.get()
    assert record.expiry_date is None and record.access_expires_at is None
    assert record.environment is None


def test_replace_makes_it_exactly_the_file():
    store(FULL)
    new = connection({"accessToken": "new", "meta": {}, "emails": []})
    assert verdict_of(new, on_conflict="replace").action == "updated"
    assert auth_now() == {"accessToken": "new", "emails": [], "meta": {}}
    [written] = json.loads(export_text(shape="connection"))
    assert written == new


def test_skip_leaves_what_is_stored_and_still_creates():
    store(FULL)
    before = table()
    result, verdicts = import_text(
        [connection({"token": "new"}), {"token": "other"}], on_conflict="skip"
    )
    assert [v.action for v in verdicts] == ["skipped", "created"]
    assert (result.skipped, result.created) == (1, 1)
    assert table()[0] == before[0]


def test_fail_refuses_what_is_stored_with_other_content():
    store(FULL)
    before = table()
    verdict = verdict_of(connection({"token": "new"}), on_conflict="fail")
    assert (verdict.action, codes([verdict])) == ("rejected", ["exists"])
    assert table() == before


def test_blank_and_empty_values_are_set_like_any_other():
    store(connection({"token": "a", "emails": ["a@b.c"], "meta": {"a": 1}, "clientId": "x"}))
    empty = {"clientId": "", "emails": [], "meta": {}, "token": ""}
    assert verdict_of(connection(empty)).action == "updated"
    assert auth_now() == empty


def dated(moment, token="new"):
    return connection({"token": token}, updated_at=moment)


def test_data_that_is_older_than_what_is_stored_is_refused():
    store(dated("2026-11-10T00:00:00Z", "stored"))
    before = table()
    verdict = verdict_of(dated("2026-11-09T23:59:59.999Z"))
    assert [(i.code, i.path) for i in verdict.issues] == [("older", "updated_at")]
    assert table() == before
    assert verdict_of(dated("2026-11-09T00:00:00Z"), allow_older=True).action == "updated"


def test_equal_newer_and_undated_data_is_not_older():
    store(dated("2026-11-10T00:00:00Z", "stored"))
    assert verdict_of(dated("2026-11-10T00:00:00Z", "1")).action == "updated"
    assert verdict_of(dated("2026-11-11T00:00:00Z", "2")).action == "updated"
    assert verdict_of(connection({"token": "3"})).action == "updated"


def test_a_credential_that_was_changed_here_is_newer_than_an_older_file():
    record = store(dated("2026-11-10T00:00:00Z", "stored"))
    record.token, record.locally_changed_at = "changed here", NOW
    record.save_version()
    assert codes([verdict_of(dated("2026-11-20T00:00:00Z"))]) == ["older"]
    assert verdict_of(dated("2026-11-25T00:00:00Z")).action == "updated"


def test_a_record_is_not_older_than_itself_by_what_an_export_cuts_off():
    store(dated("2026-11-10T00:00:00.123987Z", "stored"))
    [written] = json.loads(export_text(shape="connection"))
    assert written["updatedAt"] == "2026-11-10T00:00:00.123Z"
    assert verdict_of({**written, "auth": {"token": "new"}}).action == "updated"


def test_what_is_unchanged_or_skipped_is_not_called_older():
    store({**dated("2026-11-10T00:00:00Z", "stored")})
    older = dated("2026-11-01T00:00:00Z")
    assert verdict_of(older, on_conflict="skip").action == "skipped"


def damage(record, field="access_token"):
    spoil(record, field)
    record.refresh_from_db()
    record.mark_unreadable([field])


@pytest.mark.parametrize("policy", ["update", "replace"])
@pytest.mark.parametrize("field", ["access_token", "meta", "extra"])
def test_importing_an_unreadable_record_again_mends_it(policy, field):
    record = store(FULL)
    damage(record, field)
    verdict = verdict_of(FULL, on_conflict=policy)
    assert verdict.action == "updated"
    record.refresh_from_db()
    assert record.unreadable_fields is None
    assert record.content_digest
    assert auth_now() == FULL["auth"]
    assert verdict_of(FULL).action == "unchanged"


def test_a_file_without_the_damaged_field_leaves_the_record_unreadable():
    record = store(FULL)
    damage(record)
    auth = {name: value for name, value in FULL["auth"].items() if name != "accessToken"}
    assert verdict_of({**FULL, "auth": {**auth, "name": "New"}}).action == "updated"
    record.refresh_from_db()
    assert record.unreadable_fields == ["access_token"]
    assert record.name == "New"
    with pytest.raises(SealError):
        record.access_token.reveal()


def test_what_may_not_be_added_or_changed_is_refused():
    store(FULL)
    new, changed = {"token": "new"}, connection({"token": "changed"})
    _, verdicts = import_text([new, changed], may_add=False)
    assert [v.action for v in verdicts] == ["rejected", "updated"]
    assert codes(verdicts) == ["not_permitted"]
    ConnectionAuth.all_objects.all().delete()
    store(FULL)
    before = table()
    _, verdicts = import_text([new, changed, FULL | {"id": "c2"}], may_change=False)
    assert [v.action for v in verdicts] == ["created", "rejected", "created"]
    assert table()[0] == before[0]
    assert verdict_of(FULL, may_add=False, may_change=False).action == "unchanged"


def test_received_at_moves_only_with_a_token_or_its_lifetime():
    with time_machine.travel(NOW, tick=False):
        record = store(connection({"accessToken": "a", "expiresIn": 60, "key": "k"}))
    assert record.received_at == NOW
    later = NOW
    for auth, moves in [
        ({"accessToken": "a", "expiresIn": 60, "key": "other"}, False),
        ({"accessToken": "a", "expiresIn": 60, "key": "other", "name": "x"}, False),
        ({"accessToken": MASK, "expiresIn": 60, "key": MASK}, False),
        ({"accessToken": "b", "expiresIn": 60}, True),
        ({"accessToken": "b", "expiresIn": 61}, True),
        ({"accessToken": "b"}, True),
        ({"refreshToken": "r"}, True),
        ({"refreshToken": "r", "refreshTokenExpiresIn": 5}, True),
        ({"refreshToken": "r", "refreshTokenExpiresIn": 5, "token": "t"}, True),
    ]:
        before, later = record.received_at, later + timedelta(hours=1)
        with time_machine.travel(later, tick=False):
            assert verdict_of(connection(auth)).action == "updated"
        record.refresh_from_db()
        assert record.received_at == (later if moves else before), auth


def test_an_estimate_of_the_expiry_follows_received_at():
    with time_machine.travel(NOW, tick=False):
        record = store({"accessToken": "a", "expiresIn": 60})
    assert record.access_expires_at == NOW + timedelta(seconds=60)
    assert record.expiry_source == "expires_in_estimate"
