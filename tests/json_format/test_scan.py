"""Both passes over a source: entries are read as they were written. No database."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.json_format.stream import reader
from tests.support.helpers import Text
from tests.support.sources import Pieces, read

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["}, {", "},\n{", "]", "[", "\\", '"', "漢 😀", "\n"]),
    st.text(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6
)
KEYS = st.sampled_from(["id", "auth", "integration_type", "integrationType", "data"]) | st.text()
ENTRIES = st.dictionaries(KEYS, VALUES, min_size=1)


@given(
    entries=st.lists(ENTRIES, min_size=1, max_size=8),
    escaped=st.booleans(),
    comma=st.sampled_from([",", ", ", " ,\r\n\t"]),
    size=st.integers(1, 60),
)
def test_any_entries_are_read_as_they_were_written(entries, escaped, comma, size):
    texts = [json.dumps(entry, ensure_ascii=escaped) for entry in entries]
    array = Pieces(f"[{comma.join(texts)}]", size, "a.json")
    lines = Pieces("\n".join(texts), size, "a.ndjson")
    for source in (array, lines):
        found = read(source)
        assert [raw.value for raw in found] == entries
        assert [raw.text for raw in found] == texts


@pytest.mark.parametrize("form", ["array", "lines"])
def test_entries_of_several_pieces_keep_their_order_and_numbers(form):
    entries = [{"id": f"c{n}", "auth": {"token": "}, {" * (n % 3)}} for n in range(1200)]
    texts = [json.dumps(entry) for entry in entries]
    source = Text(f"[{', '.join(texts)}]" if form == "array" else "\n".join(texts))
    layout = reader.scan(source)
    assert layout.shape == form
    assert [piece.count for piece in layout.pieces] == [500, 500, 200]
    assert [raw.value for raw in reader.read_entries(source, layout)] == entries
    last = reader.read_piece(source, layout, layout.pieces[2])
    assert [raw.number for raw in last] == list(range(1000, 1200))
    assert [raw.line for raw in last] == (
        [None] * 200 if form == "array" else list(range(1001, 1201))
    )
