"""Sealed fields on the page of a connection: blank keeps, typed replaces, a tick clears."""

import json

import pytest

from connections.models import SEALED_COLUMNS
from tests.support.helpers import SECRET, export_text, import_text, make
from tests.support.module_store import module_store
from tests.support.record_form import errors_of, full_record, messages_of, refusals, save, stored

pytestmark = pytest.mark.django_db
full = module_store(full_record, "full")


def test_blank_keeps_every_secret(client, full):
    before = full.open_auth()
    response = save(client, full, app_id="app-2")
    assert "Changed: appId." in messages_of(response)[-1]
    after = stored(full)
    assert after.open_auth() == ({**before[0], "app_id": "app-2"}, [])
    for name in SEALED_COLUMNS:
        assert getattr(after, name).token == getattr(full, name).token


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
def test_what_is_typed_is_sealed_exactly(client, text):
    record, names = make(name="A", key=SECRET), ("pem", "access_token", "state")
    sent = text.replace("\r\n", "\n").replace("\n", "\r\n")
    exact = {f"{name}_json": json.dumps(text) for name in names}
    save(client, record, **dict.fromkeys(names, sent), **exact)
    assert [getattr(stored(record), name).reveal() for name in names] == [text] * 3
    assert stored(record).key.reveal() == SECRET


@pytest.mark.parametrize("text", ["a\r\nb\r\n", "  x  "])
def test_without_the_script_the_text_of_the_browser_is_sealed(client, text):
    record = make(name="A")
    save(client, record, pem=text)
    assert stored(record).pem.reveal() == text


@pytest.mark.parametrize("exact", ["{", "1", "null", "[]", '{"a": 1}', "\0"])
def test_a_broken_exact_text_falls_back_to_the_plain_one(client, exact):
    record = make(name="A")
    save(client, record, pem="plain", pem_json=exact)
    assert stored(record).pem.reveal() == "plain"


def test_a_typed_secret_replaces_the_stored_one_alone(client, full):
    response = save(client, full, client_secret="synth-new")
    assert stored(full).client_secret.reveal() == "synth-new"
    assert stored(full).access_token.token == full.access_token.token
    assert messages_of(response) == ["<b>Saved Bramblewood Care Homes.</b> Changed: clientSecret."]


def test_a_tick_clears_one_field(client, full):
    before, _ = full.open_auth()
    for name in SEALED_COLUMNS:
        save(client, full, **{f"clear_{name}": "on"})
        before.pop(name)
        assert stored(full).open_auth() == (before, []), name
        assert getattr(stored(full), name) is None


def test_a_value_and_the_tick_are_an_error(client, full):
    response = save(client, full, key="synth-typed", clear_key="on")
    assert errors_of(response) == {"key": ["Either a new value or the tick, not both."]}
    assert "synth-typed" not in response.content.decode()
    assert stored(full).key.reveal() == full.key.reveal()


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
def test_meta_that_is_no_clean_object_is_refused(text):
    assert {*refusals(make(name="A"), meta=text)} == {"meta"}


def test_the_deepest_meta_comes_back_from_its_export(client):
    record = make(name="A")
    save(client, record, meta='{"a":' * 197 + "1" + "}" * 197)
    text = export_text(shape="connection")
    record.delete()
    assert import_text(text)[0].created == 1


@pytest.mark.parametrize("text", ["********", "•••", "REDACTED", "*"])
def test_a_mask_is_no_value(full, text):
    names = ("key", "pem", "state")
    assert {*refusals(full, **dict.fromkeys(names, text))} == {*names}


@pytest.mark.parametrize(
    ("name", "text"),
    [("meta", '{"********": true}'), ("other_auth_info", "a\r\n********"), ("emails", "***")],
)
def test_a_mask_inside_is_no_value(full, name, text):
    assert {*refusals(full, **{name: text})} == {name}


@pytest.mark.parametrize("text", ["a\0b", "k" * (128 * 1024 + 1)])
def test_text_that_can_not_be_kept_is_refused(client, text):
    record = make(name="A")
    response = save(client, record, key=text)
    assert "key" in errors_of(response)
    assert "kkkk" not in response.content.decode()


def test_unknown_keys_are_kept_and_can_be_cleared(client, full):
    save(client, full, name="Other", key="new")
    assert stored(full).extra.reveal() == {"auth": {"newKey": f"{SECRET}-new"}}
    response = save(client, full, clear_extra="on", extra="{}")
    assert stored(full).extra is None
    assert "Changed: extra." in messages_of(response)[-1]
