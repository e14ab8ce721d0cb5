"""The page of one connection: what it shows, keeps, replaces, refuses, and never opens."""

import json
import re
import threading
from datetime import datetime, timedelta, timezone

import pytest
import time_machine
from cryptography.fernet import Fernet
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse

from connections import wording
from connections.admin import ConnectionAuthAdmin
from connections.fields import Sealed
from connections.models import SEALED_COLUMNS, ConnectionAuth, Integration

from .helpers import FULL_AUTH, NOW, SECRET, export_text, import_text, make, user_with

pytestmark = pytest.mark.django_db
ADD = reverse("admin:connections_connectionauth_add")
LIST = reverse("admin:connections_connectionauth_changelist")


@pytest.fixture
def client(admin_client):
    return admin_client


def page(record, what="change"):
    return reverse(f"admin:connections_connectionauth_{what}", args=[record.pk])


def form_data(record):
    """What a browser would send back of the page of a record that nobody touched."""
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_active=True)
    model_admin = admin.site.get_model_admin(ConnectionAuth)
    form = model_admin.get_form(request, record, change=True)(instance=stored(record))
    data = {}
    for field in form:
        shown, widget = field.value(), field.field.widget
        if isinstance(shown, bool):
            data.update({field.name: "on"} if shown else {})
        elif shown is not None and widget.input_type == "select":
            data[field.name] = str(shown)
        elif shown is not None:
            text = str(widget.format_value(shown) or "")
            data[field.name] = text.replace("\r", "").replace("\n", "")
    return data


def save(client, record, **changes):
    """Send the page of a record with some inputs changed; None leaves one out."""
    data = {**form_data(record), **changes}
    return client.post(page(record), {k: v for k, v in data.items() if v is not None})


def add(client, **data):
    return client.post(ADD, data)


