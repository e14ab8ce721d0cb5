"""Values and lines out of the chunks of a source, in bounded memory.

The decoder runs over a text that grows only while a value is incomplete.
"""

import codecs
import json
from enum import Enum
from typing import Any, Final

from connections.json_format.issues import FileRefused
from connections.json_format.stream import decoder
from connections.json_format.stream.sources import CHUNK_SIZE, Source

MAX_ENTRY_SIZE = 16 * 1024 * 1024  # bytes


class _Placeholder(Enum):
    OVERLONG = "a line that is too long to be kept"


OVERLONG: Final = _Placeholder.OVERLONG
Line = str | _Placeholder


class Tokenizer:
    """Reads values and lines from a source.

    It keeps a window of decoded text (`text`) and moves `position` over it.
    """

    def __init__(self, source: Source) -> None:
        self._chunks = source.chunks()
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.file = source.name
        self.text, self.position, self.at_end = "", 0, False
        # Where the value or line that was read last begins and ends in the text. Once the window
        # has moved on there is only its end in bytes.
        self.start = 0
        self._end: int | None = 0
        self._end_offset = 0
        self._bytes_fed = 0  # bytes given to the decoder
        # A position whose byte is known; later ones are counted from it.
        self._known_position, self._known_offset = 0, 0
        self._is_in_overlong_line = False
        # Line ends before the text, and the characters of its first line that are before it.
        self._lines, self._columns = 0, 0

    def error(self, code: str, position: int | None = None) -> FileRefused:
        """A FileRefused that names the line and column of a position, by default the next one.

        Some faults are of the file as a whole and have no place.
        """
        if code in ("empty", "truncated", "html", "scalar"):
            return FileRefused(code, self.file)
        before = self.text[: self.position if position is None else position]
        line, column = self._line_and_column(before)
        return FileRefused(code, self.file, line=line + 1, column=column + 1)

    def _line_and_column(self, before: str) -> tuple[int, int]:
        """The line and column, from 0, at which a beginning of the text ends."""
        line_end = before.rfind("\n")
        columns = self._columns + len(before) if line_end < 0 else len(before) - line_end - 1
        return self._lines + before.count("\n"), columns

    def read_more(self) -> bool:
        """Move the window to the position and at least double it. False at the end."""
        wanted = max(CHUNK_SIZE, len(self.text) - self.position)
        is_first = self._bytes_fed == 0
        self._end_offset, self._end = self.end_offset(), None
        self._known_position, self._known_offset = 0, self.byte_offset(self.position)
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
        if is_first:  # a byte order mark is not in the text
            undecoded = len(self._decoder.getstate()[0])
            self._known_offset = self._bytes_fed - undecoded - len(self.text.encode())
        return got > 0

    def byte_offset(self, position: int) -> int:
        """The byte of the source at a position of the text, none before one asked for earlier."""
        self._known_offset += len(self.text[self._known_position : position].encode())
        self._known_position = position
        return self._known_offset

    def end_offset(self) -> int:
        """The byte of the source at which the value or line that was read last ends."""
        return self._end_offset if self._end is None else self.byte_offset(self._end)

    def peek(self) -> str:
        """The next character that is not white space, or "" at the end."""
        while True:
            found = self.text[self.position : self.position + 1]
            if found and found not in " \t\n\r":
                return found
            self.position = decoder.skip_whitespace(self.text, self.position)
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.read_more():
                return ""

    def read_value(self) -> tuple[Any, str]:
        """Decode the value at the position. Returns `(value, its text)`; raises FileRefused."""
        while True:
            start = self.position
            try:
                value, end = decoder.decode_value(self.text, start)
                # A number can go on after what looks like its end: 1 | .5, 1 | e5, 1 | e+5.
                if end + 2 < len(self.text) or self.at_end:
                    if self._is_too_large(start, end):
                        raise self.error("entry_too_large")
                    self.start, self.position = start, end
                    self._end = end
                    return value, self.text[start:end]
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos > len(self.text) - 32
                if self.at_end or not is_cut:
                    code = decoder.syntax_error_code(error, self.at_end)
                    raise self.error(code, error.pos) from None
            except decoder.NotFinite:
                raise self.error("not_finite") from None
            except RecursionError:
                raise self.error("too_deep") from None
            if len(self.text) - start > MAX_ENTRY_SIZE + 2:
                raise self.error("entry_too_large")
            self.read_more()

    def _is_too_large(self, start: int, end: int) -> bool:
        length = end - start
        return length > MAX_ENTRY_SIZE or (
            length > MAX_ENTRY_SIZE // 4
            and len(self.text[start:end].encode("utf-8")) > MAX_ENTRY_SIZE
        )

    def read_line(self) -> Line | None:
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
                return self._take_line(len(self.text), len(self.text)) or None
        return self._take_line(end, end + 1)

    def _take_line(self, end: int, next_line: int) -> Line:
        is_too_large = self._is_too_large(self.position, end)
        line = self.text[self.position : end]
        self.start, self.position = self.position, next_line
        self._end = self.position
        return OVERLONG if is_too_large else line

    def _skip_line(self) -> None:
        self._is_in_overlong_line = False
        self.position = len(self.text)
        while self.read_more():
            if (end := self.text.find("\n")) >= 0:
                self.position = end + 1
                return
            self.position = len(self.text)
