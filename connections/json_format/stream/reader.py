"""A file or stream in, numbered entries out, in bounded memory.

scan() checks a whole source and divides it into pieces. These can be read in any order and by
several processes: read_piece() gives the entries of one, read_entries() those of all.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from connections.json_format.issues import FileRefused
from connections.json_format.stream import decoder
from connections.json_format.stream.grammar import array_items, read_key, skip_separator
from connections.json_format.stream.layout import Layout, Piece, find_layout
from connections.json_format.stream.sources import CHUNK_SIZE, Source
from connections.json_format.stream.tokenizer import OVERLONG, Line, Tokenizer

ENTRIES_PER_PIECE = 500

# Called with the value and the text of an entry.
Observer = Callable[[Any, str], None]


@dataclass(slots=True)
class RawEntry:
    """A decoded entry with its text. `number` counts from 0, `line` (NDJSON only) from 1.

    `fault` is a key of issues.MESSAGES if a line of NDJSON could not be read.
    """

    number: int
    value: Any = None
    text: str = ""
    line: int | None = None
    fault: str = ""


def scan(source: Source, observe: Observer | None = None) -> Layout:
    """Check the syntax of a whole source and find its Layout. Raises FileRefused.

    `observe` is called for each entry that could be read.
    """
    layout = find_layout(source)
    _find_pieces(layout, source, observe)
    return layout


def _find_pieces(layout: Layout, source: Source, observe: Observer | None) -> None:
    """Read all entries and add the pieces that they make to the layout."""
    tokenizer = Tokenizer(source)
    begin, count, size, line = 0, 0, 0, None  # of the current piece

    def close(end: int) -> None:
        nonlocal count
        digest = hash(source.read(begin, end - begin)) if end > begin else 0
        layout.pieces.append(Piece(begin, end - begin, count, layout.count, line, digest))
        layout.count += count
        count = 0

    for raw in _read_all(tokenizer, layout):
        if observe and not raw.fault:
            observe(raw.value, raw.text)
        is_overlong = raw.fault == "bad_line.overlong"
        if count and is_overlong:
            close(tokenizer.byte_offset(tokenizer.start))
        if not count:
            begin, size, line = tokenizer.byte_offset(tokenizer.start), 0, raw.line
        count += 1
        size += len(raw.text)
        if is_overlong or count == ENTRIES_PER_PIECE or size > CHUNK_SIZE:
            close(begin if is_overlong else tokenizer.end_offset())
    if count:
        close(tokenizer.end_offset())


def read_entries(source: Source, layout: Layout) -> Iterator[RawEntry]:
    """Yield the entries of a source that scan() has laid out. Raises FileRefused."""
    for piece in layout.pieces:
        yield from read_piece(source, layout, piece)


def read_piece(source: Source, layout: Layout, piece: Piece) -> list[RawEntry]:
    """The entries of one piece. Raises FileRefused if the source has changed."""
    if not piece.length:
        return [RawEntry(piece.number, line=piece.line, fault="bad_line.overlong")]
    data = source.read(piece.offset, piece.length)
    if hash(data) != piece.digest:
        raise FileRefused("file_changed", source.name)
    text, position = data.decode(), 0
    if layout.shape == "lines":
        return list(_line_entries(text.split("\n"), piece.number, piece.line or 1))
    entries: list[RawEntry] = []
    while len(entries) < piece.count:
        value, end = decoder.decode_entry(text, position)
        entries.append(RawEntry(piece.number + len(entries), value, text[position:end]))
        comma = decoder.skip_whitespace(text, end)
        position = decoder.skip_whitespace(text, comma + 1)
    return entries


def _read_all(tokenizer: Tokenizer, layout: Layout) -> Iterator[RawEntry]:
    """The entries from the beginning; after each, the tokenizer is where it ends."""
    if layout.shape == "lines":
        yield from _line_entries(iter(tokenizer.read_line, None))
        return
    tokenizer.peek()
    if layout.shape == "object":
        items, outer_depth = iter([tokenizer.read_value()]), 0
    elif layout.shape == "array":
        items, outer_depth = array_items(tokenizer), 1
    else:
        items, outer_depth = _wrapper_items(tokenizer, layout.list_key), 2
    for number, (value, text) in enumerate(items):
        if decoder.is_too_deep(value, text, outer_depth):
            raise tokenizer.error("too_deep", tokenizer.start)
        yield RawEntry(number, value, text)
    # What follows the list of a wrapper was checked when its layout was found.
    if layout.shape != "wrapper" and tokenizer.peek():
        raise tokenizer.error("trailing_garbage")


def _wrapper_items(tokenizer: Tokenizer, list_key: str) -> Iterator[tuple[Any, str]]:
    """The items of the list of a wrapper."""
    tokenizer.position += 1
    while True:  # ends, since object_layout() has found the list
        key = read_key(tokenizer)
        if tokenizer.peek() == "[" and key == list_key:
            yield from array_items(tokenizer)
            return
        tokenizer.read_value()
        skip_separator(tokenizer, "}")


def _line_entries(
    lines: Iterable[Line], number: int = 0, first_line: int = 1
) -> Iterator[RawEntry]:
    """The entries of lines, of which the first has these numbers."""
    for line_number, line in enumerate(lines, first_line):
        if line is OVERLONG:
            yield RawEntry(number, line=line_number, fault="bad_line.overlong")
        elif line.strip(" \t\r"):
            yield _line_entry(line, number, line_number)
        else:
            continue
        number += 1


def _line_entry(line: str, number: int, line_number: int) -> RawEntry:
    raw = RawEntry(number, text=line, line=line_number)
    try:
        value, end = decoder.decode_entry(line, decoder.skip_whitespace(line, 0))
    except decoder.NotFinite:
        raw.fault = "bad_line.not_finite"
    except RecursionError:
        raw.fault = "bad_line.too_deep"
    except ValueError:
        raw.fault = "bad_line.not_json"
    else:
        if line[end:].strip(" \t\r"):
            raw.fault = "bad_line.trailing_garbage"
        elif decoder.is_too_deep(value, line, 0):
            raw.fault = "bad_line.too_deep"
        else:
            raw.value = value
    return raw
