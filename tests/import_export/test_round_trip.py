"""Whatever the rules admit comes back out as it went in: export, wipe, import, export."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from connections.json_format import entry as json_format_entry
from connections.json_format import schema, serialize
from connections.json_format.values import MASK_PATTERN
from connections.models import ConnectionAuth, Integration
from tests.support.helpers import export_text, import_text

# All of Unicode but U+0000 and surrogates; line ends and such come up more often than by chance.
text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    | st.sampled_from('\r\n\t \x1b\u2028\ufeff\u202e"\\é\u0301'),
    max_size=40,
)
secret = text.filter(lambda value: not MASK_PATTERN.fullmatch(value))
moment = st.datetimes().map(lambda value: value.isoformat(timespec="milliseconds") + "Z")
seconds = st.integers(-(10**11), 10**11) | st.floats(-1e11, 1e11)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
content = st.dictionaries(text.filter(lambda key: key != serialize.MASK), anything, max_size=3)
address = text.map(lambda value: "https://a.example/" + value) | st.sampled_from(["", "/x", "{y}"])

VALUES = {
    "secret": secret,
    "state": secret,
    "pem": secret,
    "text": text,
    "short": text,
    "url": address,
    "number": seconds,
    "date": moment,
    "emails": st.lists(secret, max_size=3),
    "strings": st.lists(secret, max_size=3),
    "names": st.lists(text, max_size=3),
    "object": content,
    "bool": st.booleans(),
}
CONNECTION_NAMES_BY_KEY = {
    key: name
    for name in (*schema.CONNECTION_FIELDS, "auth")
    for key in (name, schema.to_camel_case(name))
}
KNOWN = {*schema.AUTH_NAMES_BY_KEY, *CONNECTION_NAMES_BY_KEY, serialize.MASK}
unknown = st.dictionaries(
    text.filter(lambda key: key not in KNOWN), anything.filter(lambda value: value is not None),
    max_size=2,
)  # fmt: skip


@st.composite
def auth_objects(draw):
    names = draw(st.sets(st.sampled_from(list(schema.AUTH_FIELDS)), min_size=1, max_size=8))
    spell = draw(st.sampled_from([schema.to_camel_case, str]))
    auth = {spell(name): draw(VALUES[schema.AUTH_FIELDS[name]]) for name in names}
    return {**auth, **draw(unknown)}


@st.composite
def connections(draw):
    fields = {}
    chosen = draw(st.sets(st.sampled_from(list(schema.CONNECTION_FIELDS)), max_size=6))
    for name in chosen - {"id", "integration_type"}:
        fields[name] = draw(VALUES[schema.CONNECTION_FIELDS[name][1]])
    fields["id"] = draw(st.uuids()).hex
    fields["integration_type"] = draw(text.filter(bool))
    if draw(st.booleans()):
        fields["auth"] = draw(auth_objects())
    return {**fields, **draw(unknown)}


class RoundTrip(TestCase):
    def import_all(self, content):
        result, verdicts = import_text(content)
        assert result.error is None
        assert result.rejected == 0, [v.issues for v in verdicts if v.action == "rejected"]
        return result

    @settings(suppress_health_check=list(HealthCheck))
    @given(st.lists(auth_objects(), min_size=1, max_size=4), st.sampled_from(["camel", "snake"]))
    def test_auth_objects(self, entries, naming):
        self.there_and_back(entries, "auth", naming)

    @settings(suppress_health_check=list(HealthCheck))
    @given(st.lists(connections(), min_size=1, max_size=3), st.sampled_from(["camel", "snake"]))
    def test_connections(self, entries, naming):
        self.there_and_back(entries, "connection", naming)

    def there_and_back(self, entries, shape, naming):
        ConnectionAuth.all_objects.all().delete()
        Integration.objects.all().delete()
        self.import_all(entries)
        first = export_text(shape=shape, naming=naming)
        by_name = {serialize.canonical_json(normal(entry)) for entry in entries}
        assert {serialize.canonical_json(normal(entry)) for entry in json.loads(first)} == by_name
        again = self.import_all(first)
        assert again.unchanged == again.read
        ConnectionAuth.all_objects.all().delete()
        self.import_all(first)
        assert export_text(shape=shape, naming=naming) == first
        ConnectionAuth.all_objects.all().delete()
        self.import_all(export_text(shape=shape, naming=naming, format="ndjson") or "[]")


def normal(entry):
    """An entry with known keys in snake_case, numbers as they are written."""
    if json_format_entry.is_connection(entry):
        fields = {CONNECTION_NAMES_BY_KEY.get(k, k): v for k, v in entry.items()}
        if "auth" in fields:
            fields["auth"] = normal(fields["auth"])
        return fields
    return {
        schema.AUTH_NAMES_BY_KEY.get(name, name): serialize.normalize_number(value)
        if schema.AUTH_FIELDS.get(schema.AUTH_NAMES_BY_KEY.get(name)) == "number"
        else value
        for name, value in entry.items()
    }


@pytest.mark.django_db
@pytest.mark.parametrize(
    "character", ["\r\n", "\r", "\n", "\u2028", "\x85", "\x7f", "\x01", "\ufffe", "\U0010ffff"]
)
def test_odd_characters_come_back_in_every_kind_of_field(character):
    value = f"{character}a{character}"
    entry = {
        "appId": value,
        "emails": [value],
        "meta": {value: [value]},
        "name": value,
        "pem": value,
        "token": value,
        value: value,
    }
    import_text([entry])
    assert json.loads(export_text()) == [entry]
