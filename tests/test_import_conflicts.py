"""What an import does with what is already stored: identity, policies, masks, guards."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from connections import importing, rows, schema
from connections.keyring import SealError
from connections.models import ConnectionAuth, Integration
from tests.helpers import FULL_AUTH, NOW, SECRET, Text, codes, export_text, import_text

pytestmark = pytest.mark.django_db

MASK = "********"
FULL = {
    "id": "conn-1",
    "integrationType": "hubspot",
    "integrationName": "HubSpot",
    "environment": "Sandbox",
    "createdAt": "2026-01-01T00:00:00.000Z",
    "updatedAt": "2026-11-01T00:00:00.000Z",
    "permissions": ["crm_read"],
    "isPaused": False,
    "auth": {**FULL_AUTH, "future": {"deep": [SECRET]}},
    "futureToo": 1,
}


def snake(name):
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def connection(auth=None, **fields):
    """A Connection with the id `conn-1`."""
    entry = {"id": "conn-1", "integrationType": "hubspot", **fields}
    return entry if auth is None else {**entry, "auth": auth}


def store(*entries, **options):
    """Import entries into the store; all must be stored without an error."""
    result, _ = import_text(list(entries), **options)
    assert result.error is None and result.rejected == 0
    return ConnectionAuth.all_objects.order_by("id").last()


def verdict_of(entry, **options):
    """The verdict of one entry on its own."""
    result, verdicts = import_text([entry], **options)
    assert result.error is None
    return verdicts[0]


def auth_now(record=None):
    """The auth object that is stored, as it is exported."""
    rows = ConnectionAuth.all_objects.all() if record is None else None
    rows = rows if record is None else ConnectionAuth.all_objects.filter(pk=record.pk)
    [written] = json.loads(export_text(rows))
    return written


def table():
    return list(ConnectionAuth.all_objects.order_by("id").values())


# Unchanged


@pytest.mark.parametrize("policy", importing.POLICIES)
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


# Policies


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


# Masks


@pytest.mark.parametrize("mask", [MASK, "*", "***", "•••", "*•*", "REDACTED"])
@pytest.mark.parametrize("policy", ["update", "replace"])
def test_a_masked_value_keeps_what_is_stored(mask, policy):
    store(connection({"accessToken": "kept", "pem": "kept", "state": "kept", "clientId": "a"}))
    masked = {"accessToken": mask, "pem": mask, "state": mask, "clientId": "b"}
    verdict = verdict_of(connection(masked), on_conflict=policy)
    assert (verdict.action, verdict.fields) == ("updated", ["clientId"])
    assert auth_now() == {
        "accessToken": "kept", "clientId": "b", "pem": "kept", "state": "kept",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", " ***", "***a", "redacted", "REDACTED REDACTED", "<masked>"])
def test_other_texts_are_no_masks(text):
    store(connection({"accessToken": "old"}))
    assert verdict_of(connection({"accessToken": text})).action == "updated"
    assert auth_now() == {"accessToken": text}


@pytest.mark.parametrize("shape", ["auth", "connection"])
def test_our_own_masked_export_changes_nothing(shape):
    store(FULL)
    before = table()
    text = export_text(secrets="mask", shape=shape)
    assert SECRET not in text
    _result, verdicts = import_text(text)
    if shape == "connection":
        assert [v.action for v in verdicts] == ["unchanged"]
        assert import_text(text, on_conflict="replace")[0].unchanged == 1
    else:  # an auth object has no id: there is nothing that its masks could mean
        assert set(codes(verdicts)) == {"nothing_to_keep"}
    assert table() == before


def test_masked_arrays_keep_all_items():
    store(connection({"emails": ["a@b.c", "d@e.f"], "otherAuthInfo": ["x", "y"]}))
    masked = connection({"emails": [MASK, "***"], "otherAuthInfo": ["REDACTED"] * 2})
    assert verdict_of(masked).action == "unchanged"


def test_masked_items_among_new_ones_keep_what_stood_there():
    store(connection({"emails": ["a@b.c", "d@e.f"], "otherAuthInfo": ["x", "y", "z"]}))
    new = connection({"emails": [MASK, "new@e.f"], "otherAuthInfo": ["1", MASK, "3"]})
    assert verdict_of(new).action == "updated"
    assert auth_now() == {"emails": ["a@b.c", "new@e.f"], "otherAuthInfo": ["1", "y", "3"]}


@pytest.mark.parametrize("items", [["new", MASK, "three"], [MASK, "new", "y", MASK], ["1", MASK]])
def test_masked_items_among_new_ones_need_as_many_stored(items):
    store(connection({"otherAuthInfo": ["x"], "token": "a"}))
    before = table()
    verdict = verdict_of(connection({"otherAuthInfo": items}))
    assert [(i.code, i.path) for i in verdict.issues] == [
        ("nothing_to_keep", "auth.otherAuthInfo")
    ]
    assert table() == before


def test_masked_meta_and_unknown_keys_keep_what_is_stored():
    store(FULL)
    auth = {**FULL_AUTH, "meta": {MASK: True}, MASK: True}
    assert verdict_of({**FULL, "auth": auth}).action == "unchanged"
    assert verdict_of({**FULL, "auth": auth}, on_conflict="replace").action == "unchanged"
    entry = {name: value for name, value in FULL.items() if name != "futureToo"}
    assert verdict_of({**entry, MASK: True}, on_conflict="replace").action == "unchanged"


@pytest.mark.parametrize(
    ("auth", "path"),
    [
        ({"meta": {MASK: True, "a": 1}}, "auth.meta"),
        ({"token": "a", MASK: True, "new": 1}, f"auth.{MASK}"),
    ],
)
def test_a_mask_beside_new_keys_is_refused_since_one_of_them_would_be_lost(auth, path):
    store(connection({"meta": {"a": 1}, "old": 1}))
    verdict = verdict_of(connection(auth))
    assert [(i.code, i.path) for i in verdict.issues] == [("wrong_type", path)]


@pytest.mark.parametrize(
    ("auth", "path"),
    [
        ({"accessToken": MASK}, "auth.accessToken"),
        ({"access_token": "•"}, "auth.access_token"),
        ({"emails": [MASK]}, "auth.emails"),
        ({"otherAuthInfo": ["a", MASK]}, "auth.otherAuthInfo"),
        ({"meta": {MASK: True}}, "auth.meta"),
        ({"token": "t", MASK: True}, f"auth.{MASK}"),
    ],
)
@pytest.mark.parametrize("is_stored", [False, True])
def test_a_mask_with_nothing_stored_to_keep_is_refused(auth, path, is_stored):
    if is_stored:
        store(connection({"token": "t"}))
    before = table()
    verdict = verdict_of(connection(auth))
    assert verdict.action == "rejected"
    assert [(i.code, i.path) for i in verdict.issues] == [("nothing_to_keep", path)]
    assert table() == before


def test_stars_inside_meta_are_data():
    assert verdict_of({"meta": {"scope": "*", "pin": "****"}}).action == "created"
    assert auth_now() == {"meta": {"pin": "****", "scope": "*"}}


def test_stars_in_a_plain_field_are_data():
    store(connection({"token": "a", "clientId": "b"}))
    assert verdict_of(connection({"clientId": "***"})).action == "updated"
    assert auth_now() == {"clientId": "***", "token": "a"}


# The endpoint guard


@pytest.mark.parametrize("name", ["apiUrl", "authorizeUrl", "refreshUrl", "tokenUrl"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "https://good.example@evil.example/",
        "https://good.example:8443/",
        "good.example.evil",
        "//evil.example/good.example",
        "\u200bhttps://evil.example",
        "{{ host }}/v1",
    ],
)
@pytest.mark.parametrize("kept", [{}, {"clientSecret": MASK}, {"otherAuthInfo": ["new", MASK]}])
def test_a_new_host_is_refused_while_a_secret_is_kept(name, url, kept):
    other = {"otherAuthInfo": ["1", "2"]} if "otherAuthInfo" in kept else {"clientSecret": "s"}
    store(connection({**other, name: "https://good.example/v1"}))
    before = table()
    verdict = verdict_of(connection({**kept, name: url}))
    assert ("endpoint_changed", f"auth.{name}") in [(i.code, i.path) for i in verdict.issues]
    assert verdict.action == "rejected"
    assert table() == before


def test_an_endpoint_where_there_was_none_is_a_new_host_too():
    store(connection({"clientSecret": "s"}))
    verdict = verdict_of(connection({"tokenUrl": "https://evil.example"}))
    assert codes([verdict]) == ["endpoint_changed"]


@pytest.mark.parametrize(
    "url",
    [
        "https://good.example/v2?x=1",
        "https://GOOD.example:443/v1",
        "https://good.example./",
        "http://good.example",
        "",
        None,
    ],
)
def test_the_same_host_and_no_host_are_no_new_host(url):
    store(connection({"clientSecret": "s", "apiUrl": "https://good.example/v1"}))
    verdict = verdict_of(connection({"apiUrl": url, "token": "new"}))
    assert verdict.action == "updated", verdict.issues


def test_a_new_host_may_come_along_with_all_secrets():
    old = {"clientSecret": "s", "emails": ["a@b.c"], "apiUrl": "https://good.example"}
    store(connection(old))
    new = {"clientSecret": "t", "apiUrl": "https://new.example"}
    assert verdict_of(connection(new)).action == "updated"
    assert auth_now() == {"emails": ["a@b.c"], **new}


def test_replace_keeps_no_secret_so_a_new_host_is_fine():
    store(connection({"clientSecret": "s", "apiUrl": "https://good.example"}))
    verdict = verdict_of(connection({"apiUrl": "https://new.example"}), on_conflict="replace")
    assert verdict.action == "updated"
    assert auth_now() == {"apiUrl": "https://new.example"}


# The older guard


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
    record.save()
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


# Within one file


def test_an_identical_entry_twice_is_one_record_and_a_warning():
    for entry in (FULL, {"token": "a"}, connection()):
        ConnectionAuth.all_objects.all().delete()
        _result, verdicts = import_text([entry, {"key": "other"}, entry])
        assert [v.action for v in verdicts] == ["created", "created", "unchanged"]
        assert codes(verdicts)[-1] == "duplicate"
        assert ConnectionAuth.objects.count() == 2


def test_two_spellings_of_one_content_are_identical():
    one = {"accessToken": "a", "expiresIn": 1, "meta": {"a": 1, "b": 2}}
    two = {"meta": {"b": 2, "a": 1}, "expires_in": 1.0, "access_token": "a"}
    for entries in ([one, two], [connection(one), connection(two)]):
        ConnectionAuth.all_objects.all().delete()
        _, verdicts = import_text(entries)
        assert [v.action for v in verdicts] == ["created", "unchanged"]
        assert codes(verdicts) == ["duplicate"]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("with_id", [False, True])
def test_duplicates_are_found_however_far_apart(with_id, dry_run):
    one, two = {"accessToken": "a", "appId": "b"}, {"app_id": "b", "access_token": "a"}
    if with_id:
        one, two = connection(one), connection(two)
    between = [{"token": str(n)} for n in range(1100)]
    result, verdicts = import_text([one, *between, two], dry_run=dry_run)
    assert (result.created, result.unchanged, result.warnings) == (1101, 1, 1)
    assert codes(verdicts) == ["duplicate"]


def test_different_records_with_one_id_are_all_refused():
    entries = [connection({"token": str(n // 2)}) for n in range(4)]
    _result, verdicts = import_text([*entries, {"token": "fine"}])
    assert [v.action for v in verdicts] == ["rejected"] * 4 + ["created"]
    assert set(codes(verdicts)) == {"same_id_twice"}
    assert {i.path for v in verdicts for i in v.issues} == {"id"}


def test_different_records_with_one_id_are_found_however_far_apart():
    between = [{"token": str(n)} for n in range(1100)]
    entries = [connection({"token": "x"}), *between, connection({"token": "y"})]
    result, _ = import_text(entries)
    assert (result.created, result.rejected) == (1100, 2)


def test_a_refused_entry_does_not_stand_in_the_way_of_a_good_one_with_its_id():
    _result, verdicts = import_text([connection({"token": 5}), connection({"token": "a"})])
    assert [v.action for v in verdicts] == ["rejected", "created"]


def test_the_same_id_in_two_files_is_an_update():
    sources = [Text([connection({"token": "a"})]), Text([connection({"token": "b"})])]
    result = importing.run(sources)
    assert (result.created, result.updated) == (1, 1)


# Entries without an id


def test_entries_without_an_id_have_no_identity_but_their_content():
    store({"token": "a", "expiresIn": 1})
    _result, verdicts = import_text([{"token": "a", "expiresIn": 1}, {"token": "a"}])
    assert [v.action for v in verdicts] == ["unchanged", "created"]


def test_equal_content_in_another_integration_or_environment_is_another_record():
    auth = {"token": "a"}
    places = [
        {"integration_type": "hubspot", "auth": auth},
        {"integration_type": "salesforce", "auth": auth},
        {"integration_type": "hubspot", "environment": "Sandbox", "auth": auth},
    ]
    result, _ = import_text(places)
    assert result.created == 3
    result, _ = import_text(places)
    assert result.unchanged == 3


def test_an_auth_object_alone_names_no_place_and_is_unchanged_wherever_its_content_is():
    store(FULL)
    before = table()
    verdict = verdict_of(json.loads(export_text())[0])
    assert verdict.action == "unchanged"
    assert table() == before


def test_unknown_keys_of_a_connection_are_compared_too():
    store(FULL)
    assert verdict_of({**FULL, "futureToo": 2}).action == "updated"
    less = {name: value for name, value in FULL.items() if name != "futureToo"}
    assert verdict_of(less).action == "unchanged"
    assert verdict_of(less, on_conflict="replace").action == "updated"
    assert json.loads(export_text(shape="connection")) == [less]


def test_unknown_keys_around_content_that_is_stored_are_added_to_it():
    store({"integration_type": "hubspot", "auth": {"token": "a"}})
    more = {"integrationType": "hubspot", "auth": {"token": "a"}, "newKey": 1}
    assert verdict_of(more).action == "updated"
    assert verdict_of(more).action == "unchanged"
    assert json.loads(export_text(shape="connection")) == [more]


def test_integration_and_environment_are_for_entries_that_name_none():
    import_text(
        [
            {"token": "a"},
            {"integration_type": "own", "environment": "Own", "auth": {"token": "b"}},
        ],
        integration="default",
        environment="Test",
    )
    found = ConnectionAuth.objects.order_by("id").values_list("integration_id", "environment")
    assert list(found) == [("default", "Test"), ("own", "Own")]
    assert Integration.objects.count() == 2


# The bin


@pytest.mark.parametrize("entry", [FULL, {"token": "a"}])
def test_a_record_in_the_bin_is_restored_with_a_warning(entry):
    record = store(entry)
    ConnectionAuth.all_objects.update(binned_at=NOW)
    verdict = verdict_of(entry)
    assert verdict.action == "updated"
    assert codes([verdict])[-1] == "restored"
    record.refresh_from_db()
    assert record.binned_at is None
    assert ConnectionAuth.all_objects.count() == 1
    assert verdict_of(entry).action == "unchanged"


def test_skip_and_fail_leave_the_bin_alone():
    store(FULL)
    ConnectionAuth.all_objects.update(binned_at=NOW)
    assert verdict_of(FULL, on_conflict="skip").action == "skipped"
    assert "exists" in codes([verdict_of(FULL, on_conflict="fail")])
    assert not ConnectionAuth.objects.exists()


# Unreadable records


def damage(record, field="access_token"):
    with database.cursor() as cursor:
        cursor.execute(f"UPDATE {ConnectionAuth._meta.db_table} SET {field} = 'damaged'")
    record.refresh_from_db()
    record.note_unreadable([field])


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


# Permissions


def test_what_may_not_be_added_or_changed_is_refused():
    store(FULL)
    before = table()
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


# received_at


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


# All or nothing


def test_atomic_stores_nothing_if_one_record_is_refused():
    entries = [{"token": str(n)} for n in range(700)] + [{"token": 5}]
    result, _ = import_text(entries, atomic=True)
    assert result.error["code"] == "nothing_stored"
    assert (result.created, result.skipped, result.rejected, result.read) == (0, 700, 1, 701)
    assert not ConnectionAuth.all_objects.exists()
    assert not Integration.objects.exists()
    result, _ = import_text(entries[:-1], atomic=True)
    assert (result.error, result.created) == (None, 700)


def test_without_atomic_the_good_ones_are_stored():
    result, _ = import_text([{"token": "a"}, {"token": 5}, {"token": "b"}])
    assert (result.error, result.created, result.rejected) == (None, 2, 1)


# Dry run


@pytest.mark.parametrize("policy", importing.POLICIES)
@pytest.mark.parametrize("atomic", [False, True])
def test_a_dry_run_says_the_same_and_writes_nothing(policy, atomic):
    store(FULL, {"token": "stored"})
    binned = store(connection({"token": "binned"}) | {"id": "binned"})
    ConnectionAuth.all_objects.filter(pk=binned.pk).update(binned_at=NOW)
    entries = [
        {"token": "stored"},
        {**FULL, "auth": {**FULL["auth"], "accessToken": "new"}},
        {**FULL, "id": "new", "integrationType": "brand-new"},
        {"token": "twice"},
        {"token": "twice"},
        connection({"token": "binned"}) | {"id": "binned"},
    ]
    if not atomic:
        entries.append({"token": 5})
    before, integrations = table(), Integration.objects.count()
    with CaptureQueriesContext(
        database,
    ) as queries:
        dry, said = import_text(entries, dry_run=True, on_conflict=policy)
    writes = [q["sql"] for q in queries if not q["sql"].lstrip().upper().startswith("SELECT")]
    assert writes == []
    assert table() == before
    assert Integration.objects.count() == integrations
    real, done = import_text(entries, on_conflict=policy)
    assert [(v.action, v.issues, v.fields) for v in said] == [
        (v.action, v.issues, v.fields) for v in done
    ]
    assert dry.as_json() | {"seconds": 0, "dry_run": 0} == real.as_json() | {
        "seconds": 0, "dry_run": 0,
    }  # fmt: skip


# Integrations


def test_integrations_that_are_met_are_created_and_kept():
    Integration.objects.create(type="hubspot", name="Our HubSpot")
    store(
        connection({"token": "a"}, integrationName="HubSpot") | {"id": "1"},
        {"integration_type": "my_crm-2", "auth": {"token": "b"}},
        {"integration_type": "named", "integration_name": "Named Ltd", "auth": {"token": "c"}},
    )
    assert dict(Integration.objects.values_list("type", "name")) == {
        "hubspot": "Our HubSpot",
        "my_crm-2": "My crm 2",
        "named": "Named Ltd",
    }


# Two imports at once


def test_a_batch_that_loses_a_race_is_judged_again(monkeypatch):
    """Another import stores the same between our look and our write."""
    insert = rows.insert
    raced = []

    def race(new):
        if not raced:
            raced.append(True)
            import_text([{"integration_type": "raced", "auth": {"token": "a"}}])
        insert(new)

    monkeypatch.setattr(rows, "insert", race)
    entries = [{"integration_type": "raced", "auth": {"token": name}} for name in "ab"]
    _result, verdicts = import_text(entries)
    assert [v.action for v in verdicts] in (["unchanged", "created"], ["created", "created"])
    assert ConnectionAuth.objects.count() == 2
