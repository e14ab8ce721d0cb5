"""Pure: how a source is laid out: an array, one object, a wrapper around a list, or lines."""

import codecs
import json
from dataclasses import dataclass, field

from connections.json_format.issues import FileRefused
from connections.json_format.schema import AUTH_NAMES_BY_KEY, CONNECTION_NAMES_BY_KEY
from connections.json_format.stream.tokenizer import (
    OVERLONG,
    SKIPPED_LIST,
    WHITESPACE,
    Tokenizer,
    decode_entry,
    members,
)

# Keys that envelopes of paged answers use too; all other known keys make an object a record.
ENVELOPE_KEYS = {"meta", "name", "state", "token", "key", "id", "created_at", "updated_at"}


@dataclass(frozen=True)
class Piece:
    """A run of whole entries of a source: what is read, judged and stored at a time.

    `offset` and `length` in bytes; `number` and `line` of its first entry. A line that is too
    long to be read is a piece of its own, of length 0.
    """

    offset: int
    length: int
    count: int
    number: int
    line: int | None
    digest: int  # of its bytes: the hash that Python keys for a process and those it forks


@dataclass
class Layout:
    """How a source is laid out, found by scan(): what entries() needs to read it."""

    shape: str  # "array", "object", "wrapper", "lines"
    list_key: str = ""
    count: int = 0
    pieces: list = field(default_factory=list)

    def add(self, piece):
        self.pieces.append(piece)
        self.count += piece.count


def sniff(source):
    """Name the formats that people hand over by mistake."""
    head = b""
    for chunk in source.chunks():
        head += chunk[:512]
        if len(head) >= 4:
            break
    refuse = None
    if not head:
        refuse = "empty"
    elif head.startswith(b"\x1f\x8b"):
        refuse = "gzip"
    elif head.startswith(b"PK\x03\x04"):
        refuse = "zip"
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"\0\0\xfe\xff")):
        refuse = "utf16"
    elif b"\0" in head[:4] and any(head[:4]):
        refuse = "utf16"  # JSON text begins with ASCII: a NUL there is a wider encoding
    if refuse:
        raise FileRefused(refuse, file=source.name)


def _is_object_text(line):
    return line is not OVERLONG and isinstance(_whole_value(line), dict)


def _whole_value(line):
    """What a line holds where it is one JSON value, else None."""
    try:
        value, end = decode_entry(line, WHITESPACE.match(line).end())
    except (ValueError, RecursionError):
        return None
    return None if line[end:].strip(" \t\r") else value


def _is_truncated(line):
    """Whether a line begins a JSON text and has no fault but that it ends too early."""
    try:
        decode_entry(line, WHITESPACE.match(line).end())
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated") or not line[error.pos :].strip(" \t\r")
    except (ValueError, RecursionError):
        return False
    return False


def _next_nonblank_line(window):
    while (line := window.read_line()) is not None:
        if line is OVERLONG or line.strip():
            return line
    return None


def has_ndjson_name(source):
    return source.name.lower().endswith((".ndjson", ".jsonl"))


def looks_like_ndjson(source):
    """Whether a source is NDJSON, with or without bad lines, rather than one JSON text.

    Judged by the first ten lines: a whole object on line 1 and another thereafter are in no
    JSON text. Where line 1 is bad, most of the others must be whole objects (and all, where it
    is cut off), since a JSON text in which commas are missing holds some as well. A name that
    says NDJSON is believed, unless the whole is one JSON text.
    """
    window = Tokenizer(source)
    first = _next_nonblank_line(window)
    is_named = has_ndjson_name(source)
    if first is OVERLONG:
        return is_named
    others = [line for _ in range(9) if (line := _next_nonblank_line(window)) is not None]
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


def _is_one_object(source):
    window = Tokenizer(source)
    try:
        window.peek()
        object_layout(window)
    except FileRefused:
        return False
    return True


def object_layout(window):
    """Whether an object is one record or wraps exactly one list of them. Checks its syntax."""
    lists, is_record = [], False
    for key, value in members(window):
        if value is SKIPPED_LIST:
            lists.append(key)
        is_record = is_record or _is_record_key(key, value)
    if window.peek():
        raise window.error("trailing_garbage")
    if len(lists) == 1 and not is_record:
        return Layout("wrapper", list_key=lists[0])
    return Layout("object")


def _is_record_key(key, value):
    if key in ("auth", "integration_type", "integrationType"):
        return value is not None
    name = AUTH_NAMES_BY_KEY.get(key) or CONNECTION_NAMES_BY_KEY.get(key)
    return name in AUTH_NAMES_BY_KEY and name not in ENVELOPE_KEYS and value is not None
