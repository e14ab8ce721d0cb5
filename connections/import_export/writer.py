"""What an import writes: judged pieces, some of them in each short transaction."""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain

from django.db import IntegrityError, OperationalError, transaction

from connections.import_export import rows
from connections.import_export.judge import Judge, JudgedPiece
from connections.import_export.results import ImportResult, Verdict
from connections.import_export.updates import RecordMoved, RecordUpdates
from connections.lib import database
from connections.models import ConnectionAuth, Integration

# What another writer may cause: the pieces are judged again.
CONFLICTS = (IntegrityError, OperationalError, RecordMoved)
MAX_TRIES = 5


class HashSet:
    """A set of 64-bit numbers that takes 8 bytes for each, where Python's takes 100."""

    def __init__(self) -> None:
        self._buckets: dict[int, array[int]] = defaultdict(partial(array, "q"))  # sorted

    def add(self, number: int) -> None:
        bucket = self._buckets[number & 4095]
        position = bisect_left(bucket, number)
        if position == len(bucket) or bucket[position] != number:
            bucket.insert(position, number)

    def __contains__(self, number: int) -> bool:
        bucket: Sequence[int] = self._buckets.get(number & 4095, ())
        position = bisect_left(bucket, number)
        return position < len(bucket) and bucket[position] == number


class Writer:
    """Writes judged pieces, and keeps what outlives a transaction."""

    def __init__(
        self,
        judge: Judge,
        result: ImportResult,
        on_verdict: Callable[[Verdict], object] | None,
        one_by_one: bool,
    ) -> None:
        self.judge, self.options = judge, judge.options
        self.result, self.on_verdict = result, on_verdict
        self.one_by_one = one_by_one  # each piece is written before the next one is judged
        self.known_integrations = set()  # types that are stored
        # Hashes of the entries that were accepted. The database can't tell what the files repeat:
        # a preview writes nothing, and some of it was there before the run.
        self.accepted = HashSet()
        # Hashes of the records whose content the run has replaced: an entry that was found by
        # that content is new after all.
        self.replaced = HashSet()

    def write(self, group: list[JudgedPiece]) -> None:
        """Write some pieces in one transaction.

        Where another import was faster, the pieces are judged again, here and one by one.
        """
        try:
            with self._batch() as batch:
                for judged in group:
                    batch.write(judged)
        except CONFLICTS:
            for judged in group:
                self._retry(judged.task)
        else:
            for judged in group:
                self._report(judged)

    def _retry(self, task):
        replaced = {}
        for attempt in range(1, MAX_TRIES + 1):
            try:
                with self._batch() as batch:
                    judged = self.judge.judge(task, replaced)
                    batch.write(judged)
                break
            except CONFLICTS as error:
                if attempt == MAX_TRIES:
                    raise
                if isinstance(error, RecordMoved):
                    replaced |= error.replaced
        self._report(judged)

    @contextmanager
    def _batch(self):
        """A Batch in a transaction; what is to be remembered of it is kept after the commit."""
        batch = Batch(self)
        if self.options.dry_run:
            yield batch
        else:
            try:
                with transaction.atomic():
                    database.take_lock(database.IMPORT_LOCK)
                    yield batch
                    batch.insert_new()
            except BaseException:
                # Some were stored in this transaction, or were deleted by somebody meanwhile.
                self.known_integrations.clear()
                raise
        for number in batch.accepted:
            self.accepted.add(number)
        for number in batch.replaced:
            self.replaced.add(number)

    def _report(self, judged):
        """Count the verdicts of a piece that is stored, and pass them on."""
        for verdict in judged.verdicts:
            verdict.issues = [
                replace(issue, record=verdict.record, line=verdict.line, file=verdict.file)
                for issue in verdict.issues
            ]
            self.result.count_verdict(verdict)
            if self.on_verdict:
                self.on_verdict(verdict)