def messages_of(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def errors_of(response):
    return response.context["adminform"].form.errors


def stored(record):
    return ConnectionAuth.all_objects.get(pk=record.pk)


def full_record():
    """A record with everything in it, unknown keys too."""
    Integration.objects.get_or_create(
        type="hubspot", name="HubSpot", token_names=["API key", "PIN"]
    )
    entry = {
        "id": "conn-1",
        "integrationType": "hubspot",
        "environment": "Sandbox",
        "externalXref": "customer-9",
        "categories": ["crm"],
        "permissions": ["read"],
        "isPaused": False,
        "workspaceId": "ws-1",
        "auth": {**FULL_AUTH, "newKey": f"{SECRET}-new"},
    }
    result, _ = import_text([entry])
    assert result.created == 1
    return ConnectionAuth.objects.get(connection_id="conn-1")


def spoil(record, *names, token="garbage"):
    for name in names:
        ConnectionAuth.all_objects.filter(pk=record.pk).update(
            **{name: Sealed(token, name, str(record.pk))}
        )


# Looking


def test_looking_opens_nothing_and_shows_no_secret(client, nothing_opens):
    record = full_record()
    nothing_opens()
    content = client.get(page(record)).content.decode()
    assert "synth-SECRET" not in content
    assert "ada@example.com" not in content
    assert "gAAAA" not in content  # nor a token


def test_the_states_of_sealed_fields(client):
    with time_machine.travel(datetime.now(timezone.utc) - timedelta(days=3, hours=1)):
        record = make(name="A", pem="x" * 1234, key=SECRET)
    spoil(record, "key")
    content = re.sub(r"\s+", " ", client.get(page(record)).content.decode())
    assert "<strong>Stored, about 1.2 KB</strong>" in content
    assert "sealed 3 days ago" in content
    assert "Stored, does not open" in content
    assert "Not set" in content


def test_every_sealed_field_can_be_reached(client):
    record = make(name="A")
    content = client.get(page(record)).content.decode()
    for name in SEALED_COLUMNS:
        assert (f'name="{name}"' in content) == (name != "extra")


def test_the_number_of_queries(client, django_assert_max_num_queries):
    record = full_record()
    client.get(page(record))
    with django_assert_max_num_queries(12):
        client.get(page(record))


@pytest.mark.parametrize("pk", ["x", "1", "00000000-0000-0000-0000-000000000000", "a_2Fb"])
@pytest.mark.parametrize("what", ["change", "delete", "history"])
def test_a_record_that_is_not_there(client, pk, what):
    url = LIST + f"{pk}/{what}/"
    for response in (client.get(url), client.post(url, {"post": "yes"})):
        assert response.status_code == 404


def test_a_record_in_the_bin_is_not_there(client):
    record = make(name="A", binned_at=NOW)
    assert client.get(page(record)).status_code == 404


def test_whoever_may_only_look_sees_no_inputs_and_changes_nothing():
    record = full_record()
    client = user_with("view_connectionauth")
    response = client.get(page(record))
    content = response.content.decode()
    inside = content.split('id="connectionauth_form"')[1].split("</form>")[0]
    assert not re.findall(r"<(?:textarea|select|details|button)", inside)
    assert {*re.findall(r'<input[^>]*type="(\w+)"', inside)} <= {"hidden"}
    assert SECRET not in content
    assert "Bramblewood Care Homes" in content
    assert client.post(page(record), {"name": "Mine", "version": "1"}).status_code == 403
    assert client.post(page(record, "delete"), {"post": "yes"}).status_code == 403
    assert client.get(ADD).status_code == 403
    assert stored(record).name == "Bramblewood Care Homes"


@pytest.mark.parametrize("kind", ["oauth2", "oauth1", "certificate", "api_key", "other", "empty"])
@pytest.mark.parametrize("ends_in", [timedelta(days=-1), timedelta(hours=3), timedelta(days=99)])
def test_each_kind_has_a_page(client, kind, ends_in):
    fields = {
        "oauth2": {"access_token": "x", "refresh_token": "y"},
        "oauth1": {"consumer_key": "x", "consumer_secret": "y"},
        "certificate": {"pem": "x"},
        "api_key": {"key": "x"},
        "other": {"other_auth_info": ["x"]},
        "empty": {},
    }[kind]
    record = make(name="A", ends_in=ends_in, **fields)
    assert record.auth_kind == kind
    assert client.get(page(record)).status_code == 200


def test_other_credentials_stand_beside_their_names(client):
    record = full_record()
    content = re.sub(r"\s+", " ", client.get(page(record)).content.decode())
    section = content.split("field-other_auth_info")[1].split('class="row')[0]
    assert "<dt>1</dt><dd>API key</dd><dt>2</dt><dd>PIN</dd>" in section


HOSTILE = "</textarea><script>alert(1)</script>{{ 7|add:7 }}\"' onfocus=x "


def test_hostile_texts_are_text(client):
    Integration.objects.create(type=HOSTILE, name=HOSTILE, token_names=[HOSTILE])
    names = ("name", "app_id", "client_id", "user_id", "audience", "environment", "external_xref")
    record = make(
        **{name: HOSTILE + "\x1b\u202e" for name in names},
        integration_id=HOSTILE,
        connection_id=HOSTILE,
        workspace_id=HOSTILE,
        last_unhealthy_code=HOSTILE,
        categories=[HOSTILE],
        other_auth_info=[SECRET],
    )
    viewer = user_with("view_connectionauth")
    for content in (
        client.get(page(record)).content.decode(),
        viewer.get(page(record)).content.decode(),
        client.get(page(record, "delete")).content.decode(),
        client.get(page(record, "history")).content.decode(),
    ):
        assert "<script>alert" not in content
        assert "{{ 7|add:7 }}" in content
    save(client, record, key="new")
    assert stored(record).name == HOSTILE + "\x1b\u202e"


# Sealed fields: blank keeps, typed replaces, a tick clears


def test_blank_keeps_every_secret(client):
    record = full_record()
    before = record.open_auth()
    response = save(client, record, app_id="app-2")
    assert "Changed: appId." in messages_of(response)[-1]
    after = stored(record)
    assert after.open_auth() == ({**before[0], "app_id": "app-2"}, [])
    for name in SEALED_COLUMNS:
        assert getattr(after, name).token == getattr(record, name).token


EXACT = {
    "blanks": "  leading and trailing  ",
    "tabs": "\ta\tb\t",
    "line_feeds": "\nfirst\n\nlast\n",
    "carriage_returns": "\r\nfirst\r\n\r\nlast\r\n",
    "lone_carriage_returns": "a\rb",
    "emoji": "🗝️ ключ 鍵",
    "markup": "<b>&amp;</b>{{ x }}%00",
    "json": '"quoted"',
    "long": "k" * 100 * 1024,
    "only_a_blank": " ",
    "separators": "a\u2028b\u0085c\x0bd\x1ce\ufeff",
}


@pytest.mark.parametrize("text", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("name", ["pem", "access_token", "state"])
def test_what_is_typed_is_sealed_exactly(client, name, text):
    record = make(name="A", key=SECRET)
    save(
        client,
        record,
        **{name: text.replace("\r\n", "\n").replace("\n", "\r\n")},
        **{f"{name}_json": json.dumps(text)},
    )
    assert getattr(stored(record), name).reveal() == text
    assert stored(record).key.reveal() == SECRET


@pytest.mark.parametrize("text", ["a\r\nb\r\n", "  x  "])
def test_without_the_script_it_is_what_the_browser_sends(client, text):
    record = make(name="A")
    save(client, record, pem=text)
    assert stored(record).pem.reveal() == text


@pytest.mark.parametrize("exact", ["{", "1", "null", "[]", '{"a": 1}', "\0"])
def test_a_broken_exact_text_falls_back_to_the_plain_one(client, exact):
    record = make(name="A")
    save(client, record, pem="plain", pem_json=exact)
    assert stored(record).pem.reveal() == "plain"


def test_a_typed_secret_replaces_the_stored_one_alone(client):
    record = full_record()
    response = save(client, record, client_secret="synth-new")
    assert stored(record).client_secret.reveal() == "synth-new"
    assert stored(record).access_token.token == record.access_token.token
    assert messages_of(response) == ["<b>Saved Bramblewood Care Homes.</b> Changed: clientSecret."]


@pytest.mark.parametrize("name", SEALED_COLUMNS)
def test_a_tick_clears(client, name):
    record = full_record()
    before, _ = record.open_auth()
    save(client, record, **{f"clear_{name}": "on"})
    before.pop(name)
    assert stored(record).open_auth() == (before, [])
    assert getattr(stored(record), name) is None


def test_a_value_and_the_tick_are_an_error(client):
    record = full_record()
    response = save(client, record, key="synth-typed", clear_key="on")
    assert errors_of(response) == {"key": ["Either a new value or the tick, not both."]}
    assert "synth-typed" not in response.content.decode()
    assert stored(record).key.reveal() == record.key.reveal()


def test_a_tick_where_nothing_is_stored_changes_nothing(client):
    record = make(name="A")
    assert "Nothing was different." in messages_of(save(client, record, clear_key="on"))[-1]
    assert stored(record).version == record.version


def test_a_refused_form_never_sends_back_what_was_typed(client):
    record = make(name="A", key=SECRET)
    typed = {name: f"synth-typed-{name}" for name in SEALED_COLUMNS}
    typed |= {f"{name}_json": json.dumps(f"synth-typed-{name}") for name in SEALED_COLUMNS}
    response = save(client, record, **typed, expiry_date="soon")
    assert set(errors_of(response)) == {"expiry_date", "meta"}
    assert "synth-typed" not in response.content.decode()
    assert "synth-SECRET" not in response.content.decode()
    assert stored(record).version == record.version


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("meta", '{"a": [1.0, "ü", null], "b": {}}', {"a": [1.0, "ü", None], "b": {}}),
        ("meta", "{}", {}),
        (
            "emails",
            "ada@example.com\r\n\r\ngrace@example.com\r\n",
            ["ada@example.com", "grace@example.com"],
        ),
        ("other_auth_info", " one \r\n\r\nthree\r\n", [" one ", "", "three"]),
        ("other_auth_info", "one", ["one"]),
    ],
)
def test_arrays_and_objects(client, name, text, value):
    record = make(name="A")
    save(client, record, **{name: text})
    assert getattr(stored(record), name).reveal() == value


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "1",
        "null",
        '{"a": NaN}',
        '{"a": 1e999}',
        "[" * 5000,
        '{"a": "\\ud800"}',
        '{"a": "\\u0000"}',
        '{"a": ' + "9" * 5000 + "}",
        '{"a": 1, "a": 2}',
        '{"a":' * 198 + "1" + "}" * 198,
    ],
)
def test_meta_that_is_no_clean_object_is_refused(client, text):
    record = make(name="A")
    response = save(client, record, meta=text)
    assert "meta" in errors_of(response)
    assert stored(record).meta is None


