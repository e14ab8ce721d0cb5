"""Entries that a file holds more than once, found in the first pass with 8 bytes an entry."""

import hashlib
import os
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from connections.json_format import entry as json_format_entry
from connections.json_format import serialize
from connections.json_format.entry import Entry
from connections.json_format.stream.layout import Layout
from connections.json_format.stream.reader import RawEntry, read_entries
from connections.json_format.stream.sources import Source

UINT64_MAX = 2**64 - 1
BUCKETS = 256  # of the hashes of a source, by their last bits


class Uint64Set:
    """A set of 64-bit numbers that takes 8 bytes for each, where Python's takes 100."""

    def __init__(self) -> None:
        self._buckets: dict[int, array[int]] = defaultdict(partial(array, "Q"))  # sorted

    def add(self, number: int) -> None:
        bucket = self._buckets[number & 4095]
        position = bisect_left(bucket, number)
        if position == len(bucket) or bucket[position] != number:
            bucket.insert(position, number)

    def __contains__(self, number: int) -> bool:
        bucket: Sequence[int] = self._buckets.get(number & 4095, ())
        position = bisect_left(bucket, number)
        return position < len(bucket) and bucket[position] == number


class Duplicates:
    """Finds ids, and texts of entries without an id, that a source holds more than once.

    Each stands as a 64-bit keyed hash. `repeated` holds the hashes that occur more than once, and
    `conflicting` those of ids whose entries differ. `has_entry_without_id` says whether there is
    an entry without an id.
    """

    def __init__(self) -> None:
        self._key = os.urandom(16)
        self.repeated: set[int] = set()
        self.conflicting: set[int] = set()
        self._buckets = [array("Q") for _ in range(BUCKETS)]
        self.has_entry_without_id = False

    def add(self, value: Any, text: str) -> None:
        """Note an entry: its value and its text."""
        connection_id = _connection_id(value)
        number = _hash(connection_id, text)
        self._buckets[number % BUCKETS].append(number)
        if connection_id is None:
            self.has_entry_without_id = True

    def entry_hash(self, raw: RawEntry) -> int:
        """The hash of the id of an entry, or of its text if it has none."""
        return _hash(_connection_id(raw.value), raw.text)

    def finish(self, source: Source, layout: Layout) -> None:
        """Find what repeats, after all entries are added. Reads the source again if need be."""
        for bucket in self._buckets:
            if len(set(bucket)) < len(bucket):
                self.repeated.update(n for n, count in Counter(bucket).items() if count > 1)
        if self.repeated:
            digests = defaultdict(set)
            for raw in read_entries(source, layout):
                if not raw.fault and (number := self.entry_hash(raw)) in self.repeated:
                    entry = json_format_entry.read_entry(raw.value)
                    if not entry.is_refused:
                        digests[number].add(self._content_digest(entry))
            self.conflicting = {n for n, found in digests.items() if len(found) > 1}

    @staticmethod
    def have_common_entries(sources: list["Duplicates"]) -> bool:
        """Whether two of several sources have an id or a text in common.

        Frees the hashes, so it can be asked once.
        """
        are_common = False
        for position in range(BUCKETS):
            seen: set[int] = set()
            for duplicates in sources if len(sources) > 1 else ():
                numbers = set(duplicates._buckets[position])
                are_common = are_common or not seen.isdisjoint(numbers)
                seen |= numbers
        for duplicates in sources:
            duplicates._buckets = []
        return are_common

    def _content_digest(self, entry: Entry) -> bytes:
        parts = [entry.auth, entry.connection, entry.auth_extra, entry.connection_extra]
        return hashlib.blake2b(
            serialize.canonical_json(parts), digest_size=8, key=self._key
        ).digest()


def _hash(connection_id: str | None, text: str) -> int:
    # Python's hash is keyed anew for each process, and the same in those that it forks.
    if connection_id is not None:
        return hash((True, connection_id)) & UINT64_MAX
    return hash((False, text.strip())) & UINT64_MAX


def _connection_id(value: Any) -> str | None:
    if isinstance(value, dict) and json_format_entry.is_connection(value):
        connection_id = value.get("id")
        return connection_id if isinstance(connection_id, str) else None
    return None
