"""What one record may hold: every refusal and every warning, with its code and place.

No message ever holds a value.
"""

import io
import json
from datetime import datetime, timezone

import pytest
from django.core.management import CommandError, call_command

from connections.issues import RECORD_ERRORS, WARNINGS
from connections.models import ConnectionAuth
from tests.helpers import FULL_AUTH, SECRET, Text, export_text, import_text

pytestmark = pytest.mark.django_db

KIB = 1024
PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
NEIGHBOURS = [{"token": "first"}, {"token": "last"}]


def judge(entry):
    """Import one entry (JSON text or a value) between two good ones; its verdict.

    The neighbours are stored whatever happens to it. Begins with an empty store.
    """
    ConnectionAuth.all_objects.all().delete()
    text = entry if isinstance(entry, str) else json.dumps(entry)
    first, last = map(json.dumps, NEIGHBOURS)
    result, verdicts = import_text(f"[{first},{text},{last}]")
    assert result.error is None
    assert result.read == 3
    assert [v.action for v in verdicts if v.record != 1] == ["created", "created"]
    assert ConnectionAuth.objects.count() == result.created
    verdict = verdicts[1]
    for issue in verdict.issues:
        assert (issue.record, issue.file, issue.line) == (1, "test.json", None)
        assert SECRET not in issue.message and SECRET not in issue.path
        assert issue.level == ("error" if issue.code in RECORD_ERRORS else "warning")
    return verdict


def refused(entry):
    """The (code, path) of what an entry is refused for."""
    verdict = judge(entry)
    assert verdict.action == "rejected", verdict.issues
    assert ConnectionAuth.objects.count() == 2
    return [(issue.code, issue.path) for issue in verdict.issues if issue.level == "error"]


def warned(entry):
    """The (code, path) of what is said of an entry that is stored."""
    verdict = judge(entry)
    assert verdict.action == "created", verdict.issues
    assert all(issue.code in WARNINGS for issue in verdict.issues)
    return [(issue.code, issue.path) for issue in verdict.issues]


def stored():
    """The auth object of the record that is not a neighbour, as it is exported."""
    return json.loads(export_text())[1]


# Entries


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


# Types

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


# Duplicate keys and spellings


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
    for name, value in FULL_AUTH.items():
        snake = "".join("_" + c.lower() if c.isupper() else c for c in name)
        warned({snake: value})
        assert stored() == {name: value}
        warned({name: value})
        assert stored() == {name: value}


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


# Absent, blank, empty and zero


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


# Dates


def iso_of(value):
    """What a date is stored as, exported; the issues that its import made."""
    issues = warned({"token": "a", "expiryDate": value})
    return stored().get("expiryDate"), [code for code, path in issues if path == "expiryDate"]


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000Z"),
        ("2027-01-01T00:00:00.123456789Z", "2027-01-01T00:00:00.123Z"),
        ("2027-01-01T02:30:00+02:30", "2027-01-01T00:00:00.000Z"),
        ("2027-01-01T00:00:00-0000", "2027-01-01T00:00:00.000Z"),
        ("2026-12-31t23:59:59,5z", "2026-12-31T23:59:59.500Z"),
        ("2027-01-01 00:00 Z", "2027-01-01T00:00:00.000Z"),
        (" 2027-01-01T00:00:00Z\n", "2027-01-01T00:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999Z"),
        ("2028-02-29T12:00:00Z", "2028-02-29T12:00:00.000Z"),
    ],
)
def test_dates_with_a_zone_are_read(value, iso):
    assert iso_of(value) == (iso, [])


@pytest.mark.parametrize(
    ("value", "iso", "code"),
    [
        ("2027-01-01T10:00:00", "2027-01-01T10:00:00.000Z", "date_without_zone"),
        ("2027-01-01", "2027-01-01T00:00:00.000Z", "date_without_zone"),
        (1798761600, "2027-01-01T00:00:00.000Z", "date_as_number"),
        (1798761600000, "2027-01-01T00:00:00.000Z", "date_as_number"),
        (1798761600.5, "2027-01-01T00:00:00.500Z", "date_as_number"),
        (0, "1970-01-01T00:00:00.000Z", "date_as_number"),
        (-1, "1969-12-31T23:59:59.000Z", "date_as_number"),
        ("", None, "empty_date"),
        ("  ", None, "empty_date"),
    ],
)
def test_odd_dates_are_read_with_a_warning(value, iso, code):
    assert iso_of(value) == (iso, [code])


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-31T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "2027-01-01T24:00:00Z",
        "2027-01-01T25:00:00Z",
        "2026-12-31T23:59:60Z",
        "2027-01-01T00:60:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2027-01-01T00:00:00+24:00",
        "2027-01-01T00:00:00+02:60",
        "01/02/2027",
        "2027-1-1",
        "20270101",
        "20270101T000000Z",
        "2027-01-01T00:00:00 CET",
        "Fri, 01 Jan 2027 00:00:00 GMT",
        "1798761600",
        "tomorrow",
        "2027-W01",
        "٢٠٢٧-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z\0",
        SECRET,
        1e300,
        10**20,
        10**400,
    ],
)
def test_impossible_and_ambiguous_dates_are_refused(value):
    assert refused({"token": "a", "refreshTokenExpiresDate": value}) == [
        ("bad_date", "refreshTokenExpiresDate")
    ]