def test_the_deepest_meta_comes_back_from_its_export(client):
    record = make(name="A")
    save(client, record, meta='{"a":' * 197 + "1" + "}" * 197)
    text = export_text(shape="connection")
    record.delete()
    assert import_text(text)[0].created == 1


@pytest.mark.parametrize("name", ["key", "pem", "state"])
@pytest.mark.parametrize("text", ["********", "•••", "REDACTED", "*"])
def test_a_mask_is_no_value(client, name, text):
    record = full_record()
    response = save(client, record, **{name: text})
    assert name in errors_of(response)
    assert getattr(stored(record), name).token == getattr(record, name).token


@pytest.mark.parametrize(
    ("name", "text"),
    [("meta", '{"********": true}'), ("other_auth_info", "a\r\n********"), ("emails", "***")],
)
def test_a_mask_inside_is_no_value(client, name, text):
    record = full_record()
    assert name in errors_of(save(client, record, **{name: text}))
    assert getattr(stored(record), name).token == getattr(record, name).token


@pytest.mark.parametrize("text", ["a\0b", "k" * (128 * 1024 + 1)])
def test_text_that_can_not_be_kept_is_refused(client, text):
    record = make(name="A")
    response = save(client, record, key=text)
    assert "key" in errors_of(response)
    assert "kkkk" not in response.content.decode()


