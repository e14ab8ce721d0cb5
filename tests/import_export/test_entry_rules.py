"""What a record may be: its entry, its types, its keys, and all its faults named at once."""

import json

import pytest

from connections.models import ConnectionAuth
from tests.support.concurrent_import import snake
from tests.support.helpers import FULL_AUTH, SECRET, export_text, import_text
from tests.support.verdicts import judge, refused, stored, warned

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("entry", ["5", '"text"', "null", "true", "[]", '[{"token":"a"}]'])
def test_an_entry_that_is_no_object_is_refused(entry):
    assert refused(entry) == [("not_an_object", "")]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"token": None},
        {"shoe_size": 46},
        {"auth": {}},
        {"auth": {"shoe_size": 46}},
        {"integration_type": None, "token": None},
        {"expiryDate": ""},
        {"id": "c-1", "name_": "x"},
    ],
)
def test_an_entry_without_a_known_field_is_refused(entry):
    assert ("no_known_field", "") in refused(entry)


def test_a_connection_needs_no_auth_object():
    assert warned({"integration_type": "hubspot", "auth": {}}) == []
    assert warned({"id": "c-9", "integrationType": "hubspot"}) == []


TEXTS = ["accessToken", "apiUrl", "client_id", "clientSecret", "name", "pem", "state", "user_id"]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", [5, 1.5, True, False, {"a": SECRET}, [SECRET], 0, [], {}])
def test_text_fields_take_text_only(name, value):
    assert refused({"token": "a", name: value}) == [("wrong_type", name)]


@pytest.mark.parametrize("name", ["emails", "otherAuthInfo", "other_auth_info"])
@pytest.mark.parametrize("value", [SECRET, 5, True, {"a": SECRET}, ""])
def test_array_fields_take_arrays_only(name, value):
    assert refused({"token": "a", name: value}) == [("wrong_type", name)]


@pytest.mark.parametrize("item", [5, None, True, {"a": SECRET}, [SECRET]])
def test_arrays_hold_texts_only(item):
    assert refused({"emails": ["a@b.example", item]}) == [("wrong_type", "emails[1]")]
    assert refused({"other_auth_info": [item]}) == [("wrong_type", "other_auth_info[0]")]


@pytest.mark.parametrize("value", [SECRET, 5, True, [SECRET], ""])
def test_meta_is_an_object(value):
    assert refused({"token": "a", "meta": value}) == [("wrong_type", "meta")]


@pytest.mark.parametrize("name", ["expiresIn", "expires_in", "refreshTokenExpiresIn"])
@pytest.mark.parametrize("value", ["true", '"an hour"', '""', "[]", "{}", '"12,5"', '"0x10"'])
def test_lifetimes_are_numbers(name, value):
    assert refused(f'{{"token":"a","{name}":{value}}}') == [("wrong_type", name)]


@pytest.mark.parametrize(
    "value", ["1e400", "-1e400", "100000000000.1", "100000000001", "-1e12", '"1e12"', "9" * 5000]
)
def test_lifetimes_are_finite_and_at_most_1e11(value):
    assert refused(f'{{"token":"a","expires_in":{value}}}') == [("bad_number", "expires_in")]


def test_a_lifetime_at_the_limit_is_stored():
    assert warned({"token": "a", "expiresIn": 1e11}) == [("long_lifetime", "expiresIn")]
    assert stored()["expiresIn"] == 100000000000


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"integration_type": "hubspot", "id": 5}, "id"),
        ({"integration_type": 5}, "integration_type"),
        ({"integrationType": "hubspot", "isPaused": "yes"}, "isPaused"),
        ({"integrationType": "hubspot", "is_paused": 0}, "is_paused"),
        ({"integrationType": "hubspot", "permissions": "all"}, "permissions"),
        ({"integrationType": "hubspot", "categories": ["a", 1]}, "categories[1]"),
        ({"integrationType": "hubspot", "auth": "token"}, "auth"),
        ({"auth": []}, "auth"),
        ({"integrationType": "hubspot", "auth": {"token": 5}}, "auth.token"),
        ({"auth": {"emails": [1]}}, "auth.emails[0]"),
        ({"integrationType": "hubspot", "updated_at": True}, "updated_at"),
    ],
)
def test_the_fields_of_a_connection_have_types_too(entry, path):
    assert refused(entry) == [("wrong_type", path)]


