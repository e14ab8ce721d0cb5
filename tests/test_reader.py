"""What the reader takes for a file, what it refuses as a whole, and that it does so in little
memory. No database."""

import codecs
import gzip
import json
import os
import tracemalloc

import pytest

from connections import reader, sources
from connections import window as window_room
from connections.issues import FILE_ERRORS, FileRefused
from tests.helpers import Text

ONE = {"accessToken": "a"}
TWO = {"accessToken": "b", "name": "Zwei ü 漢 😀"}


class Pieces(Text):
    """A source that yields its bytes in pieces of a given size."""

    def __init__(self, content, size=1, name="test.json"):
        super().__init__(content, name)
        self.size = size

    def chunks(self):
        for start in range(0, len(self.content), self.size):
            yield self.content[start : start + self.size]


class Generated:
    """A big source that is never in memory as a whole."""

    def __init__(self, make_chunks, name="big.json"):
        self.chunks, self.name = make_chunks, name

    def read(self, offset, length):
        begin, found = 0, b""
        for chunk in self.chunks():
            found += chunk[max(0, offset - begin) : max(0, offset + length - begin)]
            begin += len(chunk)
            if begin >= offset + length:
                return found
        return found


def read(content, name="test.json"):
    """The raw entries of a source, both passes done."""
    source = content if hasattr(content, "chunks") else Text(content, name)
    layout = reader.scan(source)
    found = list(reader.entries(source, layout))
    assert layout.count == len(found)
    assert [entry.number for entry in found] == list(range(len(found)))
    return found


def values(content, name="test.json"):
    return [entry.value for entry in read(content, name)]


def refusal(content, name="test.json"):
    with pytest.raises(FileRefused) as caught:
        read(content, name)
    assert caught.value.code in FILE_ERRORS
    return caught.value.code


def nested(levels):
    """An array file that nests `levels` deep, the outer array included."""
    inner = levels - 2
    return '[{"meta":' + "[" * inner + "]" * inner + "}]"


# Shapes


def test_an_array_is_read():
    assert values([ONE, TWO]) == [ONE, TWO]
    assert values([]) == []


@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_is_read(indent):
    assert values(json.dumps(TWO, indent=indent)) == [TWO]
    assert values(json.dumps({"id": "c", "auth": ONE}, indent=indent)) == [
        {"id": "c", "auth": ONE}
    ]


@pytest.mark.parametrize("key", ["data", "results", "items", "connections", "records"])
@pytest.mark.parametrize("indent", [None, 2])
def test_the_list_of_a_wrapper_is_read(key, indent):
    wrapper = {"next": None, "meta": {"page": 1}, key: [ONE, TWO], "total": 2, "more": [3]}
    assert values(json.dumps(wrapper, indent=indent)) == [ONE, TWO]
    assert values({key: []}) == []


def test_two_lists_make_no_wrapper():
    assert values({"data": [ONE], "items": [TWO]}) == [{"data": [ONE], "items": [TWO]}]


def test_a_list_under_another_name_makes_no_wrapper():
    assert values({"stuff": [ONE]}) == [{"stuff": [ONE]}]


def test_a_wrapper_in_a_wrapper_is_one_object():
    assert values({"data": {"items": [ONE]}}) == [{"data": {"items": [ONE]}}]


def test_a_record_with_a_list_among_its_unknown_keys_is_a_record():
    record = {"accessToken": "a", "refreshToken": "r", "items": [1]}
    assert values(record) == [record]


def test_a_connection_with_a_list_is_a_connection():
    connection = {"integration_type": "hubspot", "auth": ONE, "data": [1]}
    assert values(connection) == [connection]


def test_entries_of_any_type_are_handed_on():
    assert values('[1, "x", null, true, [], {}]') == [1, "x", None, True, [], {}]


# NDJSON