@pytest.mark.parametrize("value", [True, [], {}, ["2027-01-01"]])
def test_a_date_is_a_text_or_a_number(value):
    assert refused({"token": "a", "expiryDate": value}) == [("wrong_type", "expiryDate")]


# Text


@pytest.mark.parametrize("bad", ["\ud800", "\udc00\ud800", "\0", "\ude00"])
@pytest.mark.parametrize(
    ("frame", "path"),
    [
        (lambda t: {"accessToken": t}, "accessToken"),
        (lambda t: {"token": "a", "name": t}, "name"),
        (lambda t: {"token": "a", "clientId": t}, "clientId"),
        (lambda t: {"token": "a", "apiUrl": f"https://{t}"}, "apiUrl"),
        (lambda t: {"emails": ["a@b.c", t]}, "emails[1]"),
        (lambda t: {"meta": {"a": [1, {"b": t}]}}, "meta"),
        (lambda t: {"meta": {"a": {t: 1}}}, "meta"),
        (lambda t: {"token": "a", "more": [t]}, "more"),
        (lambda t: {"token": "a", "more": {t: 1}}, "more"),
        (lambda t: {"auth": {"pem": t}}, "auth.pem"),
        (lambda t: {"integration_type": t}, "integration_type"),
        (lambda t: {"integration_type": "a", "categories": [t]}, "categories[0]"),
    ],
)
def test_half_surrogates_and_u0000_are_refused_wherever_they_are(bad, frame, path):
    assert refused(frame(f"{SECRET}{bad}")) == [("bad_text", path)]


@pytest.mark.parametrize("bad", ["\ud800", "\0"])
def test_half_surrogates_and_u0000_in_a_key_are_refused_and_shown_escaped(bad):
    assert refused({"token": "a", f"x{bad}y": 1}) == [("bad_text", f"x\\u{ord(bad):04x}y")]


def test_pairs_of_surrogates_are_a_character():
    assert warned(r'{"token":"\ud83d\ude00"}') == []
    assert stored() == {"token": "\U0001f600"}


def test_numbers_of_no_use_inside_meta_are_refused():
    assert refused('{"meta":{"a":[1e400]}}') == [("bad_number", "meta")]
    assert refused('{"token":"a","more":-1e400}') == [("bad_number", "more")]
    assert refused('{"meta":{"a":' + "9" * 5000 + "}}") == [("bad_number", "meta")]


def test_big_whole_numbers_inside_meta_are_kept():
    number = 10**300 + 1
    assert warned(f'{{"meta":{{"a":{number}}}}}') == []
    assert stored()["meta"]["a"] == number


@pytest.mark.parametrize("name", ["accessToken", "clientId", "pem", "state", "apiUrl"])
def test_a_text_may_have_128_kib(name):
    start = "https://a.example/" if name == "apiUrl" else ""
    fits = start + "x" * (128 * KIB - len(start))
    assert [code for code, _ in warned({name: fits})] in ([], ["pem_without_end"])
    assert stored()[name] == fits
    assert refused({name: fits + "x"}) == [("too_long", name)]
    assert refused({name: start + "ü" * (64 * KIB + 1)}) == [("too_long", name)]


def test_the_texts_inside_others_may_have_128_kib_too():
    text = "ü" * (64 * KIB)
    assert warned({"emails": ["a@" + text[2:]], "meta": {text: [text]}, "x": text}) == [
        ("unknown_key", "x")
    ]
    for entry, path in [
        ({"otherAuthInfo": [text + "x"]}, "otherAuthInfo[0]"),
        ({"meta": {"a": [text + "x"]}}, "meta"),
        ({"meta": {text + "x": 1}}, "meta"),
        ({"token": "a", "x": {"y": text + "x"}}, "x"),
    ]:
        assert refused(entry) == [("too_long", path)]