def test_a_blank_id_is_refused():
    assert refused({"id": "", "integration_type": "hubspot"}) == [("blank_id", "id")]


def test_one_key_twice_with_different_values_is_refused():
    assert refused(f'{{"token":"a","token":"{SECRET}"}}') == [("conflicting_keys", "token")]
    assert refused('{"auth":{"token":"a","token":null}}') == [("conflicting_keys", "auth.token")]
    assert refused('{"token":"a","expiresIn":1,"expiresIn":1.0}') == [
        ("conflicting_keys", "expiresIn")
    ]
    assert refused('{"token":"a","x":1,"x":true}') == [("conflicting_keys", "x")]


def test_one_key_twice_with_the_same_value_is_one():
    assert warned('{"token":"a","token":"a","meta":{"b":[1],"b":[1]}}') == []


def test_conflicts_inside_meta_are_refused_without_naming_what_is_inside():
    text = f'{{"meta":{{"a":[{{"{SECRET}":1,"{SECRET}":2}}]}}}}'
    assert refused(text) == [("conflicting_keys", "meta")]
    assert ("conflicting_keys", "unknown") in refused(
        f'{{"token":"t","unknown":{{"{SECRET}":1,"{SECRET}":2}}}}'
    )


def test_both_spellings_of_a_field_are_read():
    expected = [{name: value} for name, value in FULL_AUTH.items()]
    for spell in (snake, str):
        ConnectionAuth.all_objects.all().delete()
        import_text([{spell(name): value} for name, value in FULL_AUTH.items()])
        assert json.loads(export_text()) == expected


def test_both_spellings_at_once_must_agree():
    assert warned({"accessToken": "a", "access_token": "a", "apiUrl": None, "api_url": ""}) == []
    assert stored() == {"accessToken": "a", "apiUrl": ""}


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"accessToken": "a", "access_token": SECRET}, "access_token"),
        ({"access_token": "a", "accessToken": ""}, "accessToken"),
        ({"expiresIn": 0, "expires_in": False}, "expires_in"),
        ({"auth": {"token": "a", "appId": "1", "app_id": "2"}}, "auth.app_id"),
        ({"integrationType": "a", "integration_type": "b"}, "integration_type"),
    ],
)
def test_spellings_that_differ_are_refused(entry, path):
    assert refused(entry) == [("conflicting_keys", path)]


def test_absent_blank_empty_and_zero_are_five_things():
    entry = {
        "accessToken": "",
        "apiUrl": "",
        "emails": [],
        "expiresIn": 0,
        "meta": {},
        "name": "",
        "otherAuthInfo": [],
        "pem": "",
        "refreshTokenExpiresIn": 0,
    }
    assert warned({**entry, "token": None, "expiryDate": None}) == []
    assert stored() == entry
    assert isinstance(stored()["expiresIn"], int)


def test_all_faults_of_a_record_are_named_at_once():
    entry = {"token": 5, "emails": "x", "expiry_date": "soon", "apiUrl": "ftp://x", "new": 1}
    verdict = judge(entry)
    assert [(i.code, i.path) for i in verdict.issues] == [
        ("wrong_type", "token"),
        ("wrong_type", "emails"),
        ("bad_date", "expiry_date"),
        ("bad_url", "apiUrl"),
        ("unknown_key", "new"),
    ]


def test_a_refused_record_changes_nothing_that_is_stored():
    import_text([{"id": "c", "integration_type": "hubspot", "auth": {"token": "a"}}])
    before = list(ConnectionAuth.all_objects.values())
    for auth in ({"token": "b", "key": 5}, {"token": "b", "expiryDate": "soon"}):
        result, _ = import_text([{"id": "c", "integration_type": "salesforce", "auth": auth}])
        assert result.rejected == 1
    assert list(ConnectionAuth.all_objects.values()) == before


def test_a_record_full_of_faults_is_refused_quickly_and_briefly():
    twice = ",".join(f'"k{n}":1,"k{n}":2' for n in range(20_000))
    assert len(judge(f'{{"token":"a",{twice}}}').issues) <= 41
    nulls = ",".join(f'"k{n}":"\\u0000"' for n in range(20_000))
    assert len(judge(f'{{"token":"a",{nulls}}}').issues) <= 41
    assert len(judge(f'{{"meta":{{{nulls}}}}}').issues) == 1
