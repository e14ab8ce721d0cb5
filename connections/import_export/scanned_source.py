"""The first pass of an import: the layout of a source, and what it holds more than once."""

from array import array
from collections import Counter, defaultdict
from typing import Any

from connections.json_format.entry import is_connection, read_entry
from connections.json_format.serialize import canonical_json
from connections.json_format.stream.reader import read_entries, scan
from connections.json_format.stream.sources import Source

BUCKETS = 256  # of the hashes of a source, by their last bits


class ScannedSource:
    """A source with its `layout`. Raises FileRefused.

    `repeated` holds the hashes of what identifies more than one entry, and `conflicting` those of
    ids whose entries differ. `has_entry_without_id` says whether there is an entry without an id.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.repeated: set[int] = set()
        self.conflicting: set[int] = set()
        self.has_entry_without_id = False
        self._buckets = [array("q") for _ in range(BUCKETS)]  # 8 bytes an entry
        self.layout = scan(source, self._add)
        for bucket in self._buckets:
            if len(set(bucket)) < len(bucket):
                self.repeated.update(n for n, count in Counter(bucket).items() if count > 1)
        if self.repeated:
            self._find_conflicting()

    def _add(self, value, text):
        has_id, _ = identity = identify(value, text)
        if not has_id:
            self.has_entry_without_id = True
        # Python's hash is keyed anew for each process, and the same in those that it forks.
        number = hash(identity)
        self._buckets[number % BUCKETS].append(number)

    def _find_conflicting(self):
        """Read the source again, and compare the entries that have something in common."""
        contents = defaultdict(set)
        for raw in read_entries(self.source, self.layout):
            number = hash(identify(raw.value, raw.text))
            if number in self.repeated and not raw.fault:
                entry = read_entry(raw.value)
                if not entry.is_refused:
                    content = canonical_json([entry.auth, entry.connection, entry.extra])
                    contents[number].add(hash(content))
        self.conflicting = {number for number, found in contents.items() if len(found) > 1}


def identify(value: Any, text: str) -> tuple[bool, str]:
    """What tells an entry from others: `(True, its id)`, or `(False, its text)` if it has none."""
    if isinstance(value, dict) and is_connection(value) and isinstance(value.get("id"), str):
        return True, value["id"]
    return False, text.strip()


def have_common_entries(sources: list[ScannedSource]) -> bool:
    """Whether two of several sources have an id or a text in common.

    Frees the hashes, so it can be asked once.
    """
    are_common = len(sources) > 1 and any(
        len(set().union(*buckets)) < sum(len(set(bucket)) for bucket in buckets)
        for buckets in zip(*(source._buckets for source in sources), strict=True)
    )
    for source in sources:
        source._buckets = []
    return are_common
