"""Pure: a file or stream in, numbered entries out, in bounded memory. No database.

The standard library's decoder runs over a window of text that grows only while an entry is
incomplete. It sees what faster readers hide: duplicate keys, NaN, lone surrogates, depth.

`scan()` checks a whole source (see sources) and notes the pieces it can be read by, in any order
and by several processes; `entries()` yields what is in them.
"""

import codecs
import json
import re
from dataclasses import dataclass, field
from typing import Any

from .issues import FileRefused
from .schema import AUTH_SPELLINGS, CONNECTION_SPELLINGS
from .sources import CHUNK
from .values import ConflictingKeys, OversizedNumber
from .wire import same

MAX_ENTRY = 16 * 1024 * 1024  # bytes
MAX_DEPTH = 200
PIECE_ENTRIES = 500
OVERLONG_LINE = "The line is over 16 MiB."
WRAPPERS = ("data", "results", "items", "connections", "records")
# Keys that envelopes of paged answers use too; all other known keys make an object a record.
ENVELOPE_KEYS = {"meta", "name", "state", "token", "key", "id", "created_at", "updated_at"}
BLANKS = re.compile(r"[ \t\n\r]*")


@dataclass
class RawEntry:
    """An entry as decoded: `number` from 0, `line` from 1 (NDJSON only), its own text.

    `fault` is a code of issues.RECORD_ERRORS where a line of NDJSON could not be read, with a
    sentence in `message`.
    """

    number: int
    value: Any = None
    text: str = ""
    line: int | None = None
    fault: str = ""
    message: str = ""


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
    digest: int  # of the texts of its entries


@dataclass
class Layout:
    """How a source is laid out, found by scan(): what entries() needs to read it."""

    shape: str  # "array", "object", "wrapper", "lines"
    list_key: str = ""
    count: int = 0
    pieces: list = field(default_factory=list)


class _NotFinite(ValueError):
    pass


def _refuse_constant(name):
    raise _NotFinite


def _object(pairs):
    """A dict, or a ConflictingKeys where one key came twice with different values."""
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    conflicts, seen = {}, {}
    for key, value in pairs:
        if key in seen and key not in conflicts and not same(seen[key], value):
            conflicts[key] = True
        seen[key] = value
    if conflicts:
        result = ConflictingKeys(result)
        result.names = list(conflicts)
    return result


def _careful_int(digits):
    return int(digits) if len(digits) <= 400 else OversizedNumber()


_decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode
_decode_pairs = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant
).raw_decode
_decode_careful = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_careful_int
).raw_decode


def _decode_value(text, position, decode=_decode):
    """The value at a position of a text, and where it ends."""
    try:
        return decode(text, position)
    except (json.JSONDecodeError, _NotFinite):
        raise
    except ValueError:  # an integer of more digits than Python reads
        return _decode_careful(text, position)


def _decode_entry(text, position):
    """The same; an object that has a key twice with different values is a ConflictingKeys."""
    return _decode_value(text, position, _decode_pairs)


_OVERLONG = object()  # stands for a line that is too long to be kept