@pytest.mark.parametrize("name", ["test.json", "-", "a.ndjson", "a.JSONL"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n \n"])
def test_lines_are_read_whatever_the_file_is_called(name, end):
    entries = read(json.dumps(ONE) + "\n\n" + json.dumps(TWO) + end, name)
    assert [(e.value, e.line, e.number) for e in entries] == [(ONE, 1, 0), (TWO, 3, 1)]


def test_a_single_line_of_a_named_file_is_a_line():
    assert read(json.dumps(ONE), "a.ndjson")[0].line == 1


def test_line_separators_of_unicode_do_not_end_a_line():
    odd = {"name": "one\u2028two\u2029three\u0085four\x0cfive"}
    text = json.dumps(odd, ensure_ascii=False).replace("\x0c", "\\f")
    assert values(f"{text}\r\n{text}\r\n") == [odd, odd]


BAD_LINES = [
    "oops",
    '{"accessToken": "x"',
    '{"accessToken": "x"}}',
    '{"accessToken": "x",}',
    '{"accessToken": NaN}',
    "{'accessToken': 'x'}",
    '{"accessToken": "x"} {"accessToken": "y"}',
    '{"meta": ' + "[" * 100_000,
    '{"meta": ' + "[" * 200 + "]" * 200 + "}",
    '{"accessToken": "\x01"}',
]


@pytest.mark.parametrize("bad", BAD_LINES, ids=range(len(BAD_LINES)))
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("name", ["a.ndjson", "unnamed"])
def test_a_bad_line_refuses_only_itself(bad, position, name):
    lines = [json.dumps(ONE), json.dumps(TWO)]
    lines.insert(position, bad)
    if bad[-1] == "[" and position == 0 and name == "unnamed":
        assert refusal("\n".join(lines), name) == "too_deep"  # nothing says that it is NDJSON
        return
    entries = read("\n".join(lines), name)
    assert [e.fault for e in entries].count("bad_line") == 1
    assert entries[position].fault == "bad_line"
    assert entries[position].line == position + 1
    assert entries[position].message
    assert [e.value for e in entries if not e.fault] == [ONE, TWO]


def test_a_line_that_is_no_object_is_handed_on_to_be_refused_alone():
    assert values('{"token":"a"}\n5\n[1]\n{"token":"b"}', "a.ndjson")[1:3] == [5, [1]]
    assert values('[1]\n{"token":"b"}', "a.ndjson")[0] == [1]


def test_one_json_text_under_a_name_for_lines_is_read_as_what_it_is():
    assert values(json.dumps([ONE, TWO], indent=1), "a.ndjson") == [ONE, TWO]
    assert values(json.dumps([ONE, TWO]), "a.ndjson") == [ONE, TWO]
    assert values(json.dumps(TWO, indent=1), "a.jsonl") == [TWO]
    assert values(json.dumps({"data": [ONE]}, indent=1), "a.jsonl") == [ONE]


@pytest.mark.parametrize(
    "text",
    [
        '[\n{"token":"a"}\n{"token":"b"}\n{"token":"c"}\n]',
        '{"data": [\n{"token":"a"}\n{"token":"b"}\n{"token":"c"}\n]}',
        '{"next": null, "data": [{"token":"a"}\n{"token":"b"}\n{"token":"c"}\n]}',
        '{"data":\n[{"token":"a"},\n{"token":"b"}\n{"token":"c"}]}',
    ],
)
def test_a_json_text_with_commas_missing_is_not_mistaken_for_lines(text):
    assert refusal(text) == "not_json"


# Refused as a whole


@pytest.mark.parametrize("content", [b"", b" ", b"\n\r\t \n", codecs.BOM_UTF8])
@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "-"])
def test_an_empty_file_is_refused(content, name):
    assert refusal(content, name) == "empty"


SMALL = [
    '[{"accessToken":"a\\u00fc\\n","expiresIn":12.5e3,"meta":{"t":[true,false,null]}}]',
    '{"next":"x","data":[{"token":"ü漢😀"}],"total":1}',
    '{"accessToken":"a","emails":["a@b.c"],"expiresIn":36}',
]


@pytest.mark.parametrize("whole", SMALL)
def test_a_file_cut_at_any_byte_is_refused(whole):
    whole = whole.encode()
    read(whole)
    for length in range(1, len(whole)):
        code = refusal(whole[:length])
        try:
            whole[:length].decode()
        except UnicodeDecodeError:
            assert code == "not_utf8"
        else:
            assert code == "truncated", whole[:length]


@pytest.mark.parametrize(
    "text", ['[{"token":"a"}]x', '[{"token":"a"}] [', '{"token":"a"} ]', "[]]", '{"data":[]}}']
)
def test_what_follows_the_end_is_refused(text):
    assert refusal(text) == "trailing_garbage"


@pytest.mark.parametrize(
    "content",
    [
        b'[{"name":"\xff"}]',
        '[{"name":"ü"}]'.encode("latin-1"),
        b'[{"name":"\xed\xa0\x80"}]',  # a surrogate, encoded as if it were a character
        b'[{"name":"\xc0\xaf"}]',
        b'[{"name":"a"}]\xe2\x82',
    ],
)
def test_other_encodings_than_utf8_are_refused(content):
    assert refusal(content) == "not_utf8"


def test_a_bad_byte_at_the_very_end_of_a_big_file_refuses_it():
    body = json.dumps([{"token": "x" * 1000}] * 3000)
    assert refusal(body.encode() + b"\xff") == "not_utf8"
    assert refusal(body + "x") == "trailing_garbage"
    assert refusal(body[:-1]) == "truncated"
    lines = (json.dumps({"token": "x" * 1000}) + "\n") * 3000
    assert refusal(lines.encode() + b"\xff", "a.ndjson") == "not_utf8"


