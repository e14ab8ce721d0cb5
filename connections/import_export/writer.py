"""What an import writes: judged pieces, some of them in each short transaction."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

from django.db import IntegrityError, OperationalError, transaction

from connections.import_export import rows
from connections.import_export.duplicates import UINT64_MAX, Uint64Set
from connections.import_export.judge import Judge, JudgedPiece, Task
from connections.import_export.results import ImportResult, Verdict
from connections.import_export.updates import RecordMoved, RecordUpdates
from connections.lib import database
from connections.models import ConnectionAuth, Integration

# What another writer may cause: the pieces are judged again.
CONFLICTS = (IntegrityError, OperationalError, RecordMoved)
MAX_TRIES = 5


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
        self.accepted = Uint64Set()
        # Hashes of the records whose content the run has replaced: an entry that was found by
        # that content is new after all.
        self.replaced = Uint64Set()

    def write(self, group: list[tuple[Task, JudgedPiece]]) -> None:
        """Write a list of `(task, JudgedPiece)` in one transaction.

        Where another import was faster, the pieces are judged again, here and one by one.
        """
        try:
            with self._batch() as batch:
                for task, judged in group:
                    batch.write(task.source_index, judged)
        except CONFLICTS:
            for task, _ in group:
                self._retry(task)
        else:
            for _, judged in group:
                self._report(judged)

    def _retry(self, task):
        replaced = {}
        for attempt in range(1, MAX_TRIES + 1):
            try:
                with self._batch() as batch:
                    judged = self.judge.judge(task, replaced)
                    batch.write(task.source_index, judged)
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

    def write(self, index: int, judged: JudgedPiece) -> None:
        """Write the changes of a piece of the source `index`; insert_new() writes what is new.

        An entry that the file held before is a duplicate.
        """
        self.pieces.append(judged)
        duplicates = self._find_duplicates(index, judged)
        postponed = {}
        for position in duplicates:
            judged.new_rows.pop(position, None)
            judged.fingerprints.pop(position, None)
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
            if not verdict.has_issue("duplicate"):
                _, path = judged.duplicates.get(position, (0, ""))
                verdict.add_issue("duplicate", path)
        self._remember(index, judged)

    def insert_new(self) -> None:
        """Insert the new records of all pieces together: the more, the less an index costs."""
        new = [row for judged in self.pieces for row in judged.new_rows.values()]
        if new:
            rows.insert(new)
        fingerprints = [made for judged in self.pieces for made in judged.fingerprints.values()]
        if fingerprints:
            rows.insert_fingerprints(chain.from_iterable(fingerprints))

    def _find_duplicates(self, index, judged):
        """Entries that the file held before: position -> position of the first one.

        That is None where the first one is in an earlier piece, and was accepted.
        """
        duplicates, firsts = {}, {}
        for position in sorted({*judged.duplicates, *judged.identities}):
            if judged.is_rejected(position):
                continue
            hashes = list(_entry_hashes(index, judged, position))
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
                self.replaced[_record_hash(pk)] = position
        if updates.records:
            self._create_integrations(updates.integrations)
            updates.store()

    def _check_found_by_content(self, judged):
        """What was found by content that the run has replaced since is new after all."""
        replaced = {}
        for position, pk in judged.found_by_content.items():
            number = _record_hash(pk)
            if number in self.writer.replaced:
                replaced[pk] = -1
            elif self.replaced.get(number, position) < position:
                replaced[pk] = self.replaced[number]
            else:
                continue
            judged.verdicts[position].action = "created"  # in a preview, that is all
        if replaced and not self.options.dry_run:
            raise RecordMoved(replaced)

    def _remember(self, index, judged):
        """Note what the following pieces have to know of this one."""
        self.replaced = dict.fromkeys(self.replaced, -1)
        for position, verdict in enumerate(judged.verdicts):
            if verdict.action != "rejected":
                self.accepted.update(_entry_hashes(index, judged, position))


def _entry_hashes(index, judged, position):
    """64-bit hashes of what an entry may repeat.

    That is its number among the duplicates of its source, and its identity, which equal content
    shares however it is spelled, in this source or in another.
    """
    if position in judged.duplicates:
        yield hash((index, judged.duplicates[position][0])) & UINT64_MAX
    if position in judged.identities:
        yield hash(judged.identities[position]) & UINT64_MAX


def _record_hash(pk):
    return pk.int & UINT64_MAX  # the random part of a UUID


def integration_title(kind: str) -> str:
    """A name to start with for an integration of which only the type is known."""
    return kind.replace("_", " ").replace("-", " ").capitalize()