class _Window:
    """A window of decoded text that moves over the chunks of a source."""

    def __init__(self, source):
        self._chunks = source.chunks()
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.file = source.name
        self.text, self.position, self.at_end = "", 0, False
        # Where the value or line that was taken last begins and ends; its end in bytes, once
        # the text has moved on.
        self.start, self._end, self._end_offset = 0, 0, 0
        self._fed = 0  # bytes given to the decoder
        self._is_in_overlong_line = False

    def refuse(self, code, where=""):
        return FileRefused(code, where, self.file)

    def grow(self):
        """Read on: at least as much again as is in the window. False at the end."""
        wanted = max(CHUNK, len(self.text) - self.position)
        self._end_offset, self._end = self.end(), None
        parts, got = [self.text[self.position :]], 0
        self.position = 0
        while got < wanted and not self.at_end:
            chunk = next(self._chunks, None)
            self.at_end = chunk is None
            self._fed += len(chunk or b"")
            try:
                part = self._decoder.decode(chunk or b"", final=self.at_end)
            except UnicodeDecodeError:
                raise self.refuse("not_utf8") from None
            parts.append(part)
            got += len(part)
        self.text = "".join(parts)
        return got > 0

    def offset(self, position):
        """The byte of the source that a position of the text is at."""
        undecoded = len(self._decoder.getstate()[0])
        return self._fed - undecoded - len(self.text[position:].encode())

    def end(self):
        """The byte of the source at which the value or line ends that was taken last."""
        return self._end_offset if self._end is None else self.offset(self._end)

    def peek(self):
        """The next character that is no blank, or "" at the end."""
        while True:
            self.position = BLANKS.match(self.text, self.position).end()
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.grow():
                return ""

    def take(self):
        """Decode the value at the position. Returns `(value, its text)`; raises FileRefused."""
        while True:
            start = self.position
            try:
                value, end = _decode_value(self.text, start)
                # A number goes on after what looks like its end: 1 | .5, 1 | e5, 1 | e+5.
                if end + 2 < len(self.text) or self.at_end:
                    if self._is_over(start, end):
                        raise self.refuse("entry_too_large")
                    self.start, self.position = start, end
                    self._end = end
                    return value, self.text[start:end]
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos > len(self.text) - 32
                if self.at_end or not is_cut:
                    raise self.refuse(_fault_code(self.text, error, self.at_end)) from None
            except _NotFinite:
                raise self.refuse("not_finite") from None
            except RecursionError:
                raise self.refuse("too_deep") from None
            if len(self.text) - start > MAX_ENTRY + 2:
                raise self.refuse("entry_too_large")
            self.grow()

    def _is_over(self, start, end):
        length = end - start
        return length > MAX_ENTRY or (
            length > MAX_ENTRY // 4 and len(self.text[start:end].encode("utf-8")) > MAX_ENTRY
        )

    def take_line(self):
        """The next line without its end, None at the end, or _OVERLONG for one over 16 MiB."""
        if self._is_in_overlong_line:
            self._skip_line()
        searched = self.position
        while (end := self.text.find("\n", searched)) < 0:
            if len(self.text) - self.position > MAX_ENTRY:
                self._is_in_overlong_line = True
                self.start = self.position
                return _OVERLONG
            searched = len(self.text) - self.position
            if not self.grow():
                is_over = self._is_over(self.position, len(self.text))
                line = self.text[self.position :]
                self.start, self.position = self.position, len(self.text)
                self._end = self.position
                return _OVERLONG if is_over else line or None
        is_over = self._is_over(self.position, end)
        line = self.text[self.position : end]
        self.start, self.position = self.position, end + 1
        self._end = self.position
        return _OVERLONG if is_over else line

    def _skip_line(self):
        self._is_in_overlong_line = False
        self.position = len(self.text)
        while self.grow():
            if (end := self.text.find("\n")) >= 0:
                self.position = end + 1
                return
            self.position = len(self.text)


# What a text that is cut off can end with: blanks, or a part of an escape, a word or a number.
CUT_OFF = re.compile(r"[ \t\n\r]*|u[0-9a-fA-F]{0,4}|t(r|ru)?|f(a|al|als)?|n(u|ul)?|-|\.|[eE][+-]?")


def _fault_code(text, error, at_end):
    """The code for a syntax error: cut off, JSON5, or just no JSON."""
    position = min(error.pos, len(text))
    rest = text[position : position + 2]
    if at_end and (error.msg.startswith("Unterminated") or CUT_OFF.fullmatch(text, position)):
        return "truncated"
    before = text[max(0, position - 200) : position].rstrip()[-1:]
    if (
        rest[:1] == "'"
        or rest in ("//", "/*")
        or ("property name" in error.msg and (rest[:1].isalpha() or rest[:1] in "}_$"))
        or (rest[:1] in "]}" and before == ",")
        or (error.msg == "Expecting value" and rest[:1] in "+.")
        or (before == "0" and rest[:1] in "xX" and rest)
        or (before.isdigit() and rest[:1] == ".")
        or rest in ("\\\n", "\\\r")
    ):
        return "json5"
    return "not_json"


