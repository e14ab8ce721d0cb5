"""Pure: a window of decoded text over a source, and the grammar of JSON on it, step by step.

The standard library's decoder runs over a text that grows only while a value is incomplete. It
sees what faster readers hide: duplicate keys, NaN, lone surrogates, depth.
"""

import codecs
import json
import re

from connections.json_format.issues import FileRefused
from connections.json_format.serialize import strictly_equal
from connections.json_format.stream.sources import CHUNK_SIZE
from connections.json_format.values import ConflictingKeys, OversizedNumber

MAX_ENTRY_SIZE = 16 * 1024 * 1024  # bytes
MAX_DEPTH = 200
WRAPPER_KEYS = ("data", "results", "items", "connections", "records")
WHITESPACE = re.compile(r"[ \t\n\r]*")


class NotFinite(ValueError):
    pass


def _refuse_constant(name):
    raise NotFinite


def _object_from_pairs(pairs):
    """A dict, or a ConflictingKeys where one key came twice with different values."""
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    conflicts, seen = {}, {}
    for key, value in pairs:
        if key in seen and key not in conflicts and not strictly_equal(seen[key], value):
            conflicts[key] = True
        seen[key] = value
    if conflicts:
        result = ConflictingKeys(result)
        result.names = list(conflicts)
    return result


def _parse_int(digits):
    return int(digits) if len(digits) <= 400 else OversizedNumber()


decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode
decode_pairs = json.JSONDecoder(
    object_pairs_hook=_object_from_pairs, parse_constant=_refuse_constant
).raw_decode
_decode_long_integers = json.JSONDecoder(
    object_pairs_hook=_object_from_pairs, parse_constant=_refuse_constant, parse_int=_parse_int
).raw_decode


def decode_value(text, position, decode=decode):
    """The value at a position of a text, and where it ends."""
    try:
        return decode(text, position)
    except (json.JSONDecodeError, NotFinite):
        raise
    except ValueError:  # an integer of more digits than Python reads
        return _decode_long_integers(text, position)


def decode_entry(text, position):
    """The same; an object that has a key twice with different values is a ConflictingKeys."""
    return decode_value(text, position, decode_pairs)


OVERLONG = object()  # stands for a line that is too long to be kept


class Tokenizer:
    """A window of decoded text that moves over the chunks of a source."""

    def __init__(self, source):
        self._chunks = source.chunks()
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.file = source.name
        self.text, self.position, self.at_end = "", 0, False
        # Where the value or line that was taken last begins and ends; its end in bytes, once
        # the text has moved on.
        self.start, self._end, self._end_offset = 0, 0, 0
        self._bytes_fed = 0  # bytes given to the decoder
        self._is_in_overlong_line = False
        # Line ends before the text, and the characters of its first line that are before it.
        self._lines, self._columns = 0, 0

    def error(self, code, position=None):
        """A FileRefused that says where: at a position of the text, else at the one that is next.

        Where the fault is that there is nothing, or in the whole, there is no place to name.
        """
        if code in ("empty", "truncated", "html", "scalar"):
            return FileRefused(code, file=self.file)
        before = self.text[: self.position if position is None else position]
        line, column = self._line_and_column(before)
        return FileRefused(code, self.file, line=line + 1, column=column + 1)

    def _line_and_column(self, before):
        """The line ends up to the end of a beginning of the text, and the characters since."""
        line_end = before.rfind("\n")
        columns = self._columns + len(before) if line_end < 0 else len(before) - line_end - 1
        return self._lines + before.count("\n"), columns

    def read_more(self):
        """Read on: at least as much again as is in the window. False at the end."""
        wanted = max(CHUNK_SIZE, len(self.text) - self.position)
        self._end_offset, self._end = self.end(), None
        parts, got = [self.text[self.position :]], 0
        self._lines, self._columns = self._line_and_column(self.text[: self.position])
        self.position = 0
        while got < wanted and not self.at_end:
            chunk = next(self._chunks, None)
            self.at_end = chunk is None
            self._bytes_fed += len(chunk or b"")
            try:
                part = self._decoder.decode(chunk or b"", final=self.at_end)
            except UnicodeDecodeError as error:
                self.text = "".join(parts) + error.object[: error.start].decode()
                raise self.error("not_utf8", len(self.text)) from None
            parts.append(part)
            got += len(part)
        self.text = "".join(parts)
        return got > 0

    def offset(self, position):
        """The byte of the source that a position of the text is at."""
        undecoded = len(self._decoder.getstate()[0])
        return self._bytes_fed - undecoded - len(self.text[position:].encode())

    def end(self):
        """The byte of the source at which the value or line ends that was taken last."""
        return self._end_offset if self._end is None else self.offset(self._end)

    def peek(self):
        """The next character that is no blank, or "" at the end."""
        while True:
            self.position = WHITESPACE.match(self.text, self.position).end()
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.read_more():
                return ""

    def take(self):
        """Decode the value at the position. Returns `(value, its text)`; raises FileRefused."""
        while True:
            start = self.position
            try:
                value, end = decode_value(self.text, start)
                # A number goes on after what looks like its end: 1 | .5, 1 | e5, 1 | e+5.
                if end + 2 < len(self.text) or self.at_end:
                    if self._is_too_large(start, end):
                        raise self.error("entry_too_large")
                    self.start, self.position = start, end
                    self._end = end
                    return value, self.text[start:end]
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos > len(self.text) - 32
                if self.at_end or not is_cut:
                    code = syntax_error_code(self.text, error, self.at_end)
                    raise self.error(code, error.pos) from None
            except NotFinite:
                raise self.error("not_finite") from None
            except RecursionError:
                raise self.error("too_deep") from None
            if len(self.text) - start > MAX_ENTRY_SIZE + 2:
                raise self.error("entry_too_large")
            self.read_more()

    def _is_too_large(self, start, end):
        length = end - start
        return length > MAX_ENTRY_SIZE or (
            length > MAX_ENTRY_SIZE // 4
            and len(self.text[start:end].encode("utf-8")) > MAX_ENTRY_SIZE
        )

    def read_line(self):
        """The next line without its end, None at the end, or OVERLONG for one over 16 MiB."""
        if self._is_in_overlong_line:
            self._skip_line()
        searched = self.position
        while (end := self.text.find("\n", searched)) < 0:
            if len(self.text) - self.position > MAX_ENTRY_SIZE:
                self._is_in_overlong_line = True
                self.start = self.position
                return OVERLONG
            searched = len(self.text) - self.position
            if not self.read_more():
                is_over = self._is_too_large(self.position, len(self.text))
                line = self.text[self.position :]
                self.start, self.position = self.position, len(self.text)
                self._end = self.position
                return OVERLONG if is_over else line or None
        is_over = self._is_too_large(self.position, end)
        line = self.text[self.position : end]
        self.start, self.position = self.position, end + 1
        self._end = self.position
        return OVERLONG if is_over else line

    def _skip_line(self):
        self._is_in_overlong_line = False
        self.position = len(self.text)
        while self.read_more():
            if (end := self.text.find("\n")) >= 0:
                self.position = end + 1
                return
            self.position = len(self.text)