def test_unknown_keys_are_kept_and_can_be_cleared(client):
    record = full_record()
    save(client, record, name="Other", key="new")
    assert stored(record).extra.reveal() == {"auth": {"newKey": f"{SECRET}-new"}}
    response = save(client, record, clear_extra="on", extra="{}")
    assert stored(record).extra is None
    assert "Changed: extra." in messages_of(response)[-1]


# Plain fields


PLAIN_TEXT = (
    "name",
    "app_id",
    "audience",
    "client_id",
    "user_id",
    "api_url",
    "token_url",
    "authorize_url",
    "refresh_url",
    "environment",
    "external_xref",
)


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


def test_a_save_without_a_change_writes_nothing(client):
    record = full_record()
    response = save(client, record)
    assert "Nothing was different." in messages_of(response)[-1]
    assert stored(record).version == record.version
    assert stored(record).updated_at == record.updated_at


def test_plain_fields_change_and_empty_ones_become_absent(client):
    record = full_record()
    save(client, record, **dict.fromkeys(PLAIN_TEXT, ""), integration="", expires_in="")
    after = stored(record)
    assert {getattr(after, name) for name in PLAIN_TEXT} == {None}
    assert after.integration is None
    assert after.expires_in is None
    assert after.connection_id == "conn-1"


def test_the_id_can_not_be_changed(client):
    record = full_record()
    response = save(client, record, connection_id="other", app_id="x")
    assert stored(record).connection_id == "conn-1"
    assert "Changed: appId." in messages_of(response)[-1]


def test_a_name_that_is_too_long_is_refused(client):
    record = make(name="A")
    response = save(client, record, name="n" * 256)
    assert errors_of(response)["name"] == ["Over 255 characters."]


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
@pytest.mark.parametrize("name", ["expiry_date", "refresh_token_expires_date"])
def test_dates_with_a_zone(client, name, text, expected):
    record = make(name="A", key=SECRET)
    save(client, record, **{name: text})
    assert getattr(stored(record), name).isoformat() == expected


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
def test_dates_that_say_no_instant_are_refused_with_a_sentence(client, text):
    record = make(name="A", key=SECRET, expiry_date=NOW)
    response = save(client, record, expiry_date=text)
    [error] = errors_of(response)["expiry_date"]
    assert "2026-11-30 14:20 +01:00" in error
    assert stored(record).expiry_date == NOW


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "moment",
    [
        "2030-01-01T00:00:00.123456",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59.999999",
        "1850-06-01T12:00:00",
        "2026-10-25T00:30:00",
        "2026-10-25T01:30:00",
    ],
)
def test_a_date_that_nobody_touched_stays_to_the_microsecond(client, settings, zone, moment):
    settings.TIME_ZONE = zone
    moment = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc)
    record = make(name="A", key=SECRET, expiry_date=moment, refresh_token_expires_date=moment)
    response = save(client, record, app_id="x")
    assert "Changed: appId." in messages_of(response)[-1]
    assert stored(record).expiry_date == moment
    assert stored(record).refresh_token_expires_date == moment


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
def test_numbers_that_are_none_are_refused(client, text):
    record = make(name="A", access_token=SECRET)
    assert "expires_in" in errors_of(save(client, record, expires_in=text))
    assert stored(record).expires_in is None