def _depth(value):
    """How deep a decoded value nests (a scalar: 0), without recursion."""
    deepest, level = 0, [value]
    while level:
        inner = []
        for item in level:
            if isinstance(item, dict):
                inner.append(item.values())
            elif isinstance(item, list):
                inner.append(item)
        if not inner:
            return deepest
        deepest += 1
        level = [item for group in inner for item in group]
    return deepest


def _is_too_deep(value, text, outer):
    if text.count("[") + text.count("{") + outer <= MAX_DEPTH:
        return False
    return _depth(value) + outer > MAX_DEPTH


def scan(source, observe=None):
    """Check the syntax of a whole source and find its Layout. Raises FileRefused.

    `observe(raw_entry)` is called for each entry, so that a caller can look for repetitions.
    """
    _sniff(source)
    window = _Window(source)
    first = window.peek()
    if not first:
        raise window.refuse("empty")
    if first == "<":
        raise window.refuse("html")
    if first == "[" and not _is_named_lines(source):
        return _scan_with(Layout("array"), source, observe)
    if _looks_like_lines(source):
        return _scan_with(Layout("lines"), source, observe)
    if first == "[":
        return _scan_with(Layout("array"), source, observe)
    if first == "{":
        return _scan_with(_object_layout(window), source, observe)
    window.take()  # raises where it is no JSON at all
    raise window.refuse("trailing_garbage" if window.peek() else "scalar")


def _scan_with(layout, source, observe):
    """Read all entries, and note the pieces that they can be read again by."""
    window = _Window(source)
    held, begin, size = [], 0, 0  # the entries of the piece under way

    def close(end):
        first = held[0]
        layout.pieces.append(
            Piece(begin, end - begin, len(held), first.number, first.line, _digest(held))
        )
        held.clear()

    for raw in _entries(window, layout):
        layout.count += 1
        if observe:
            observe(raw)
        is_overlong = raw.message == OVERLONG_LINE
        if held and is_overlong:
            close(window.offset(window.start))
        if not held:
            begin, size = window.offset(window.start), 0
        raw.value = None
        held.append(raw)
        size += len(raw.text)
        if is_overlong or len(held) == PIECE_ENTRIES or size > CHUNK:
            close(begin if is_overlong else window.end())
    if held:
        close(window.end())
    return layout


def _digest(raw_entries):
    # Python's own hash of text: keyed anew for each process, and the same in those it forks.
    return hash(tuple(raw.text for raw in raw_entries))


def _sniff(source):
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
    elif b"\0" in head[:4] and any(
        head[:4]
    ):  # JSON text begins with ASCII: a NUL there is a wider encoding
        refuse = "utf16"
    if refuse:
        raise FileRefused(refuse, file=source.name)


def _is_object_text(line):
    return line is not _OVERLONG and isinstance(_whole_value(line), dict)


def _whole_value(line):
    """What a line holds where it is one JSON value, else None."""
    try:
        value, end = _decode_entry(line, BLANKS.match(line).end())
    except (ValueError, RecursionError):
        return None
    return None if line[end:].strip(" \t\r") else value


def _is_cut(line):
    """Whether a line begins a JSON text and has no fault but that it ends too early."""
    try:
        _decode_entry(line, BLANKS.match(line).end())
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated") or not line[error.pos :].strip(" \t\r")
    except (ValueError, RecursionError):
        return False
    return False


def _next_filled_line(window):
    while (line := window.take_line()) is not None:
        if line is _OVERLONG or line.strip():
            return line
    return None


