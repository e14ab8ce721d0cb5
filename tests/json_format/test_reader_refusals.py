"""Files that are refused as a whole. No database."""

import codecs
import gzip
import json

import pytest

from connections.json_format.issues import FileRefused
from tests.support.sources import ONE, Pieces, read, refusal, values


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
def test_text_after_the_end_is_refused(text):
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
def test_bytes_that_are_not_utf8_are_refused(content):
    assert refusal(content) == "not_utf8"


def test_a_bad_byte_at_the_very_end_of_a_big_file_refuses_it():
    body = json.dumps([{"token": "x" * 1000}] * 3000)
    assert refusal(body.encode() + b"\xff") == "not_utf8"
    assert refusal(body + "x") == "trailing_garbage"
    assert refusal(body[:-1]) == "truncated"
    lines = (json.dumps({"token": "x" * 1000}) + "\n") * 3000
    assert refusal(lines.encode() + b"\xff", "a.ndjson") == "not_utf8"


def test_a_utf8_bom_is_allowed():
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
def test_utf16_and_utf32_are_refused_by_name(encoding, name, text):
    assert refusal(text.encode(encoding), name) == "utf16"
    assert refusal(Pieces(text.encode(encoding), name=name)) == "utf16"


def test_a_file_of_nul_bytes_is_refused():
    assert refusal(b"\0" * 8) == "not_json"


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_gzip_and_html_are_refused_by_name(name):
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
def test_json5_is_refused_by_name(text):
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
def test_text_that_is_not_json_is_refused(text):
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
def test_nan_and_infinity_are_refused(constant, text):
    assert refusal(text % constant) == "not_finite"


def test_nan_and_infinity_as_text_are_read():
    assert values('[{"token":"NaN","key":"Infinity"}]') == [{"token": "NaN", "key": "Infinity"}]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[{"token":"a"},\n {"token":"b"} {"token":"c"}]', "line 2, column 16"),
        ('[{"token":"ü漢😀"},\r\n{"token":"b",}]', "line 2, column 14"),
        ('{"next":"x",\n"data":[{"token":"a"}]}\n\n x', "line 4, column 2"),
        ('[\n\n{"token":"a","expiresIn":NaN}]', "line 3, column 1"),
        (f'[\n{{"meta":{"[" * 200}{"]" * 200}}}]', "line 2, column 1"),
        (b'\xef\xbb\xbf[{"name":"\xc3\xbc"},\n{"name":"\xc3\xbc\xff"}]', "line 2, column 11"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_refusal_names_line_and_column(text, place, size):
    with pytest.raises(FileRefused) as caught:
        read(Pieces(text, size))
    assert str(caught.value).endswith(f"({place})")


def test_the_line_is_counted_from_the_start_of_a_big_file():
    lines = '{"token":"ü"},\n' * 20_000
    with pytest.raises(FileRefused) as caught:
        read(f'[{lines}  {{"token":b}}]')
    assert str(caught.value).endswith("(line 20001, column 12)")
    with pytest.raises(FileRefused) as caught:
        read(f"[{lines}]".replace("\n", ""))
    assert str(caught.value).endswith(f"(line 1, column {20_000 * 14 + 2})")