def test_a_utf8_bom_is_fine():
    assert values(codecs.BOM_UTF8 + json.dumps([ONE]).encode()) == [ONE]
    assert values(codecs.BOM_UTF8 + b'{"token":"a"}\n{"token":"b"}') == [
        {"token": "a"},
        {"token": "b"},
    ]


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
@pytest.mark.parametrize("text", ['[{"token":"a"}]', '{"token":"a"}\n', '\n {"token":"a"}'])
def test_wider_encodings_are_named(encoding, name, text):
    assert refusal(text.encode(encoding), name) == "utf16"
    assert refusal(Pieces(text.encode(encoding), name=name)) == "utf16"


def test_a_file_of_zero_bytes_is_no_json():
    assert refusal(b"\0" * 8) == "not_json"


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_gzip_and_html_are_named(name):
    assert refusal(gzip.compress(b"[]"), name) == "gzip"
    assert refusal(Pieces(gzip.compress(b"[]"), name=name)) == "gzip"
    assert refusal("<!DOCTYPE html><html>\n{}\n{}\n", name) == "html"
    assert refusal('  <?xml version="1.0"?><a/>', name) == "html"


@pytest.mark.parametrize(
    "text",
    [
        '// exported today\n[{"token":"a"}]',
        '// exported today\n{"token":"a"}',
        '/* exported today */ [{"token":"a"}]',
        '[{"token":"a"} /* the only one */]',
        '[{"token":"a"}, // the first\n{"token":"b"}]',
        '[{"token": /* secret */ "a"}]',
        "[{'token':'a'}]",
        "[{\"token\":'a'}]",
        '[{token:"a"}]',
        '{token:"a"}',
        '{$token:"a"}',
        '{"data":[{"token":"a"}],}',
        '[{"token":"a"},]',
        '[{"token":"a",}]',
        '[{"emails":["a",]}]',
        '[{"expiresIn":0x10}]',
        "[0x10]",
        '[{"expiresIn":+1}]',
        '[{"expiresIn":.5}]',
        '[{"expiresIn":5.}]',
        "[5.]",
        '[{"token":"a\\\nb"}]',
    ],
)
def test_json5_is_named(text):
    assert refusal(text) == "json5"


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "token=a",
        "accessToken,refreshToken\na,b\n",
        "---\ntoken: a\n",
        "[{]",
        '{"token" "a"}',
        '{"token":"a" "key":"b"}',
        '[{"token":"a"} {"token":"b"}]',
        '[{"token":"a\nb"}]',
        '[{"token":"\\x"}]',
        '[{"token":"\\u12G4"}]',
        "[01]",
        "[True]",
        "[}",
        "{]",
        "\u00a0[]",
        '{"token":"a","b"}',
        "{1:2}",
        '{"data":[1;2]}',
    ],
)
def test_what_is_no_json_is_refused(text):
    assert refusal(text) == "not_json"


@pytest.mark.parametrize("text", ["5", '"text"', "true", "null", "-1.5e3", " 0 "])
def test_a_bare_scalar_is_refused(text):
    assert refusal(text) == "scalar"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    "text",
    [
        "[%s]",
        '[{"expiresIn":%s}]',
        '[{"token":"a"},{"meta":{"a":[%s]}}]',
        '{"token":%s}',
        '{"data":[{"token":"a"}],"total":%s}',
        "%s",
    ],
)
def test_numbers_that_are_none_are_refused(constant, text):
    assert refusal(text % constant) == "not_finite"


def test_the_same_words_as_text_are_text():
    assert values('[{"token":"NaN","key":"Infinity"}]') == [{"token": "NaN", "key": "Infinity"}]


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
@pytest.mark.parametrize(
    "text",
    ["[%s]", '{"data":[%s]}', '{"meta":%s}', '[{"meta":{"a":%s}}]'],
)
def test_any_depth_is_refused_without_a_crash(levels, text):
    assert refusal(text % ("[" * levels + "]" * levels)) == "too_deep"
    assert refusal(text % ('{"a":' * levels + "1" + "}" * levels)) == "too_deep"


def test_brackets_in_texts_are_not_levels():
    assert len(values([{"token": "[{" * 5000}])) == 1


MIB = 1024 * 1024


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
def test_an_entry_may_be_16_mib_and_not_a_byte_more(frame, name, character):
    fits, over = frame % entry_of(16 * MIB, character), frame % entry_of(16 * MIB + 1, character)
    assert all(not entry.fault for entry in read(fits, name))
    if name.endswith("ndjson"):
        entries = read(over, name)
        assert [entry.fault for entry in entries].count("bad_line") == 1
        assert len(entries) == 3
        assert all(entry.value for entry in entries if not entry.fault)
    else:
        assert refusal(over) == "entry_too_large"


