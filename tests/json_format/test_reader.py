"""The shapes of a file that the reader takes, and NDJSON. No database."""

import json

import pytest

from tests.support.sources import ONE, TWO, read, refusal, values

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


@pytest.mark.parametrize(
    "entry",
    [
        {"data": [ONE], "items": [TWO]},
        {"stuff": [ONE]},
        {"data": {"items": [ONE]}},
        {"accessToken": "a", "refreshToken": "r", "items": [1]},
        {"integration_type": "hubspot", "auth": ONE, "data": [1]},
    ],
)
def test_an_object_that_wraps_no_list_is_one_entry(entry):
    assert values(entry) == [entry]


def test_entries_of_any_type_are_read():
    assert values('[1, "x", null, true, [], {}]') == [1, "x", None, True, [], {}]


@pytest.mark.parametrize("name", ["test.json", "-", "a.ndjson", "a.JSONL"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n \n"])
def test_lines_are_read_whatever_the_file_is_called(name, end):
    entries = read(json.dumps(ONE) + "\n\n" + json.dumps(TWO) + end, name)
    assert [(e.value, e.line, e.number) for e in entries] == [(ONE, 1, 0), (TWO, 3, 1)]


def test_a_file_with_an_ndjson_name_may_have_one_line():
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
    assert [e.number for e in entries if e.fault] == [position]
    assert entries[position].fault.startswith("bad_line.")
    assert entries[position].line == position + 1
    assert [e.value for e in entries if not e.fault] == [ONE, TWO]


def test_a_line_without_an_object_is_read():
    assert values('{"token":"a"}\n5\n[1]\n{"token":"b"}', "a.ndjson")[1:3] == [5, [1]]
    assert values('[1]\n{"token":"b"}', "a.ndjson")[0] == [1]


def test_json_in_a_file_with_an_ndjson_name_is_read():
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
def test_json_without_commas_is_not_mistaken_for_ndjson(text):
    assert refusal(text) == "not_json"