@pytest.mark.parametrize("name", ["name", "id", "environment", "integration_type", "externalXref"])
def test_what_is_listed_may_have_255_characters(name):
    def entry(value):
        if name == "name":
            return {"name": value}
        return {"integration_type": "hubspot", name: value}

    assert warned(entry("漢" * 255)) == []
    assert refused(entry("x" * 256)) == [("too_long", name)]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "{{ 7*7 }}{% debug %}",
        '=HYPERLINK("http://x")',
        "a\x1b[31mred\x07\u202e\x7f",
        "'; DROP TABLE connections_connectionauth; --",
        "${jndi:ldap://x}",
        "\ufeffBOM",
    ],
)
def test_text_is_text(text):
    assert warned({"name": text, "clientId": text, "state": text, "meta": {text: text}}) == []
    assert stored() == {"clientId": text, "meta": {text: text}, "name": text, "state": text}


# Addresses

URLS = ["apiUrl", "authorize_url", "refreshUrl", "tokenUrl"]


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "javascript:alert(1)",
        " JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ldap://a.example",
        "mailto:a@b.example",
        "javascript:{x}",
        "https://[::1",
        "https:///path",
        "https:a.example",
        "http://",
        f"https://evil.example\\@good.example/{SECRET}",
    ],
)
def test_other_schemes_and_broken_addresses_are_refused(name, url):
    assert refused({name: url}) == [("bad_url", name)]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://user:pass@a.example/", "url_with_user"),
        ("https://user@a.example/", "url_with_user"),
        ("https://localhost/x", "url_private_host"),
        ("http://127.0.0.1:8000", "url_private_host"),
        ("http://10.1.2.3", "url_private_host"),
        ("http://192.168.0.1", "url_private_host"),
        ("http://172.16.0.1", "url_private_host"),
        ("http://169.254.169.254/latest", "url_private_host"),
        ("http://[::1]:80/", "url_private_host"),
        ("http://[fd00::1]/", "url_private_host"),
        ("http://[::ffff:10.0.0.1]/", "url_private_host"),
        ("http://127.1/", "url_private_host"),
        ("http://0x7f000001/", "url_private_host"),
        ("http://2130706433/", "url_private_host"),
        ("http://intranet/", "url_private_host"),
        ("https://nas.local./", "url_private_host"),
        ("https://{tenant}.example.com/", "url_template"),
        ("https://${TENANT}.example.com/", "url_template"),
        ("{{ base_url }}/token", "url_template"),
        ("https://<tenant>.example.com/", "url_template"),
        ("https://<host>/", "url_template"),
        ("a.example/token", "url_without_scheme"),
        ("a.example:8443/token", "url_without_scheme"),
        ("/token", "url_without_scheme"),
    ],
)
def test_odd_addresses_are_kept_with_a_warning(url, code):
    assert warned({"tokenUrl": url}) == [(code, "tokenUrl")]
    assert stored() == {"tokenUrl": url}


def test_all_that_is_odd_about_an_address_is_said():
    assert warned({"apiUrl": "https://user:pass@10.0.0.1/{tenant}"}) == [
        ("url_template", "apiUrl"),
        ("url_with_user", "apiUrl"),
        ("url_private_host", "apiUrl"),
    ]


@pytest.mark.parametrize(
    "url", ["https://a.example", "HTTP://A.EXAMPLE:8080/x?y=z#w", "https://münchen.example/", ""]
)
def test_good_addresses_are_kept_as_they_are(url):
    assert warned({"apiUrl": url}) == []
    assert stored() == {"apiUrl": url}


# Warnings


def test_unknown_keys_are_kept_and_named_up_to_twenty():
    unknown = {f"key_{n}": {"v": n} for n in range(20)}
    assert warned({"token": "a", **unknown}) == [("unknown_key", key) for key in unknown]
    assert stored() == {"token": "a", **unknown}
    unknown |= {"key_20": 1, "key_21": 2}
    verdict = judge({"token": "a", **unknown})
    assert len(verdict.issues) == 21
    assert verdict.issues[-1].message.startswith("2 more")
    assert stored() == {"token": "a", **unknown}


def test_unknown_keys_of_a_connection_and_its_auth_object_are_kept_apart():
    entry = {
        "integrationType": "hubspot",
        "auth": {"token": "a", "new": 1, "is_paused": True},
        "new": [2],
        "accessToken": "not here",
    }
    assert sorted(warned(entry)) == [
        ("unknown_key", "accessToken"),
        ("unknown_key", "auth.is_paused"),
        ("unknown_key", "auth.new"),
        ("unknown_key", "new"),
    ]
    written = json.loads(export_text(shape="connection"))[1]
    assert written == entry


