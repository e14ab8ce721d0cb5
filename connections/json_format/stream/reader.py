"""Pure: a file or stream in, numbered entries out, in bounded memory. No database.

`scan()` checks a whole source (see sources) and notes the pieces it can be read by, in any order
and by several processes; `entries()` yields what is in them.
"""

from dataclasses import dataclass
from typing import Any

from connections.json_format.issues import FileRefused
from connections.json_format.stream.layout import (
    Layout,
    Piece,
    has_ndjson_name,
    looks_like_ndjson,
    object_layout,
    sniff,
)
from connections.json_format.stream.sources import CHUNK_SIZE
from connections.json_format.stream.tokenizer import (
    OVERLONG,
    WHITESPACE,
    NotFinite,
    Tokenizer,
    array_items,
    decode_entry,
    expect,
    is_too_deep,
    read_key,
    skip_separator,
)

ENTRIES_PER_PIECE = 500


@dataclass
class RawEntry:
    """An entry as decoded: `number` from 0, `line` from 1 (NDJSON only), its own text.

    `fault` is a key of issues.MESSAGES where a line of NDJSON could not be read.
    """

    number: int
    value: Any = None
    text: str = ""
    line: int | None = None
    fault: str = ""


def scan(source, repeats=None):
    """Check the syntax of a whole source and find its Layout. Raises FileRefused.

    `repeats` (see Repeats) is shown each entry.
    """
    observe = repeats.add if repeats else lambda value, text: None
    sniff(source)
    window = Tokenizer(source)
    first = window.peek()
    if not first:
        raise window.error("empty")
    if first == "<":
        raise window.error("html")
    if first == "[" and not has_ndjson_name(source):
        return _scan_with(Layout("array"), source, observe)
    if looks_like_ndjson(source):
        return _scan_with(Layout("lines"), source, observe)
    if first == "[":
        return _scan_with(Layout("array"), source, observe)
    if first == "{":
        return _scan_with(object_layout(window), source, observe)
    window.take()  # raises where it is no JSON at all
    raise window.error("trailing_garbage" if window.peek() else "scalar")


def _scan_with(layout, source, observe):
    """Read all entries, and note the pieces that they can be read again by."""
    window = Tokenizer(source)
    begin, held, size, line = 0, 0, 0, None  # of the piece under way

    def close(end):
        nonlocal held
        digest = hash(source.read(begin, end - begin)) if end > begin else 0
        layout.add(Piece(begin, end - begin, held, layout.count, line, digest))
        held = 0

    for raw in _entries(window, layout):
        if not raw.fault:
            observe(raw.value, raw.text)
        is_overlong = raw.fault == "bad_line.overlong"
        if held and is_overlong:
            close(window.offset(window.start))
        if not held:
            begin, size, line = window.offset(window.start), 0, raw.line
        held += 1
        size += len(raw.text)
        if is_overlong or held == ENTRIES_PER_PIECE or size > CHUNK_SIZE:
            close(begin if is_overlong else window.end())
    if held:
        close(window.end())
    return layout


def read_entries(source, layout):
    """Yield the RawEntry objects of a source that scan() has laid out. Raises FileRefused."""
    for piece in layout.pieces:
        yield from read_piece(source, layout, piece)


def read_piece(source, layout, piece):
    """The RawEntry objects of one piece, as a list. Raises FileRefused if they are not there."""
    if not piece.length:
        return [RawEntry(piece.number, None, "", piece.line, "bad_line.overlong")]
    data = source.read(piece.offset, piece.length)
    if hash(data) != piece.digest:
        raise FileRefused("file_changed", file=source.name)
    read = _piece_lines if layout.shape == "lines" else _piece_values
    return read(data.decode(), piece)


def _piece_values(text, piece):
    found, position = [], 0
    while len(found) < piece.count:
        value, end = decode_entry(text, position)
        found.append(RawEntry(piece.number + len(found), value, text[position:end]))
        position = WHITESPACE.match(text, end).end() + 1  # over the comma
        position = WHITESPACE.match(text, position).end()
    return found


def _piece_lines(text, piece):
    found = []
    for line_number, line in enumerate(text.split("\n"), piece.line):
        if line.strip(" \t\r"):
            found.append(_line_entry(line, piece.number + len(found), line_number))
    return found


def _entries(window, layout):
    """The entries of a source from its beginning; `window` is at their place after each."""
    if layout.shape == "lines":
        yield from _line_entries(window)
        return
    window.peek()
    if layout.shape == "object":
        value, text = window.take()
        if is_too_deep(value, text, 0):
            raise window.error("too_deep", window.start)
        yield RawEntry(0, value, text)
    else:
        is_array = layout.shape == "array"
        found = array_items(window) if is_array else _wrapper_items(window, layout.list_key)
        outer = 1 if is_array else 2
        for number, (value, text) in enumerate(found):
            if is_too_deep(value, text, outer):
                raise window.error("too_deep", window.start)
            yield RawEntry(number, value, text)
        if layout.shape == "wrapper":
            return  # scan() has seen what follows the list
    if window.peek():
        raise window.error("trailing_garbage")


def _wrapper_items(window, list_key):
    """The items of the one list of a wrapper."""
    window.position += 1
    while True:  # scan() has found the list, so this ends
        key = read_key(window)
        expect(window, ":")
        if key == list_key and window.peek() == "[":
            yield from array_items(window)
            return
        window.take()
        skip_separator(window, "}")


def _line_entries(window):
    number = line_number = 0
    while (line := window.read_line()) is not None:
        line_number += 1
        if line is OVERLONG:
            yield RawEntry(number, None, "", line_number, "bad_line.overlong")
        elif line.strip(" \t\r"):
            yield _line_entry(line, number, line_number)
        else:
            continue
        number += 1


def _line_entry(line, number, line_number):
    raw = RawEntry(number, text=line, line=line_number)
    try:
        value, end = decode_entry(line, WHITESPACE.match(line).end())
    except NotFinite:
        raw.fault = "bad_line.not_finite"
    except RecursionError:
        raw.fault = "bad_line.too_deep"
    except ValueError:
        raw.fault = "bad_line.not_json"
    else:
        if line[end:].strip(" \t\r"):
            raw.fault = "bad_line.trailing_garbage"
        elif is_too_deep(value, line, 0):
            raw.fault = "bad_line.too_deep"
        else:
            raw.value = value
    return raw
