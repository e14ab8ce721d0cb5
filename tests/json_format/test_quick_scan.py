"""The first pass over a plain source, and over one that is nearly plain: what it finds is what a
closer look finds. No database."""

import json
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connections import quick
from connections.import_export.duplicates import Duplicates
from connections.json_format.issues import FileRefused
from connections.json_format.stream import reader
from tests.support.helpers import Text

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(["}, {", "},\n{", "]", "[", "\\", '"', "漢 😀", "\n"]),
    st.text(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6
)
KEYS = st.sampled_from(["id", "auth", "integration_type", "integrationType", "data"]) | st.text()
ENTRIES = st.dictionaries(KEYS, VALUES, min_size=1)
# What is valid JSON in Python's eyes, or nearly, and what msgspec must leave to a closer look.
ODD = st.sampled_from(
    [
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"a": 1,}',
        '{"a": 01}',
        '{"a": ' + "9" * 500 + "}",
        '{"a": ' + "[" * 150 + "]" * 150 + "}",
        '{"a": ' + "[" * 250 + "]" * 250 + "}",
        '{"a": 1}{"b": 2}',
        '{"a": 1}, {"b": 2}',
        '{"a": 1',
        '"b": 2}',
        "1",
        "",
        '{"a": "\x01"}',
    ]
)


def closer_look(source, repeats):
    """What reader.scan() does where something is odd."""
    with mock.patch.object(quick, "scan", side_effect=quick.Odd):
        return reader.scan(source, repeats)


def outcome(scan, source):
    """What a scan finds: the entries and their numbers in Repeats, or the code of a refusal."""
    repeats = Duplicates()
    try:
        layout = scan(source, repeats)
    except FileRefused as refusal:
        return refusal.code
    found = [
        (raw.number, raw.line, repr(raw.value), raw.fault)
        for raw in reader.read_entries(source, layout)
    ]
    assert layout.count == len(found)
    numbers = sorted(number for bucket in repeats._buckets for number in bucket)
    repeats.finish(source, layout)
    return layout.shape, found, numbers, repeats.repeated, repeats.has_entry_without_id


def sources(texts, comma, name):
    array = Text("[" + comma.join(texts) + "]", name)
    lines = Text("\n".join(texts) + "\n", name)
    return array, lines


@settings(max_examples=100)
@given(
    entries=st.lists(ENTRIES, min_size=1, max_size=8),
    repeated=st.booleans(),
    odd=st.none() | ODD,
    escaped=st.booleans(),
    comma=st.sampled_from([",", ", ", " ,\r\n\t"]),
    name=st.sampled_from(["a.json", "a.ndjson"]),
    size=st.integers(1, 60),
)
def test_it_finds_what_a_closer_look_finds(entries, repeated, odd, escaped, comma, name, size):
    texts = [json.dumps(entry, ensure_ascii=escaped) for entry in entries]
    texts += texts[:1] if repeated else []
    texts.insert(len(texts) // 2, odd) if odd is not None else None
    for source in sources(texts, comma, name):
        whole = source.chunks
        source.chunks = lambda whole=whole: (
            chunk[start : start + size]
            for chunk in whole()
            for start in range(0, len(chunk), size)
        )
        assert outcome(reader.scan, source) == outcome(closer_look, source)


@pytest.mark.parametrize("lines", [False, True])
def test_plain_entries_need_no_closer_look(monkeypatch, lines):
    monkeypatch.setattr(reader, "_scan_with", None)
    texts = [json.dumps({"id": f"c{n}", "auth": {"token": "}, {" * (n % 3)}}) for n in range(600)]
    source = sources(texts, ",\n", "a.json")[lines]
    source.chunks = lambda: (
        source.content[start : start + 1000] for start in range(0, len(source.content), 1000)
    )
    layout = reader.scan(source)
    assert layout.shape == ("lines" if lines else "array")
    assert [raw.value["id"] for raw in reader.read_entries(source, layout)] == [
        f"c{n}" for n in range(600)
    ]