@pytest.mark.parametrize("value", [0.1, 3599.9999999, 86400.0, 0.0, -1.0, 1e11, 123456789.25])
def test_a_number_that_nobody_touched_stays(client, value):
    record = make(name="A", access_token=SECRET, expires_in=value)
    response = save(client, record, app_id="x")
    assert "Changed: appId." in messages_of(response)[-1]
    assert stored(record).expires_in == value


@pytest.mark.parametrize("name", ["api_url", "token_url", "authorize_url", "refresh_url"])
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
def test_addresses_with_another_scheme_are_refused(client, name, url):
    record = make(name="A", key=SECRET)
    response = save(client, record, **{name: url})
    assert name in errors_of(response)
    assert getattr(stored(record), name) is None


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
def test_accepted_oddities_are_told(client, changes, words):
    record = make(name="A")
    assert words in messages_of(save(client, record, **changes))


def test_an_odd_stored_value_does_not_stop_another_change(client):
    record = make(name="A", api_url="javascript:1", expires_in=1e15, key="********")
    save(client, record, app_id="x")
    assert stored(record).app_id == "x"
    assert stored(record).api_url == "javascript:1"


def test_the_integration_can_be_changed(client):
    record = full_record()
    Integration.objects.create(type="a&b <c>", name="Other")
    response = save(client, record, integration="a&b <c>")
    assert stored(record).integration_id == "a&b <c>"
    assert "Changed: integration" in messages_of(response)[-1]


def test_an_integration_that_is_not_there_is_refused(client):
    record = full_record()
    assert "integration" in errors_of(save(client, record, integration="nobody"))


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
def test_when_moments_move(client, changes, received, changed_here):
    record = full_record()
    save(client, record, **changes)
    after = stored(record)
    assert (after.received_at > record.received_at) == received
    assert (after.received_at == record.received_at) != received
    assert (after.locally_changed_at is not None) == changed_here


def test_a_change_of_plain_connection_columns_opens_nothing(client, nothing_opens):
    record = full_record()
    nothing_opens()
    save(client, record, is_paused="on", external_xref="z")
    assert stored(record).external_xref == "z"


# Two people


def test_the_second_is_told_who_was_first_and_nothing_is_overwritten(client):
    record = full_record()
    opened = form_data(record)
    ada = user_with("view_connectionauth", "change_connectionauth")
    save(ada, record, app_id="ada's", key="ada-key")
    response = client.post(page(record), {**opened, "app_id": "mine", "key": "synth-my-key"})
    assert response.status_code == 200
    content = response.content.decode()
    assert "Somebody else saved this connection meanwhile" in content
    assert "<strong>somebody</strong>" in content
    assert "synth-my-key" not in content
    after = stored(record)
    assert after.app_id == "ada's"
    assert after.key.reveal() == "ada-key"
    # Sending it again without a look changes nothing either.
    client.post(page(record), {**opened, "app_id": "mine"})
    assert stored(record).app_id == "ada's"


def test_a_change_by_an_import_is_put_on_nobody(client):
    record = full_record()
    save(client, record, app_id="first")
    opened = form_data(record)
    import_text([{"id": "conn-1", "integrationType": "hubspot", "environment": "Live"}])
    response = client.post(page(record), {**opened, "app_id": "mine"})
    assert "Somebody else saved" in response.content.decode()
    assert not response.context["conflict"]
    assert stored(record).app_id == "first"


@pytest.mark.parametrize("version", ["", "x", "0", "-1", "99999999999999999999"])
def test_a_form_without_the_version_that_was_seen_changes_nothing(client, version):
    record = full_record()
    response = save(client, record, version=version, app_id="mine")
    assert response.status_code == 200
    assert stored(record).app_id == "app-1"


