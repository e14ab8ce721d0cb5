"""What a mask in a file keeps, and that a secret that is kept goes to no new host."""

import pytest

from tests.support.concurrent_import import (
    FULL,
    MASK,
    auth_now,
    connection,
    store,
    table,
    verdict_of,
)
from tests.support.helpers import FULL_AUTH, SECRET, codes, export_text, import_text

pytestmark = pytest.mark.django_db


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


@pytest.mark.parametrize("name", ["apiUrl", "authorizeUrl", "refreshUrl", "tokenUrl"])
@pytest.mark.parametrize("kept", [{}, {"clientSecret": MASK}, {"otherAuthInfo": ["new", MASK]}])
def test_a_new_host_is_refused_while_a_secret_is_kept(name, kept):
    other = {"otherAuthInfo": ["1", "2"]} if "otherAuthInfo" in kept else {"clientSecret": "s"}
    store(connection({**other, name: "https://good.example/v1"}))
    before = table()
    verdict = verdict_of(connection({**kept, name: "https://evil.example/x"}))
    assert ("endpoint_changed", f"auth.{name}") in [(i.code, i.path) for i in verdict.issues]
    assert verdict.action == "rejected"
    assert table() == before


def test_an_endpoint_where_there_was_none_is_a_new_host_too():
    store(connection({"clientSecret": "s"}))
    verdict = verdict_of(connection({"tokenUrl": "https://evil.example"}))
    assert codes([verdict]) == ["endpoint_changed"]


@pytest.mark.parametrize(
    "url",
    ["https://good.example/v2", "https://GOOD.example:443/v1", "https://good.example./", "", None],
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
