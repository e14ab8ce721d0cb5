"""What a file holds more than once: found in the first pass, in 8 bytes an entry."""

import hashlib
import os
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from functools import partial

from connections.json_format import entry as json_format_entry
from connections.json_format import serialize
from connections.json_format.stream.reader import read_entries

UINT64_MAX = 2**64 - 1


class Uint64Set:
    """A set of 64-bit numbers that takes 8 bytes for each, where Python's takes 100."""

    def __init__(self):
        self._buckets = defaultdict(partial(array, "Q"))  # sorted

    def add(self, number):
        bucket = self._buckets[number & 4095]
        place = bisect_left(bucket, number)
        if place == len(bucket) or bucket[place] != number:
            bucket.insert(place, number)

    def __contains__(self, number):
        bucket = self._buckets.get(number & 4095, ())
        place = bisect_left(bucket, number)
        return place < len(bucket) and bucket[place] == number


class Duplicates:
    """Finds ids, and texts of entries without one, that a source holds more than once.

    `repeated` holds the numbers (64-bit keyed hashes) that occur again, `conflicting` those of
    ids whose entries differ; `has_nameless` says whether an entry has no id.
    """

    def __init__(self):
        self._key = os.urandom(16)
        self.repeated, self.conflicting = set(), set()
        self._buckets = [array("Q") for _ in range(256)]
        self.has_entry_without_id = False

    def entry_hash(self, raw):
        """The number that stands for the id of an entry, or for its text where it has none."""
        return self._hash(_connection_id(raw.value), raw.text)

    def add(self, value, text):
        """Take note of an entry: its value and its text."""
        connection_id = _connection_id(value)
        number = self._hash(connection_id, text)
        self._buckets[number & 255].append(number)
        if connection_id is None:
            self.has_entry_without_id = True

    @staticmethod
    def _hash(connection_id, text):
        # Python's own hash is keyed anew for each process, and the same in those it forks.
        if connection_id is not None:
            return hash((True, connection_id)) & UINT64_MAX
        return hash((False, text.strip())) & UINT64_MAX

    def finish(self, source, layout):
        """After the first pass: find what repeats, and read again only if something does."""
        for bucket in self._buckets:
            if len(set(bucket)) < len(bucket):
                self.repeated.update(n for n, count in Counter(bucket).items() if count > 1)
        if self.repeated:
            contents = {}
            for raw in read_entries(source, layout):
                if not raw.fault and (number := self.entry_hash(raw)) in self.repeated:
                    entry = json_format_entry.read_entry(raw.value)
                    if not entry.is_refused:
                        contents.setdefault(number, set()).add(self._content_digest(entry))
            self.conflicting = {n for n, found in contents.items() if len(found) > 1}

    @staticmethod
    def is_shared(found):
        """Whether two of several sources (a list of Repeats) hold one id or text. Asked once."""
        shared = False
        for place in range(256):
            seen = set()
            for repeats in found if len(found) > 1 else ():
                numbers = set(repeats._buckets[place])
                shared = shared or not seen.isdisjoint(numbers)
                seen |= numbers
        for repeats in found:
            repeats._buckets = None
        return shared

    def _content_digest(self, entry):
        parts = [entry.auth, entry.connection, entry.auth_extra, entry.connection_extra]
        return hashlib.blake2b(
            serialize.canonical_json(parts), digest_size=8, key=self._key
        ).digest()


def _connection_id(value):
    if isinstance(value, dict) and json_format_entry.is_connection(value):
        connection_id = value.get("id")
        return connection_id if isinstance(connection_id, str) else None
    return None