def _is_named_lines(source):
    return source.name.lower().endswith((".ndjson", ".jsonl"))


def _looks_like_lines(source):
    """Whether a source is NDJSON, with or without bad lines, rather than one JSON text.

    Judged by the first ten lines: a whole object on line 1 and another thereafter are in no
    JSON text. Where line 1 is bad, most of the others must be whole objects (and all, where it
    is cut off), since a JSON text in which commas are missing holds some as well. A name that
    says NDJSON is believed, unless the whole is one JSON text.
    """
    window = _Window(source)
    first = _next_filled_line(window)
    is_named = _is_named_lines(source)
    if first is _OVERLONG:
        return is_named
    others = [line for _ in range(9) if (line := _next_filled_line(window)) is not None]
    objects = sum(map(_is_object_text, others))
    if _is_object_text(first):
        is_next_begun = bool(others) and others[0] is not _OVERLONG and others[0][:1] == "{"
        return is_named or objects > 0 or is_next_begun
    opening = first.strip()
    if is_named and opening[0] == "[":
        return bool(others) and _whole_value(first) is not None
    if is_named:
        return opening[0] != "{" or not _is_one_object(source)
    if opening.startswith(("//", "/*")) or opening[-1] in "[{,:":
        return False
    needed = len(others) if _is_cut(first) else len(others) // 2 + 1
    return bool(others) and objects >= needed


def _is_one_object(source):
    window = _Window(source)
    try:
        window.peek()
        _object_layout(window)
    except FileRefused:
        return False
    return True


def _object_layout(window):
    """Whether an object is one record or wraps exactly one list of them. Checks its syntax."""
    lists, is_record = [], False
    for key, value in _members(window):
        if value is _LIST:
            lists.append(key)
        is_record = is_record or _is_record_key(key, value)
    if window.peek():
        raise window.refuse("trailing_garbage")
    if len(lists) == 1 and not is_record:
        return Layout("wrapper", list_key=lists[0])
    return Layout("object")


def _is_record_key(key, value):
    if key in ("auth", "integration_type", "integrationType"):
        return value is not None
    name = AUTH_SPELLINGS.get(key) or CONNECTION_SPELLINGS.get(key)
    return name in AUTH_SPELLINGS and name not in ENVELOPE_KEYS and value is not None


_LIST = object()  # stands for a list under one of WRAPPERS, passed over item by item


def _members(window):
    """The members of the object at the position, as `(key, value)`."""
    window.position += 1
    if window.peek() == "}":
        window.position += 1
        return
    size = 0  # of all but the lists: what is no wrapper is one entry
    while True:
        key = _take_key(window)
        _expect(window, ":")
        if window.peek() == "[" and key in WRAPPERS:
            for value, text in _items(window):
                if _is_too_deep(value, text, 2):
                    raise window.refuse("too_deep")
            yield key, _LIST
        else:
            value, text = window.take()
            size += len(key) + len(text)
            if size > MAX_ENTRY:
                raise window.refuse("entry_too_large")
            if _is_too_deep(value, text, 1):
                raise window.refuse("too_deep")
            yield key, value
        if not _continues(window, "}"):
            return


def _take_key(window):
    first = window.peek()
    if first and first != '"':
        raise window.refuse("json5" if first.isalpha() or first in "_$'/" else "not_json")
    return window.take()[0]


def _code_between(window):
    """The code for what stands where a comma or the end belongs."""
    before = window.text[max(0, window.position - 1) : window.position]
    rest = window.text[window.position : window.position + 2]
    if window.at_end and CUT_OFF.fullmatch(window.text, window.position):
        return "truncated"
    is_number = (before == "0" and rest[0] in "xX") or (before.isdigit() and rest[0] == ".")
    return "json5" if is_number or rest in ("//", "/*") else "not_json"


