"""Sources for tests of the reader, and shortcuts that read them."""

import pytest

from connections.json_format.issues import FILE_ERRORS, FileRefused
from connections.json_format.stream import reader
from tests.support.helpers import Text

ONE = {"accessToken": "a"}
TWO = {"accessToken": "b", "name": "Zwei ü 漢 😀"}


class Pieces(Text):
    """A source that yields its bytes in pieces of a given size."""

    def __init__(self, content, size=1, name="test.json"):
        super().__init__(content, name)
        self.size = size

    def chunks(self):
        for start in range(0, len(self.content), self.size):
            yield self.content[start : start + self.size]


class Generated:
    """A big source that is never in memory as a whole."""

    def __init__(self, make_chunks, name="big.json"):
        self.chunks, self.name = make_chunks, name

    def read(self, offset, length):
        begin, found = 0, b""
        for chunk in self.chunks():
            found += chunk[max(0, offset - begin) : max(0, offset + length - begin)]
            begin += len(chunk)
            if begin >= offset + length:
                return found
        return found


def read(content, name="test.json"):
    """The raw entries of a source, both passes done."""
    source = content if hasattr(content, "chunks") else Text(content, name)
    layout = reader.scan(source)
    found = list(reader.read_entries(source, layout))
    assert layout.count == len(found)
    assert [entry.number for entry in found] == list(range(len(found)))
    return found


def values(content, name="test.json"):
    return [entry.value for entry in read(content, name)]


def refusal(content, name="test.json"):
    with pytest.raises(FileRefused) as caught:
        read(content, name)
    assert caught.value.issue.code in FILE_ERRORS
    return caught.value.issue.code
