"""Pure: the first pass over a source in which nothing is odd, in a third of the time.

msgspec takes less than the standard library's decoder does (no NaN, no half surrogate pair, no
fault that could be named): what it takes is JSON, and anything else is the reader's to judge.
A guess where an entry ends needs no trust, since what was cut elsewhere is no JSON.
"""

import re
from typing import Any

import msgspec

from connections.json_format.stream.layout import Layout, Piece, has_ndjson_name
from connections.json_format.stream.sources import CHUNK_SIZE

MOST = 4 * CHUNK_SIZE  # bytes of a plain entry
MOST_BRACKETS = 100  # of an entry: with more it may nest too deep
TRIES = 4  # at places where the last entry of a block may end
NULL = msgspec.Raw(b"null")
BEGIN = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*(?=\{)")
BETWEEN = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*(?=\{)")


class Odd(Exception):
    """Something here takes a closer look."""


class _Known(msgspec.Struct):
    """The keys that tell what an entry is; all others are checked and passed over."""

    id: Any = None
    auth: msgspec.Raw = NULL
    integration_type: Any = None
    integrationType: Any = None

    def as_dict(self):
        return {
            "id": self.id,
            "auth": None if self.auth == NULL else {},
            "integration_type": self.integration_type,
            "integrationType": self.integrationType,
        }


_known = msgspec.json.Decoder(list[_Known]).decode
_texts = msgspec.json.Decoder(list[msgspec.Raw]).decode


def scan(source, observe, piece_entries):
    """The Layout of an array or of lines (NDJSON), as reader.scan() finds it. Raises Odd.

    `observe(value, text)` is called for each entry with what is known of it and its bytes.
    """
    chunks = source.chunks()
    data = next(chunks, b"")
    if begin := BEGIN.match(data):
        if has_ndjson_name(source):
            raise Odd
        layout, entries, offset = Layout("array"), _array_entries, begin.end()
    elif data.startswith(b"{"):
        layout, entries, offset = Layout("lines"), _line_entries, 0
    else:
        raise Odd
    data = data[offset:]
    is_over = False
    while not is_over:
        chunk = next(chunks, None)
        is_over = chunk is None
        data += chunk or b""
        found, rest = entries(data, is_over)
        if not found and len(data) > MOST:
            raise Odd
        for first in range(0, len(found), piece_entries):
            held = found[first : first + piece_entries]
            start, end = held[0][1], held[-1][2]
            line = layout.count + 1 if layout.shape == "lines" else None
            digest = hash(data[start:end])
            layout.add(Piece(offset + start, end - start, len(held), layout.count, line, digest))
        for known, start, end in found:
            observe(known.as_dict(), data[start:end])
        offset, data = offset + rest, data[rest:]
    if layout.shape == "lines" and layout.count < 2 and not has_ndjson_name(source):
        raise Odd  # rather one object
    return layout


def _array_entries(data, is_over):
    """The whole entries that the data begins with, as `[(_Known, start, end)]`, and where the
    next one begins; none where the data holds no end of one. At the end of the source they go up
    to the closing bracket.
    """
    if is_over:
        inside = data.rstrip(b" \t\r\n")
        found = _parse(inside[:-1]) if inside.endswith(b"]") else None
        if found is None:
            raise Odd
        return found, len(data)
    end = len(data)
    for attempt in range(TRIES):
        end = data.rfind(b"}", 0, end)
        while end >= 0 and not (between := BETWEEN.match(data, end + 1)):
            end = data.rfind(b"}", 0, end)
        if end < 0 and not attempt:
            return [], 0
        if end < 0:
            break
        if found := _parse(data[: end + 1]):
            return found, between.end()
    raise Odd


def _parse(block):
    """The entries of the inside of an array; None where it is none, or is odd."""
    text = b"[%b]" % block
    try:
        text.decode()  # msgspec does not look at what it passes over
        known, texts = _known(text), _texts(text)
    except (UnicodeError, msgspec.DecodeError, RecursionError):
        return None
    found, end = [], 0
    for entry, raw in zip(known, texts, strict=True):
        raw = bytes(raw)
        if len(raw) > MOST or raw.count(b"[") + raw.count(b"{") > MOST_BRACKETS:
            raise Odd
        start = block.index(b"{", end)
        end = start + len(raw)
        found.append((entry, start, end))
    return found


def _line_entries(data, is_over):
    """The same of lines: each holds an object and nothing else."""
    end = len(data) if is_over else data.rfind(b"\n") + 1
    lines = data[:end].split(b"\n")
    if not lines[-1]:
        lines.pop()
    found = _parse(b",".join(lines))
    if found is None or len(found) != len(lines):
        raise Odd
    position = 0
    for (_, start, stop), line in zip(found, lines, strict=True):
        # A value that goes on in the next line, and two in one line, would be taken for lines.
        if start != position or line[stop - start :].strip(b" \t\r"):
            raise Odd
        position += len(line) + 1
    return found, end
