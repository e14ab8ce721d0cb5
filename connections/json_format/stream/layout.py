"""How a source is laid out: an array, one object, a wrapper around a list, or lines (NDJSON)."""

import codecs
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from connections.json_format import schema
from connections.json_format.issues import FileRefused
from connections.json_format.stream.decoder import decode_entry, skip_whitespace
from connections.json_format.stream.grammar import SKIPPED_LIST, members
from connections.json_format.stream.sources import Source
from connections.json_format.stream.tokenizer import OVERLONG, Line, Tokenizer


@dataclass(frozen=True)
class Piece:
    """Some whole entries of a source in a row, which are read, judged and stored together.

    `offset` and `length` are in bytes; `number` and `line` are those of the first entry. A line
    that is too long to be read is a piece of its own, of length 0.
    """

    offset: int
    length: int
    count: int
    number: int
    line: int | None
    digest: int  # hash() of its bytes, which is keyed for a process and those that it forks


@dataclass
class Layout:
    """How a source is laid out, and its pieces: found by scan(), and needed to read entries.

    `list_key` is the key under which a wrapper has its list.
    """

    shape: Literal["array", "object", "wrapper", "lines"]
    list_key: str = ""
    count: int = 0
    pieces: list[Piece] = field(default_factory=list)


def find_layout(source: Source) -> Layout:
    """The Layout of a source, without its pieces. Raises FileRefused."""
    _refuse_other_formats(source)
    tokenizer = Tokenizer(source)
    first = tokenizer.peek()
    if not first:
        raise tokenizer.error("empty")
    if first == "<":
        raise tokenizer.error("html")
    if (first != "[" or _has_ndjson_name(source)) and _looks_like_ndjson(source):
        return Layout("lines")
    if first == "[":
        return Layout("array")
    if first == "{":
        return _object_layout(tokenizer)
    tokenizer.read_value()  # raises if it is not JSON at all
    raise tokenizer.error("trailing_garbage" if tokenizer.peek() else "scalar")


def _refuse_other_formats(source: Source) -> None:
    """Refuse an empty file and formats that people hand over by mistake, by the first bytes."""
    head = b""
    for chunk in source.chunks():
        head += chunk[:512]
        if len(head) >= 4:
            break
    code = None
    if not head:
        code = "empty"
    elif head.startswith(b"\x1f\x8b"):
        code = "gzip"
    elif head.startswith(b"PK\x03\x04"):
        code = "zip"
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"\0\0\xfe\xff")):
        code = "utf16"
    elif b"\0" in head[:4] and any(head[:4]):
        code = "utf16"  # JSON text begins with ASCII, so a NUL means more bytes a character
    if code:
        raise FileRefused(code, source.name)


def _has_ndjson_name(source: Source) -> bool:
    return source.name.lower().endswith((".ndjson", ".jsonl"))


def _looks_like_ndjson(source: Source) -> bool:
    """Whether a source is NDJSON, with or without bad lines, rather than one JSON text.

    The first ten lines decide. No JSON text has a whole object on line 1 and another one after
    it. If line 1 is bad, most of the others must be whole objects, since a JSON text in which
    commas are missing holds some as well; if line 1 is cut off, all of them must be. A name that
    says NDJSON is believed, unless the whole is one JSON text.
    """
    tokenizer = Tokenizer(source)
    first = _next_nonblank_line(tokenizer)
    is_named = _has_ndjson_name(source)
    if first is None or first is OVERLONG:
        return is_named
    others = [line for _ in range(9) if (line := _next_nonblank_line(tokenizer)) is not None]
    objects = sum(map(_is_object_text, others))
    if _is_object_text(first):
        is_next_begun = bool(others) and others[0] is not OVERLONG and others[0][:1] == "{"
        return is_named or objects > 0 or is_next_begun
    opening = first.strip()
    if is_named and opening[0] == "[":
        return bool(others) and _whole_value(first) is not None
    if is_named:
        return opening[0] != "{" or not _is_one_object(source)
    if opening.startswith(("//", "/*")) or opening[-1] in "[{,:":
        return False
    needed = len(others) if _is_truncated(first) else len(others) // 2 + 1
    return bool(others) and objects >= needed


def _next_nonblank_line(tokenizer: Tokenizer) -> Line | None:
    while (line := tokenizer.read_line()) is not None:
        if line is OVERLONG or line.strip():
            return line
    return None


def _is_object_text(line: Line) -> bool:
    return line is not OVERLONG and isinstance(_whole_value(line), dict)


def _whole_value(line: str) -> Any:
    """The value of a line that is one JSON text, else None."""
    try:
        value, end = decode_entry(line, skip_whitespace(line, 0))
    except (ValueError, RecursionError):
        return None
    return None if line[end:].strip(" \t\r") else value


def _is_truncated(line: str) -> bool:
    """Whether a line begins a JSON text and has no fault but that it ends too early."""
    try:
        decode_entry(line, skip_whitespace(line, 0))
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated") or not line[error.pos :].strip(" \t\r")
    except (ValueError, RecursionError):
        return False
    return False


def _is_one_object(source: Source) -> bool:
    tokenizer = Tokenizer(source)
    try:
        tokenizer.peek()
        _object_layout(tokenizer)
    except FileRefused:
        return False
    return True


def _object_layout(tokenizer: Tokenizer) -> Layout:
    """The layout of a source that is an object: one record, or a wrapper around one list.

    Checks the syntax to the end. Raises FileRefused.
    """
    list_keys, is_record = [], False
    for key, value in members(tokenizer):
        if value is SKIPPED_LIST:
            list_keys.append(key)
        is_record = is_record or (value is not None and key in schema.RECORD_KEYS)
    if tokenizer.peek():
        raise tokenizer.error("trailing_garbage")
    if len(list_keys) == 1 and not is_record:
        return Layout("wrapper", list_key=list_keys[0])
    return Layout("object")
