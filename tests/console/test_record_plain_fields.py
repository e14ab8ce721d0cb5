"""Plain fields on the page of a connection, and what is derived from them."""

from datetime import datetime, timezone

import pytest

from connections.json_format import schema
from connections.models import Integration
from tests.support.helpers import NOW, SECRET, make
from tests.support.module_store import module_store
from tests.support.record_form import (
    PLAIN_TEXT,
    errors_of,
    full_record,
    messages_of,
    refusals,
    save,
    stored,
)

pytestmark = pytest.mark.django_db
full = module_store(full_record, "full")


# Plain fields


@pytest.mark.parametrize("value", ["", None, " a ", "line\nbreak\r\n", "n" * 255, "\ttab"])
def test_plain_texts_survive_a_save_that_is_not_about_them(client, value):
    record = make(**{name: value for name in PLAIN_TEXT}, connection_id="c", key=SECRET)
    save(client, record, key="new")
    after = stored(record)
    assert {name: getattr(after, name) for name in PLAIN_TEXT} == dict.fromkeys(PLAIN_TEXT, value)
    assert after.connection_id == "c"


@pytest.mark.parametrize("value", [None, True, False])
def test_paused_survives(client, value):
    record = make(name="A", is_paused=value)
    save(client, record, app_id="b")
    assert stored(record).is_paused is value


def test_paused_can_be_changed_both_ways(client):
    record = make(name="A")
    save(client, record, is_paused="on")
    assert stored(record).is_paused is True
    save(client, record, is_paused=None)
    assert stored(record).is_paused is False


def test_a_save_without_a_change_writes_nothing(client, full):
    response = save(client, full)
    assert "Nothing was different." in messages_of(response)[-1]
    assert stored(full).version == full.version
    assert stored(full).updated_at == full.updated_at


def test_plain_fields_change_and_empty_ones_become_absent(client, full):
    save(client, full, **dict.fromkeys(PLAIN_TEXT, ""), integration="", expires_in="")
    after = stored(full)
    assert {getattr(after, name) for name in PLAIN_TEXT} == {None}
    assert after.integration is None
    assert after.expires_in is None
    assert after.connection_id == "conn-1"


def test_the_id_can_not_be_changed(client, full):
    response = save(client, full, connection_id="other", app_id="x")
    assert stored(full).connection_id == "conn-1"
    assert "Changed: appId." in messages_of(response)[-1]


def test_a_name_that_is_too_long_is_refused(client):
    record = make(name="A")
    response = save(client, record, name="n" * 256, expiry_date="soon", expires_in="x")
    assert errors_of(response)["name"] == ["Over 255 characters."]
    assert {*errors_of(response)} == {"name", "expiry_date", "expires_in"}
    assert stored(record).version == record.version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2030-01-01T00:00:00.000Z", "2030-01-01T00:00:00+00:00"),
        ("2030-01-01 14:20 +01:00", "2030-01-01T13:20:00+00:00"),
        ("2030-01-01 14:20:30.123456-0330", "2030-01-01T17:50:30.123456+00:00"),
        (" 2030-06-01T00:00z ", "2030-06-01T00:00:00+00:00"),
        ("0001-01-01 00:00 Z", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31 23:59:59.999999 Z", "9999-12-31T23:59:59.999999+00:00"),
        ("2024-02-29 00:00 Z", "2024-02-29T00:00:00+00:00"),
    ],
)
def test_dates_with_a_zone(client, text, expected):
    record = make(name="A", key=SECRET)
    save(client, record, expiry_date=text, refresh_token_expires_date=text)
    after = stored(record)
    assert after.expiry_date.isoformat() == expected
    assert after.refresh_token_expires_date.isoformat() == expected


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-01 14:20",
        "2030-01-01",
        "2030-02-30 00:00 Z",
        "2030-13-01 00:00 Z",
        "01/02/2030",
        "2030-01-01 25:00 Z",
        "2030-01-01 00:00:60 Z",
        "0001-01-01 00:00 +14:00",
        "9999-12-31 23:59 -12:00",
        "10000-01-01 00:00 Z",
        "tomorrow",
        "1893456000",
        "x" * 5000,
        "2030-01-01 00:00 +99:00",
    ],
)
def test_dates_that_say_no_instant_are_refused_with_a_sentence(text):
    record = make(name="A", key=SECRET, expiry_date=NOW)
    [error] = refusals(record, expiry_date=text)["expiry_date"]
    assert "2026-11-30 14:20 +01:00" in error


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "moments",
    [
        ("2030-01-01T00:00:00.123456", "1850-06-01T12:00:00"),
        ("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"),
        ("9999-12-31T23:59:59.999999", "0001-01-01T00:00:00"),
        ("2026-10-25T00:30:00", "2026-10-25T01:30:00"),
    ],
)
def test_an_unchanged_date_keeps_its_microseconds(client, settings, zone, moments):
    settings.TIME_ZONE = zone
    access, refresh = (datetime.fromisoformat(f"{moment}+00:00") for moment in moments)
    record = make(name="A", key=SECRET, expiry_date=access, refresh_token_expires_date=refresh)
    response = save(client, record, app_id="x")
    assert "Changed: appId." in messages_of(response)[-1]
    assert stored(record).expiry_date == access
    assert stored(record).refresh_token_expires_date == refresh