def test_an_unknown_key_that_is_null_is_absent():
    assert warned({"token": "a", "new": None}) == []


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        ("3600", ["number_as_text"]),
        (" 3600.5 ", ["number_as_text"]),
        ("-5", ["number_as_text", "negative_number"]),
        (-0.5, ["negative_number"]),
        (50 * 366 * 86400, ["long_lifetime"]),
        (50 * 365 * 86400, []),
        (0, []),
        (3599.9, []),
    ],
)
def test_odd_lifetimes_are_kept_with_a_warning(value, codes):
    assert warned({"token": "a", "expires_in": value}) == [(code, "expires_in") for code in codes]
    assert stored()["expiresIn"] == float(value)


@pytest.mark.parametrize("name", ["accessToken", "key", "clientSecret", "refreshToken", "token"])
@pytest.mark.parametrize("value", [" a", "a\n", "a\r\n", "a\nb", "\ta", "\u00a0a"])
def test_blanks_around_a_token_are_kept_with_a_warning(name, value):
    assert warned({name: value}) == [("outer_blanks", name)]
    assert stored() == {name: value}


def test_a_key_in_pem_form_has_line_breaks_without_a_warning():
    assert warned({"key": PEM}) == []


def test_what_is_no_email_is_kept_with_a_warning():
    emails = ["ada@example.com", "ada", "", "a b@c.d", "ü@münchen.example", "a@b@c"]
    assert warned({"emails": emails}) == [
        ("no_email", "emails[1]"),
        ("no_email", "emails[2]"),
        ("no_email", "emails[3]"),
        ("no_email", "emails[5]"),
    ]
    assert stored() == {"emails": emails}


def test_warnings_for_one_array_are_limited():
    verdict = judge({"emails": ["x"] * 100})
    assert len(verdict.issues) == 21


def test_a_pem_without_an_end_line_is_kept_with_a_warning():
    assert warned({"pem": PEM}) == []
    for text in ("-----BEGIN CERTIFICATE-----\nMII\n", "MII", PEM.replace("\n", "\r\n")[:-5]):
        assert warned({"pem": text}) == [("pem_without_end", "pem")]
        assert stored() == {"pem": text}


def test_sealed_values_are_never_trimmed_or_normalised():
    pem = PEM.replace("\n", "\r\n") + "\n\n \t"
    state = " e\u0301 \u212b \r\n"  # not in normal form
    warned({"pem": pem, "state": state})
    assert stored() == {"pem": pem, "state": state}


# All at once


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


def test_lines_are_named_in_ndjson():
    text = '{"token":"a"}\n\n{"token":5}\nnonsense\n{"token":"b"}\n'
    result, verdicts = import_text(text, "a.ndjson")
    assert (result.created, result.rejected) == (2, 2)
    issues = [issue for verdict in verdicts for issue in verdict.issues]
    assert [(i.record, i.line, i.code) for i in issues] == [
        (1, 3, "wrong_type"),
        (2, 4, "bad_line"),
    ]


def test_a_refused_record_changes_nothing_that_is_stored():
    import_text([{"id": "c", "integration_type": "hubspot", "auth": {"token": "a"}}])
    before = list(ConnectionAuth.all_objects.values())
    for auth in ({"token": "b", "key": 5}, {"token": "b", "expiryDate": "soon"}):
        result, _ = import_text([{"id": "c", "integration_type": "salesforce", "auth": auth}])
        assert result.rejected == 1
    assert list(ConnectionAuth.all_objects.values()) == before


def test_a_record_full_of_faults_is_refused_quickly_and_briefly():
    twice = ",".join(f'"k{n}":1,"k{n}":2' for n in range(100_000))
    assert len(judge(f'{{"token":"a",{twice}}}').issues) <= 41
    nulls = ",".join(f'"k{n}":"\\u0000"' for n in range(100_000))
    assert len(judge(f'{{"token":"a",{nulls}}}').issues) <= 41
    assert len(judge(f'{{"meta":{{{nulls}}}}}').issues) == 1


# Nothing leaks