def _items(window):
    """The items of the array at the position, as `(value, text)`."""
    window.position += 1
    if window.peek() == "]":
        window.position += 1
        return
    while True:
        if window.peek() == "":
            raise window.refuse("truncated")
        yield window.take()
        if not _continues(window, "]"):
            return


def _expect(window, character):
    found = window.peek()
    if found != character:
        raise window.refuse("truncated" if not found else "not_json")
    window.position += 1
    if not window.peek():
        raise window.refuse("truncated")


def _continues(window, closing):
    """Step over a comma (True) or the closing bracket (False)."""
    found = window.peek()
    if found not in (",", closing):
        raise window.refuse(_code_between(window) if found else "truncated")
    window.position += 1
    if found == closing:
        return False
    if window.peek() == closing:
        raise window.refuse("json5")  # a trailing comma
    return True


def entries(source, layout):
    """Yield the RawEntry objects of a source that scan() has laid out. Raises FileRefused."""
    for piece in layout.pieces:
        yield from read_piece(source, layout, piece)


def read_piece(source, layout, piece):
    """The RawEntry objects of one piece, as a list. Raises FileRefused if they are not there."""
    if not piece.length:
        return [RawEntry(piece.number, None, "", piece.line, "bad_line", OVERLONG_LINE)]
    try:
        text = source.read(piece.offset, piece.length).decode()
        read = _piece_lines if layout.shape == "lines" else _piece_values
        found = read(text, piece)
    except ValueError:  # of UTF-8, of JSON, or of what it should hold
        found = []
    if len(found) != piece.count or _digest(found) != piece.digest:
        raise FileRefused("file_changed", file=source.name)
    return found


def _piece_values(text, piece):
    found, position = [], 0
    while len(found) < piece.count:
        value, end = _decode_entry(text, position)
        found.append(RawEntry(piece.number + len(found), value, text[position:end]))
        position = BLANKS.match(text, end).end() + 1  # over the comma
        position = BLANKS.match(text, position).end()
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
        if _is_too_deep(value, text, 0):
            raise window.refuse("too_deep")
        yield RawEntry(0, value, text)
    else:
        items = _items(window) if layout.shape == "array" else _wrapped(window, layout.list_key)
        outer = 1 if layout.shape == "array" else 2
        for number, (value, text) in enumerate(items):
            if _is_too_deep(value, text, outer):
                raise window.refuse("too_deep")
            yield RawEntry(number, value, text)
        if layout.shape == "wrapper":
            return  # scan() has seen what follows the list
    if window.peek():
        raise window.refuse("trailing_garbage")


def _wrapped(window, list_key):
    """The items of the one list of a wrapper."""
    window.position += 1
    while True:  # scan() has found the list, so this ends
        key = _take_key(window)
        _expect(window, ":")
        if key == list_key and window.peek() == "[":
            yield from _items(window)
            return
        window.take()
        _continues(window, "}")


def _line_entries(window):
    number = line_number = 0
    while (line := window.take_line()) is not None:
        line_number += 1
        if line is _OVERLONG:
            yield RawEntry(number, None, "", line_number, "bad_line", OVERLONG_LINE)
        elif line.strip(" \t\r"):
            yield _line_entry(line, number, line_number)
        else:
            continue
        number += 1


def _line_entry(line, number, line_number):
    raw = RawEntry(number, text=line, line=line_number, fault="bad_line")
    try:
        value, end = _decode_entry(line, BLANKS.match(line).end())
    except _NotFinite:
        raw.message = "The line holds NaN or Infinity, which are no JSON."
    except RecursionError:
        raw.message = "The line nests more than 200 levels deep."
    except ValueError:
        raw.message = "The line is not JSON."
    else:
        if line[end:].strip(" \t\r"):
            raw.message = "There is something after the end of the object."
        elif _is_too_deep(value, line, 0):
            raw.message = "The line nests more than 200 levels deep."
        else:
            raw.value, raw.fault = value, ""
    return raw