# What a text that is cut off can end with: blanks, or a part of an escape, a word or a number.
TRUNCATED_END = re.compile(
    r"[ \t\n\r]*|u[0-9a-fA-F]{0,4}|t(r|ru)?|f(a|al|als)?|n(u|ul)?|-|\.|[eE][+-]?"
)


def syntax_error_code(text, error, at_end):
    """The code for a syntax error: cut off, JSON5, or just no JSON."""
    position = min(error.pos, len(text))
    rest = text[position : position + 2]
    if at_end and (
        error.msg.startswith("Unterminated") or TRUNCATED_END.fullmatch(text, position)
    ):
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


def _nesting_depth(value):
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


def is_too_deep(value, text, outer):
    if text.count("[") + text.count("{") + outer <= MAX_DEPTH:
        return False
    return _nesting_depth(value) + outer > MAX_DEPTH


SKIPPED_LIST = object()  # stands for a list under one of WRAPPERS, passed over item by item


def members(window):
    """The members of the object at the position, as `(key, value)`."""
    window.position += 1
    if window.peek() == "}":
        window.position += 1
        return
    size = 0  # of all but the lists: what is no wrapper is one entry
    while True:
        key = read_key(window)
        expect(window, ":")
        if window.peek() == "[" and key in WRAPPER_KEYS:
            for value, text in array_items(window):
                if is_too_deep(value, text, 2):
                    raise window.error("too_deep", window.start)
            yield key, SKIPPED_LIST
        else:
            value, text = window.take()
            size += len(key) + len(text)
            if size > MAX_ENTRY_SIZE:
                raise window.error("entry_too_large")
            if is_too_deep(value, text, 1):
                raise window.error("too_deep", window.start)
            yield key, value
        if not skip_separator(window, "}"):
            return


def read_key(window):
    first = window.peek()
    if first and first != '"':
        raise window.error("json5" if first.isalpha() or first in "_$'/" else "not_json")
    return window.take()[0]


def separator_error_code(window):
    """The code for what stands where a comma or the end belongs."""
    before = window.text[max(0, window.position - 1) : window.position]
    rest = window.text[window.position : window.position + 2]
    if window.at_end and TRUNCATED_END.fullmatch(window.text, window.position):
        return "truncated"
    is_number = (before == "0" and rest[0] in "xX") or (before.isdigit() and rest[0] == ".")
    return "json5" if is_number or rest in ("//", "/*") else "not_json"


def array_items(window):
    """The items of the array at the position, as `(value, text)`."""
    window.position += 1
    if window.peek() == "]":
        window.position += 1
        return
    while True:
        if window.peek() == "":
            raise window.error("truncated")
        yield window.take()
        if not skip_separator(window, "]"):
            return


def expect(window, character):
    found = window.peek()
    if found != character:
        raise window.error("truncated" if not found else "not_json")
    window.position += 1
    if not window.peek():
        raise window.error("truncated")


def skip_separator(window, closing):
    """Step over a comma (True) or the closing bracket (False)."""
    found = window.peek()
    if found not in (",", closing):
        raise window.error(separator_error_code(window) if found else "truncated")
    window.position += 1
    if found == closing:
        return False
    if window.peek() == closing:
        raise window.error("json5")  # a trailing comma
    return True