def test_when_both_post_at_once_the_second_is_told(client, monkeypatch):
    record = full_record()
    save_model = ConnectionAuthAdmin.save_model

    def first_somebody_else(self, request, obj, form, change):
        ConnectionAuth.objects.filter(pk=obj.pk).update(app_id="theirs", version=obj.version + 1)
        save_model(self, request, obj, form, change)

    monkeypatch.setattr(ConnectionAuthAdmin, "save_model", first_somebody_else)
    response = save(client, record, app_id="mine")
    assert (
        "changed by somebody else meanwhile. Nothing is overwritten." in messages_of(response)[-1]
    )
    assert stored(record).app_id == "app-1"  # theirs was part of the same transaction here
    assert not LogEntry.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_two_threads_one_saves_and_one_is_told(admin_user):
    if not connection.features.has_select_for_update:
        pytest.skip("SQLite in memory is one connection's own.")
    record = full_record()
    data, answers, start = form_data(record), [], threading.Barrier(2)
    clients = [Client(), Client()]
    for client in clients:
        client.force_login(admin_user)

    def send(client):
        start.wait()
        answers.append(client.post(page(record), {**data, "app_id": "x", "key": "k"}))
        connection.close()

    threads = [threading.Thread(target=send, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told, saved = sorted(answers, key=lambda answer: answer.status_code)
    assert (told.status_code, saved.status_code) == (200, 302)
    assert "Somebody else saved this connection meanwhile" in told.content.decode()
    assert stored(record).version == record.version + 1


def test_whoever_saves_holds_the_row(client):
    record = full_record()
    data = form_data(record)
    with CaptureQueriesContext(connection) as queries:
        client.post(page(record), {**data, "app_id": "x"})
    locks = [query for query in queries if "FOR UPDATE" in query["sql"]]
    assert bool(locks) == connection.features.has_select_for_update


def test_deleted_meanwhile(client):
    record = full_record()
    data = form_data(record)
    record.delete()
    assert client.post(page(record), {**data, "app_id": "x"}).status_code == 404
    assert not ConnectionAuth.all_objects.exists()


# Records that do not open


def unreadable_record():
    record = full_record()
    foreign = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    spoil(record, "key", token=foreign)
    spoil(record, "meta", token="garbage")
    spoil(record, "extra", token="")
    return record


def test_an_unreadable_record_gets_its_badge_when_it_is_opened(client):
    record = unreadable_record()
    assert ">Unreadable<" not in client.get(LIST).content.decode()
    content = client.get(page(record)).content.decode()
    assert content.count("Stored, does not open") == 3
    assert ">Unreadable<" in content
    assert stored(record).unreadable_fields == ["extra", "key", "meta"]
    assert stored(record).version == record.version
    assert ">Unreadable<" in client.get(LIST).content.decode()


def test_an_unreadable_record_can_be_corrected(client):
    record = unreadable_record()
    save(client, record, app_id="x")  # without the rest being in the way
    assert stored(record).app_id == "x"
    assert sorted(stored(record).unreadable_fields) == ["extra", "key", "meta"]
    assert stored(record).content_digest is None
    save(client, record, key="new", meta="{}", clear_extra="on")
    after = stored(record)
    assert after.unreadable_fields is None
    assert after.content_digest
    assert (after.key.reveal(), after.meta.reveal(), after.extra) == ("new", {}, None)
    assert after.access_token.reveal() == FULL_AUTH["accessToken"]
    assert ">Unreadable<" not in client.get(LIST).content.decode()


def test_a_token_copied_from_another_record_does_not_stop_the_page(client):
    record, other = full_record(), make(name="B", key="theirs")
    spoil(record, "key", token=other.key.token)
    assert client.get(page(record)).status_code == 200
    save(client, record, app_id="x")
    assert stored(record).unreadable_fields == ["key"]
    assert "Stored, does not open" in client.get(page(record)).content.decode()


def test_an_unreadable_record_can_be_deleted(client):
    record = unreadable_record()
    assert client.get(page(record, "delete")).status_code == 200
    client.post(page(record, "delete"), {"post": "yes"})
    assert not ConnectionAuth.objects.exists()


# Adding


def test_adding(client):
    Integration.objects.create(type="hubspot", name="HubSpot")
    response = add(
        client,
        name="New one",
        connection_id="c-9",
        integration="hubspot",
        access_token="t",
        meta='{"a": 1}',
        expiry_date="2030-01-01 00:00 Z",
    )
    assert messages_of(response) == ["<b>Added New one.</b> "]
    record = ConnectionAuth.objects.get()
    assert record.open_auth()[0] == {
        "access_token": "t",
        "meta": {"a": 1},
        "name": "New one",
        "expiry_date": datetime(2030, 1, 1, tzinfo=timezone.utc),
    }
    assert record.is_paused is None
    assert (record.connection_id, record.integration_id) == ("c-9", "hubspot")
    assert record.breaks_at == record.expiry_date
    assert record.locally_changed_at


def test_adding_has_an_input_for_each_field(client):
    content = client.get(ADD).content.decode()
    for name in {*SEALED_COLUMNS, *PLAIN_TEXT, "connection_id", "expiry_date"} - {"extra"}:
        assert f'name="{name}"' in content


def test_an_id_that_is_taken_is_an_error_of_the_form(client):
    make(name="A", connection_id="c-1")
    response = add(client, connection_id="c-1", key="synth-typed")
    assert response.status_code == 200
    assert "connection_id" in errors_of(response)
    assert "synth-typed" not in response.content.decode()
    assert ConnectionAuth.objects.count() == 1


def test_an_id_that_is_taken_by_one_in_the_bin_is_told(client):
    make(name="A", connection_id="c-1", binned_at=NOW)
    response = add(client, connection_id="c-1")
    assert "Nothing is saved" in messages_of(response)[-1]
    assert ConnectionAuth.all_objects.count() == 1


def test_the_same_content_without_an_id_twice_is_told(client):
    add(client, name="A", key="k")
    response = add(client, name="A", key="k")
    assert "another connection without an id holds exactly this" in messages_of(response)[-1]
    assert ConnectionAuth.objects.count() == 1


def test_a_change_into_what_another_holds_is_told(client):
    make(name="A", key="k")
    record = make(name="B", key="k")
    assert "Nothing is saved" in messages_of(save(client, record, name="A"))[-1]
    assert stored(record).name == "B"


def test_an_address_fills_in_nothing(client):
    response = client.get(ADD, {"name": "From the link", "key": "synth-link", "is_paused": "1"})
    assert "From the link" not in response.content.decode()
    assert "synth-link" not in response.content.decode()
    client.post(ADD + "?name=Same&app_id=Same", {"name": "Same", "app_id": "Same"})
    assert ConnectionAuth.objects.get().app_id == "Same"


@pytest.mark.parametrize(
    ("button", "name"),
    [("_addanother", "add"), ("_continue", "change"), ("_save", "changelist")],
)
def test_where_the_buttons_lead(client, button, name):
    response = add(client, name="A", **{button: "1"})
    assert resolve(response.url).url_name == f"connections_connectionauth_{name}"


# History, log and delete


def test_the_history_names_fields_and_holds_no_value(client):
    record = full_record()
    save(client, record, key="synth-typed", clear_pem="on", app_id="plain-value")
    content = client.get(page(record, "history")).content.decode()
    assert "synth-typed" not in content
    assert "plain-value" not in content
    for name in ("key", "pem", "appId"):
        assert name in content
    assert "Clear the stored" not in content


def test_the_log_holds_no_secret(client):
    add(client, name="A", key="synth-add")
    record = ConnectionAuth.objects.get()
    save(client, record, key="synth-typed", meta='{"synth-k": "synth-v"}')
    client.post(page(record, "delete"), {"post": "yes"})
    entries = list(LogEntry.objects.values())
    assert len(entries) == 3
    assert "synth" not in str(entries)


def test_deleting_asks_first(client):
    record = full_record()
    content = client.get(page(record, "delete")).content.decode()
    assert "Bramblewood Care Homes" in content
    assert SECRET not in content
    assert ConnectionAuth.objects.exists()
    response = client.post(page(record, "delete"), {"post": "yes"}, follow=True)
    assert "Bramblewood Care Homes" in messages_of(response)[-1]
    assert not ConnectionAuth.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_post_to_the_history_fails_nothing(client):
    record = make(name="A")
    assert client.post(page(record, "history")).status_code < 500


@pytest.mark.parametrize("moment", ["0001-01-01", "9999-12-31"])
def test_moments_around_it_at_the_ends_of_the_calendar(client, moment):
    moment = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc)
    record = make(
        name="A",
        key=SECRET,
        last_healthy_at=moment,
        last_unhealthy_at=moment,
        source_created_at=moment,
        source_updated_at=moment,
        received_at=moment,
        locally_changed_at=moment,
        expiry_date=moment,
        refresh_token="r",
        refresh_token_expires_date=moment,
    )
    content = client.get(page(record)).content.decode()
    assert wording.exact(moment) in content
