"""Limits of depth, size and memory, and where chunks of a file may end. No database."""

import json
import tracemalloc

import pytest

from connections.json_format.stream import grammar, reader, tokenizer
from tests.support.sources import ONE, TWO, Generated, Pieces, read, refusal, values


def nested(levels):
    """The text of an array that nests `levels` deep, counted from the array itself."""
    inner = levels - 2
    return '[{"meta":' + "[" * inner + "]" * inner + "}]"


def test_200_levels_are_read_and_201_refused():
    assert len(values(nested(200))) == 1
    assert refusal(nested(201)) == "too_deep"
    inner = nested(200)[1:-1]  # the object alone: 199 levels
    assert len(values(inner)) == 1
    assert len(values('{"data":[' + nested(199)[1:-1] + "]}")) == 1
    assert refusal('{"data":[' + nested(200)[1:-1] + "]}") == "too_deep"
    assert refusal('{"data":[],"x":' + "[" * 200 + "]" * 200 + "}") == "too_deep"
    assert len(values('{"data":[],"x":' + "[" * 199 + "]" * 199 + "}")) == 0


@pytest.mark.parametrize("levels", [500, 1000, 5000, 100_000])
@pytest.mark.parametrize("text", ["[%s]", '{"data":[%s]}', '{"meta":%s}', '[{"meta":{"a":%s}}]'])
def test_any_depth_is_refused_without_a_crash(levels, text):
    assert refusal(text % ("[" * levels + "]" * levels)) == "too_deep"
    assert refusal(text % ('{"a":' * levels + "1" + "}" * levels)) == "too_deep"


def test_brackets_in_texts_are_not_levels():
    assert len(values([{"token": "[{" * 5000}])) == 1


MIB = 1024 * 1024
LIMIT = 3 * MIB // 2


@pytest.fixture
def low_limit(monkeypatch):
    """An entry may be of LIMIT bytes, more than a chunk."""
    for module in (tokenizer, grammar):
        monkeypatch.setattr(module, "MAX_ENTRY_SIZE", LIMIT)


def entry_of(size, character="x"):
    """The text of an entry that is `size` bytes long."""
    width = len(character.encode())
    frame = len('{"meta":{"k":""}}')
    count, rest = divmod(size - frame, width)
    return '{"meta":{"k":"' + character * count + "x" * rest + '"}}'


@pytest.mark.parametrize("character", ["x", "漢"])
@pytest.mark.parametrize(
    ("frame", "name"),
    [
        ('[{"token":"a"},%s]', "a.json"),
        ('{"data":[%s],"total":1}', "a.json"),
        ('{"token":"a"}\n%s\n{"token":"b"}\n', "a.ndjson"),
        ('{"token":"a"}\n{"token":"b"}\n%s', "a.ndjson"),
    ],
)
@pytest.mark.usefixtures("low_limit")
def test_an_entry_may_be_as_large_as_the_limit_and_not_a_byte_more(frame, name, character):
    fits, over = (frame % entry_of(LIMIT + more, character) for more in (0, 1))
    assert all(not entry.fault for entry in read(fits, name))
    if name.endswith("ndjson"):
        entries = read(over, name)
        assert [entry.fault for entry in entries if entry.fault] == ["bad_line.overlong"]
        assert len(entries) == 3
        assert all(entry.value for entry in entries if not entry.fault)
    else:
        assert refusal(over) == "entry_too_large"


def test_an_entry_may_be_16_mib():
    assert [entry.fault for entry in read(f"[{entry_of(16 * MIB)}]")] == [""]
    assert refusal(f"[{entry_of(16 * MIB + 1)}]") == "entry_too_large"


@pytest.mark.usefixtures("low_limit")
def test_an_overlong_first_line_refuses_only_itself():
    entries = read(entry_of(4 * MIB) + '\n{"token":"b"}\n', "a.ndjson")
    assert [entry.fault for entry in entries] == ["bad_line.overlong", ""]


def test_an_endless_text_is_refused_before_all_of_it_is_read():
    def chunks():
        yield b'[{"token":"'
        for _ in range(2000):
            asked.append(1)
            yield b"x" * MIB

    asked = []
    assert refusal(Generated(chunks)) == "entry_too_large"
    assert len(asked) < 100


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("window", [1, 2, 5, 16])
@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            json.dumps([ONE, TWO, {"expiresIn": -12.5e-3, "meta": {}}], ensure_ascii=False),
            "a.json",
        ),
        (json.dumps([ONE, TWO], indent=3), "a.json"),
        ("[1.5, 10e5, 2E+3, -0.25, true, null]", "a.json"),
        (json.dumps({"a": [1.25], "data": [ONE, TWO], "z": 1.5}, ensure_ascii=False), "a.json"),
        (json.dumps(TWO, ensure_ascii=False) + "\r\n" + json.dumps(ONE), "a.ndjson"),
    ],
)
def test_chunk_borders_may_lie_anywhere(monkeypatch, size, window, text, name):
    expected = values(text, name)
    for room in (reader, tokenizer):
        monkeypatch.setattr(room, "CHUNK_SIZE", window)
    assert values(Pieces(text, size, name)) == expected


@pytest.mark.parametrize("window", [1, 2, 5])
def test_faults_are_found_with_chunk_borders_anywhere(monkeypatch, window):
    for room in (reader, tokenizer):
        monkeypatch.setattr(room, "CHUNK_SIZE", window)
    for text, code in [
        ('[{"token":"a"}]x', "trailing_garbage"),
        ('[{"token":"a"},]', "json5"),
        ('[{"token":NaN}]', "not_finite"),
        ('[{"token":-Infinity}]', "not_finite"),
        ('[{"token":"a"}', "truncated"),
        ('[{"token":"\\u12', "truncated"),
        ('[{"token":tru', "truncated"),
        ("[tru]", "not_json"),
        ("[1.]", "json5"),
    ]:
        assert refusal(Pieces(text)) == code, text


def test_memory_stays_flat_for_a_big_array():
    entry = json.dumps({"accessToken": "x" * 1950, "meta": {"a": 1}}).encode() + b","
    piece = entry * 500

    def chunks():
        yield b"["
        for _ in range(30):
            yield piece
        yield b'{"token":"last"}]'

    source = Generated(chunks)
    assert len(piece) * 30 > 29_000_000
    tracemalloc.start()
    try:
        layout = reader.scan(source)
        for entry in reader.read_entries(source, layout):
            last = entry.value
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert layout.count == 15_001
    assert last == {"token": "last"}
    assert peak < 16 * MIB