def test_a_date_can_be_cleared(client):
    record = make(name="A", key=SECRET, expiry_date=NOW)
    save(client, record, expiry_date="")
    assert stored(record).expiry_date is None
    assert stored(record).breaks_at is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("3600", 3600), ("3599.9", 3599.9), ("0", 0), ("-5", -5), ("1e3", 1000), (" 7 ", 7)],
)
def test_numbers(client, text, value):
    record = make(name="A", access_token=SECRET)
    save(client, record, expires_in=text, refresh_token_expires_in=text)
    assert stored(record).expires_in == value
    assert stored(record).refresh_token_expires_in == value


@pytest.mark.parametrize("text", ["x", "1,5", "NaN", "Infinity", "1e999", "1e12", "-1e12", "true"])
def test_numbers_that_are_none_are_refused(text):
    assert {*refusals(make(name="A"), expires_in=text)} == {"expires_in"}


@pytest.mark.parametrize("value", [0.1, 3599.9999999, 86400.0, 0.0, -1.0, 1e11, 123456789.25])
def test_an_unchanged_number_stays(client, value):
    record = make(name="A", access_token=SECRET, expires_in=value)
    response = save(client, record, app_id="x")
    assert "Changed: appId." in messages_of(response)[-1]
    assert stored(record).expires_in == value


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVa\tScript:alert(1)",
        "file:///etc/passwd",
        "ftp://x.com",
        "data:text/html,x",
        "https://",
        "http://[::1",
    ],
)
def test_addresses_with_another_scheme_are_refused(url):
    record = make(name="A", key=SECRET)
    refused = refusals(record, **dict.fromkeys(schema.ENDPOINT_FIELDS, url))
    assert {*refused} == {*schema.ENDPOINT_FIELDS}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_url": "http://10.0.0.1/"}, "API address: Address of a private or local host."),
        ({"api_url": "https://u:p@x.com"}, "API address: Address with a user name in it."),
        ({"token_url": "https://{t}.x.com"}, "Token address: Address with a placeholder in it."),
        ({"key": " k "}, "Key: Blanks or line breaks around or in a token, kept."),
        ({"emails": "nobody"}, "E-mail addresses: Not an e-mail address, kept."),
        ({"pem": "x"}, "Certificate: PEM text without an END line."),
        ({"expires_in": "-1"}, "Access lasts: Negative number of seconds."),
    ],
)
def test_accepted_oddities_are_shown_as_warnings(client, changes, words):
    record = make(name="A")
    assert words in messages_of(save(client, record, **changes))


def test_an_odd_stored_value_does_not_stop_another_change(client):
    record = make(name="A", api_url="javascript:1", expires_in=1e15, key="********")
    save(client, record, app_id="x")
    assert stored(record).app_id == "x"
    assert stored(record).api_url == "javascript:1"


def test_the_integration_can_be_changed(client, full):
    Integration.objects.create(type="a&b <c>", name="Other")
    response = save(client, full, integration="a&b <c>")
    assert stored(full).integration_id == "a&b <c>"
    assert "Changed: integration" in messages_of(response)[-1]


def test_an_integration_that_is_not_there_is_refused(full):
    assert "integration" in refusals(full, integration="nobody")


# What is derived, and what moves


def test_derived_columns_follow(client):
    record = make(name="A", access_token=SECRET)
    save(client, record, expiry_date="2030-01-01 00:00 Z")
    after = stored(record)
    assert after.breaks_at == datetime(2030, 1, 1, tzinfo=timezone.utc)
    assert after.expiry_source == "expiry_date"
    assert after.content_digest != record.content_digest
    save(client, record, refresh_token="r")
    assert stored(record).renewable
    assert stored(record).breaks_at is None
    save(client, record, clear_access_token="on", clear_refresh_token="on")
    assert stored(record).auth_kind == "empty"


@pytest.mark.parametrize(
    ("changes", "received", "changed_here"),
    [
        ({"access_token": "new"}, True, True),
        ({"clear_refresh_token": "on"}, True, True),
        ({"token": "new"}, True, True),
        ({"expires_in": "60"}, True, False),
        ({"client_secret": "new"}, False, True),
        ({"pem": "new"}, False, True),
        ({"name": "new"}, False, False),
        ({"expiry_date": "2031-01-01 00:00 Z"}, False, False),
        ({"emails": "a@example.com"}, False, False),
        ({"state": "new"}, False, False),
        ({"is_paused": "on"}, False, False),
        ({}, False, False),
    ],
)
def test_when_moments_move(client, full, changes, received, changed_here):
    save(client, full, **changes)
    after = stored(full)
    assert (after.received_at > full.received_at) == received
    assert (after.received_at == full.received_at) != received
    assert (after.locally_changed_at is not None) == changed_here


def test_a_change_of_plain_connection_columns_opens_nothing(client, full, nothing_opens):
    nothing_opens()
    save(client, full, is_paused="on", external_xref="z")
    assert stored(full).external_xref == "z"