FAULTS = [
    SECRET,
    5,
    [SECRET],
    {SECRET: SECRET},
    f"{SECRET}\0",
    f"{SECRET}\ud800",
    SECRET * 10_000,
    f" {SECRET}\n",
    f"ftp://{SECRET}",
    f"https://{SECRET}:{SECRET}@localhost/{{{SECRET}}}",
    [SECRET, 5],
    [f"{SECRET}\0"],
    {"a": {SECRET: f"{SECRET}\0"}},
    {"a": {f"{SECRET}\0": 1}},
]


def everything_wrong():
    """Entries with a recognisable secret in every place and with every fault."""
    entries = []
    for fault in FAULTS:
        for name in (*FULL_AUTH, "new"):
            entries.append({"token": SECRET, name: fault})
            entries.append({"id": f"c{len(entries)}", "auth": {"key": SECRET, name: fault}})
        if not isinstance(fault, dict):  # the names of unknown keys are named
            entries.append({"integration_type": "hubspot", "auth": fault, "new": fault})
            entries.append(fault)
    texts = [json.dumps(entry) for entry in entries]
    texts += [
        f'{{"token":"{SECRET}","token":"{SECRET}2"}}',
        f'{{"meta":{{"{SECRET}":1,"{SECRET}":2}}}}',
        f'{{"accessToken":"{SECRET}","access_token":"{SECRET}2"}}',
        f'{{"key":"{SECRET}", oops}}',
        f'{{"key":"{SECRET}"',
        f"{SECRET}",
    ]
    return "\n".join(texts)


@pytest.mark.parametrize("on_conflict", ["update", "replace", "fail"])
def test_no_value_is_ever_printed_reported_or_logged(tmp_path, capfd, caplog, on_conflict):
    path, report = tmp_path / "odd.ndjson", tmp_path / "report.ndjson"
    path.write_text(everything_wrong())
    for _ in range(2):
        out, err = io.StringIO(), io.StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command(
                "import_connections",
                str(path),
                "--report",
                str(report),
                "--json",
                "--on-conflict",
                on_conflict,
                stdout=out,
                stderr=err,
            )
        assert ended.value.code == 1
        captured = capfd.readouterr()
        everything = (
            "".join([out.getvalue(), err.getvalue(), captured.out, captured.err, caplog.text])
            + report.read_text()
        )
        assert len(everything) > 10_000
        assert "SECRET" not in everything and "6f1d2c" not in everything
    counted = json.loads(out.getvalue())
    assert counted["rejected"] > 100
    assert counted["warnings"] == report.read_text().count('"level": "warning"')


@pytest.mark.parametrize(
    "text",
    [
        f'[{{"token":"{SECRET}"',
        f'[{{"token":"{SECRET}"}}] {SECRET}',
        f"{{{SECRET}: 1}}",
        f"[{{'token': '{SECRET}'}}]",
        f'[{{"{SECRET}": {SECRET}}}]',
        f'"{SECRET}"',
        f'[{{"token":"{SECRET}","a":NaN}}]',
        f'[{{"token":"{SECRET}\x01"}}]',
    ],
)
def test_no_refusal_of_a_file_holds_a_value(tmp_path, text, caplog):
    path, report = tmp_path / "odd.json", tmp_path / "report.ndjson"
    path.write_text(text)
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError) as raised:
        call_command(
            "import_connections",
            str(path),
            "--report",
            str(report),
            "--json",
            stdout=out,
            stderr=err,
        )
    assert raised.value.returncode == 2
    everything = str(raised.value) + out.getvalue() + err.getvalue() + report.read_text()
    assert SECRET not in everything + caplog.text
    assert json.loads(report.read_text())["code"] == json.loads(out.getvalue())["error"]["code"]


def test_a_file_that_is_refused_stores_nothing_however_late_its_fault():
    good = json.dumps([{"token": str(n)} for n in range(1200)])
    result, verdicts = import_text(good[:-1] + ",}")
    assert result.error["code"] == "json5"
    assert (result.read, verdicts) == (0, [])
    assert not ConnectionAuth.all_objects.exists()


def test_a_fault_in_a_second_file_keeps_the_first_out_as_well():
    from connections import importing

    result = importing.run([Text([{"token": "a"}]), Text('[{"token":"b"}', "second.json")])
    assert result.error == {
        "code": "truncated",
        "message": "second.json: The file ends in the middle of a value.",
    }
    assert not ConnectionAuth.all_objects.exists()


def test_dates_at_the_ends_of_time_are_data():
    for year in ("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"):
        import_text([{"token": year, "expiryDate": year, "expiresIn": 1e11}])
    found = ConnectionAuth.objects.bucket_counts(datetime(2026, 11, 24, tzinfo=timezone.utc))
    assert (found["broken"], found["later"]) == (1, 1)
