"""What an import keeps with a warning: unknown keys, odd lifetimes, tokens, e-mails and PEM."""

import json

import pytest

from tests.support.helpers import export_text
from tests.support.verdicts import judge, stored, warned

pytestmark = pytest.mark.django_db
PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"


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
    for text in (PEM, PEM + PEM):
        assert warned({"pem": text}) == []
    cut_off = PEM.replace("\n", "\r\n")[:-5]
    for text in ("-----BEGIN CERTIFICATE-----\nMII\n", "MII", cut_off, PEM + cut_off):
        assert warned({"pem": text}) == [("pem_without_end", "pem")]
        assert stored() == {"pem": text}


def test_sealed_values_are_never_trimmed_or_normalised():
    pem = PEM.replace("\n", "\r\n") + "\n\n \t"
    state = " e\u0301 \u212b \r\n"  # not in normal form
    warned({"pem": pem, "state": state})
    assert stored() == {"pem": pem, "state": state}