class Batch:
    """What one transaction of a Writer writes; discarded where that is rolled back."""

    def __init__(self, writer: Writer) -> None:
        self.writer, self.judge, self.options = writer, writer.judge, writer.options
        self.pieces = []
        # As those of the Writer. `replaced` maps to the position of the entry in its piece; -1
        # where that is an earlier piece.
        self.accepted, self.replaced = set(), {}

    def write(self, judged: JudgedPiece) -> None:
        """Write the changes of a piece; insert_new() writes what is new.

        An entry that the file held before is a duplicate.
        """
        self.pieces.append(judged)
        duplicates = self._find_duplicates(judged)
        postponed = {}
        for position in duplicates:
            judged.new_rows.pop(position, None)
            if position in judged.differing:
                postponed[position] = judged.differing.pop(position)
        self._create_integrations(judged.integrations)
        self._update_differing(judged.verdicts, judged.differing)
        # Where the first of equal entries was refused, the others are too.
        refused = {
            position: pair
            for position, pair in postponed.items()
            if judged.is_rejected(duplicates[position])
        }
        self._update_differing(judged.verdicts, refused)
        self._check_found_by_content(judged)
        for position in duplicates.keys() - refused.keys():
            verdict = judged.verdicts[position]
            verdict.action = "unchanged"
            verdict.add_issue("duplicate", "id" if position in judged.repeated_ids else "")
        # Note what the following pieces have to know of this one.
        self.replaced = dict.fromkeys(self.replaced, -1)
        for position, hashes in judged.hashes.items():
            if not judged.is_rejected(position):
                self.accepted.update(hashes)

    def insert_new(self) -> None:
        """Insert the new records of all pieces together: the more, the less an index costs."""
        new = [pair for judged in self.pieces for pair in judged.new_rows.values()]
        if new:
            rows.insert(row for row, _ in new)
            rows.insert_fingerprints(chain.from_iterable(prints for _, prints in new))

    def _find_duplicates(self, judged):
        """Entries that the file held before: position -> position of the first one.

        That is None where the first one is in an earlier piece, and was accepted.
        """
        duplicates, firsts = {}, {}
        for position, hashes in sorted(judged.hashes.items()):
            if judged.is_rejected(position):
                continue
            if any(number in self.writer.accepted or number in self.accepted for number in hashes):
                duplicates[position] = None
                continue
            first = next((firsts[number] for number in hashes if number in firsts), None)
            if first is not None:
                duplicates[position] = first
            else:
                firsts.update(dict.fromkeys(hashes, position))
        return duplicates

    def _create_integrations(self, named):
        """Store the integrations (type -> name) that are not stored yet."""
        known = self.writer.known_integrations
        missing = named.keys() - known
        if missing and not self.options.dry_run:
            Integration.objects.bulk_create(
                [
                    Integration(type=kind, name=(named[kind] or integration_title(kind))[:255])
                    for kind in sorted(missing)
                ],
                ignore_conflicts=True,
            )
            known |= missing

    def _update_differing(self, verdicts, differing):
        """Judge entries again, against their records, now locked, and write what they change."""
        if not differing:
            return
        stored = ConnectionAuth.all_objects.filter(pk__in=[pk for _, pk in differing.values()])
        if not self.options.dry_run:
            stored = stored.select_for_update().order_by("pk")  # one order, so no deadlock
        records = stored.in_bulk()
        updates = RecordUpdates(self.judge)
        for position, (entry, pk) in differing.items():
            if pk not in records:
                raise RecordMoved
            verdict, record = verdicts[position], records[pk]
            verdict.issues = entry.issues
            digest = record.content_digest
            updates.add(verdict, entry, record)
            if record.content_digest != digest:
                self.replaced[hash(pk)] = position
        if updates.records:
            self._create_integrations(updates.integrations)
            updates.store()

    def _check_found_by_content(self, judged):
        """What was found by content that the run has replaced since is new after all."""
        replaced = {}
        for position, pk in judged.found_by_content.items():
            if hash(pk) in self.writer.replaced:
                replaced[pk] = -1
            elif self.replaced.get(hash(pk), position) < position:
                replaced[pk] = self.replaced[hash(pk)]
            else:
                continue
            judged.verdicts[position].action = "created"  # in a preview, that is all
        if replaced and not self.options.dry_run:
            raise RecordMoved(replaced)


def integration_title(kind: str) -> str:
    """A name to start with for an integration of which only the type is known."""
    return kind.replace("_", " ").replace("-", " ").capitalize()