def test_an_overlong_first_line_refuses_only_itself():
    entries = read(entry_of(40 * MIB) + '\n{"token":"b"}\n', "a.ndjson")
    assert [entry.fault for entry in entries] == ["bad_line", ""]


def test_an_endless_text_is_refused_before_all_of_it_is_read():
    def chunks():
        yield b'[{"token":"'
        for _ in range(2000):
            asked.append(1)
            yield b"x" * MIB

    asked = []
    assert refusal(Generated(chunks)) == "entry_too_large"
    assert len(asked) < 100


# Windows and chunks


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
    for room in (reader, window_room):
        monkeypatch.setattr(room, "CHUNK", window)
    assert values(Pieces(text, size, name)) == expected


@pytest.mark.parametrize("window", [1, 2, 5])
def test_faults_are_found_with_chunk_borders_anywhere(monkeypatch, window):
    for room in (reader, window_room):
        monkeypatch.setattr(room, "CHUNK", window)
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


def test_a_text_escapes_and_lone_surrogates_are_decoded_and_kept():
    text = r'[{"token":"\ud83d\ude00 \ud800 \u0000 \"\\\/\b\f\n\r\t"}]'
    assert values(text) == [{"token": '\U0001f600 \ud800 \0 "\\/\b\f\n\r\t'}]


def test_numbers_too_long_for_python_do_not_stop_the_file():
    entries = values('[{"expiresIn":' + "9" * 10_000 + '},{"token":"a"}]')
    assert len(entries) == 2
    assert entries[1] == {"token": "a"}


def test_memory_stays_flat_for_a_big_array():
    entry = json.dumps({"accessToken": "x" * 1950, "meta": {"a": 1}}).encode() + b","
    piece = entry * 500

    def chunks():
        yield b"["
        for _ in range(60):
            yield piece
        yield b'{"token":"last"}]'

    source = Generated(chunks)
    assert len(piece) * 60 > 59_000_000
    tracemalloc.start()
    try:
        layout = reader.scan(source)
        for entry in reader.entries(source, layout):
            last = entry.value
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert layout.count == 30_001
    assert last == {"token": "last"}
    assert peak < 16 * MIB


# Files


def test_a_file_that_changes_between_the_passes_stops_the_run(tmp_path):
    path = tmp_path / "a.json"
    for before, after in [
        ('[{"token":"a"}]', '[{"token":"b"}]'),
        ('[{"token":"a"}]', '[{"token":"a"}] '),
        ('[{"token":"a"}] ', '[{"token":"a"}]'),
        ('[{"token":"a"}]', ""),
    ]:
        path.write_text(before)
        source = sources.FileSource(path)
        layout = reader.scan(source)
        path.write_text(after)
        with pytest.raises(FileRefused) as caught:
            list(reader.entries(source, layout))
        assert caught.value.code == "file_changed"
        assert caught.value.file == "a.json"


def test_a_change_deep_inside_a_big_file_is_seen(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"token": "x" * 1000}] * 3000))
    source = sources.FileSource(path)
    layout = reader.scan(source)
    with open(path, "r+b") as file:
        file.seek(2_500_100)
        file.write(b"y")
    with pytest.raises(FileRefused) as caught:
        list(reader.entries(source, layout))
    assert caught.value.code == "file_changed"


def test_files_that_cannot_be_read_are_refused(tmp_path):
    def open_it(path):
        return sources.open_source(str(path), None, None, None)

    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(FileRefused) as caught:
            open_it(path)
        assert caught.value.code == "unreadable_file"
    gone = tmp_path / "gone.json"
    gone.write_text("[]")
    source = open_it(gone)
    gone.unlink()
    assert refusal(source) == "unreadable_file"


def test_what_is_no_regular_file_is_kept_in_sealed_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CHUNK", 10)
    sealed = []

    def seal(data, place):
        sealed.append(place)
        return bytes(byte ^ 0x55 for byte in data)

    def unseal(token, place):
        assert place in sealed
        return bytes(byte ^ 0x55 for byte in token)

    text = json.dumps([ONE, TWO])
    read_end, write_end = os.pipe()
    os.write(write_end, text.encode())
    os.close(write_end)
    with open(read_end, "rb") as stream:
        source = sources.open_source("-", stream, seal, unseal)
        assert values(source) == [ONE, TWO]
    assert values(source) == [ONE, TWO]
    source._file.seek(0)
    assert b"accessToken" not in source._file.read()
    assert source.size == len(text)


def test_what_is_refused_at_its_beginning_is_not_read_on():
    class Endless:
        served = 0

        def read(self, size):
            self.served += size
            return (b'["' if self.served == size else b"").ljust(size, b"x")

    stream = Endless()
    source = sources.open_source("-", stream, lambda data, _: data, lambda token, _: token)
    assert refusal(source) == "entry_too_large"
    assert stream.served <= 3 * window_room.MAX_ENTRY
