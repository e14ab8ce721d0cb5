"""What an import writes: pieces that were judged, each group of them in one short transaction."""

from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone

from connections.encryption.digests import fingerprints_of
from connections.import_export import rows
from connections.import_export.duplicates import UINT64_MAX, Uint64Set
from connections.import_export.judge import has_masks
from connections.import_export.merge import check_age, check_endpoints, merge
from connections.json_format import schema
from connections.json_format.schema import TOKEN_FIELDS
from connections.lib import database
from connections.models import (
    DERIVED_COLUMNS,
    SEALED_COLUMNS,
    ConnectionAuth,
    FormerVersion,
    Integration,
    SecretFingerprint,
    former_version,
)


def _entry_hashes(index, judged, position):
    """64-bit numbers for what an entry repeats: its number in Repeats, in its source, and its
    identity, which another spelling of the same content shares, in this source or in another.
    """
    if position in judged.numbers:
        yield hash((index, judged.numbers[position][0])) & UINT64_MAX
    if position in judged.identities:
        yield hash(judged.identities[position]) & UINT64_MAX


def _record_hash(pk):
    return pk.int & UINT64_MAX  # the random part of a UUID


# What is written of each record that changes, beside what is new.
ALWAYS_UPDATED_COLUMNS = (*DERIVED_COLUMNS, "version", "updated_at")


class RecordMoved(Exception):
    """A record that was there when a piece was judged is no more, or out of reach.

    `moved` (see Judge.judge) says whose content the run itself has replaced.
    """

    def __init__(self, moved=None):
        super().__init__()
        self.moved = moved or {}


class Writer:
    """Writes what was judged, piece by piece, each in one short transaction."""

    def __init__(self, judge, result, on_verdict, one_by_one):
        self.judge, self.options = judge, judge.options
        self.result, self.on_verdict = result, on_verdict
        self.now = judge.now
        self.known_integrations = set()
        # Of the records that are changed together: what they held, and, of those with new secrets,
        # what they hold now (id -> what open_auth() gives).
        self.former_versions, self.opened_auths = [], {}
        # Of those, the records themselves (by id), and the attributes that are new on any of them.
        self.updated, self.names = {}, set()
        self.one_by_one = one_by_one  # each piece is written before the next one is judged
        # The marks of what was accepted in the pieces before. The store can't tell them: a preview
        # writes nothing, and what was there before the run says nothing of what the files repeat.
        # `held` is of the transaction under way.
        self.seen, self.pending_hashes = Uint64Set(), set()
        # Records whose content this run has changed: who was found by it before is not there.
        # `changing` maps those of the transaction under way to positions in their piece.
        self.changed, self.pending_changes = Uint64Set(), {}

    def take(self, group):
        """Write pieces, a list of `(task, Judged)`, in one transaction.

        Where another import was faster they are judged again, here and one by one.
        """
        try:
            with self._transaction():
                for task, judged in group:
                    self._write(task[0], judged)
                self._insert_new([judged for _, judged in group])
        except (IntegrityError, OperationalError, RecordMoved):
            self._discard_pending()
            for task, _ in group:
                self._retry(task)
        else:
            for _, judged in group:
                self._report(judged)

    def _retry(self, task):
        moved = {}
        for attempt in range(5):
            try:
                with self._transaction():
                    judged = self.judge.judge(task, moved)
                    self._write(task[0], judged)
                    self._insert_new([judged])
                break
            except (IntegrityError, OperationalError, RecordMoved) as error:
                self._discard_pending()
                if attempt == 4:
                    raise
                moved |= getattr(error, "moved", {})
        self._report(judged)

    @contextmanager
    def _transaction(self):
        if self.options.dry_run:
            yield
            return
        with transaction.atomic():
            database.lock_imports()
            yield

    def _discard_pending(self):
        """What was done in a transaction that is rolled back."""
        self.known_integrations.clear()
        self.pending_hashes, self.pending_changes = set(), {}

    def _write(self, index, judged):
        """Write what is new and what differs; what the file held before is a duplicate."""
        repeated = self._find_duplicates(index, judged)
        held = {}
        for position in repeated:
            judged.new.pop(position, None)
            judged.fingerprints.pop(position, None)
            if position in judged.differing:
                held[position] = judged.differing.pop(position)
        self._create_integrations(judged.integrations)
        self._update_differing(judged.verdicts, judged.differing)
        # Where the first of them was refused, the others are too.
        held = {
            position: pair
            for position, pair in held.items()
            if judged.is_rejected(repeated[position])
        }
        self._update_differing(judged.verdicts, held)
        self._check_found_by_content(judged)
        for position in repeated.keys() - held.keys():
            verdict = judged.verdicts[position]
            verdict.action = "unchanged"
            if not verdict.has_issue("duplicate"):
                _, path = judged.numbers.get(position, (0, ""))
                verdict.add_issue("duplicate", path)
        self._add_pending_hashes(index, judged)

    def _check_found_by_content(self, judged):
        """What was found by content that the run has replaced since is new after all."""
        moved = {}
        for position, pk in judged.found.items():
            mark = _record_hash(pk)
            if mark in self.changed:
                moved[pk] = -1
            elif self.pending_changes.get(mark, position) < position:
                moved[pk] = self.pending_changes[mark]
            else:
                continue
            judged.verdicts[position].action = "created"  # in a preview, that is all
        if moved and not self.options.dry_run:
            raise RecordMoved(moved)

    def _insert_new(self, group):
        """Insert what is new, of all pieces together: the larger, the less an index costs."""
        if self.options.dry_run:
            return
        new = [row for judged in group for row in judged.new.values()]
        if new:
            rows.insert(new)
        found = [rows for judged in group for rows in judged.fingerprints.values()]
        if found:
            rows.insert_fingerprints(chain.from_iterable(found))

    def _add_pending_hashes(self, index, judged):
        self.pending_changes = dict.fromkeys(
            self.pending_changes, -1
        )  # before all of the next piece
        for position, verdict in enumerate(judged.verdicts):
            if verdict.action != "rejected":
                self.pending_hashes.update(_entry_hashes(index, judged, position))

    def _find_duplicates(self, index, judged):
        """Entries that the file held before: position -> position of the first one.

        That is None where the first is in a piece before this one, and was accepted.
        """
        repeated, firsts = {}, {}
        for position in sorted({*judged.numbers, *judged.identities}):
            if judged.is_rejected(position):
                continue
            marks = list(_entry_hashes(index, judged, position))
            if any(mark in self.seen or mark in self.pending_hashes for mark in marks):
                repeated[position] = None
                continue
            found = [firsts[mark] for mark in marks if mark in firsts]
            if found:
                repeated[position] = found[0]
            else:
                firsts.update(dict.fromkeys(marks, position))
        return repeated

    def _report(self, judged):
        """Count the verdicts of a piece that is stored, and tell of them."""
        for mark in self.pending_hashes:
            self.seen.add(mark)
        for mark in self.pending_changes:
            self.changed.add(mark)
        self.pending_hashes, self.pending_changes = set(), {}
        for verdict in judged.verdicts:
            verdict.issues = [
                replace(issue, record=verdict.record, line=verdict.line, file=verdict.file)
                for issue in verdict.issues
            ]
            self.result.count(verdict)
            if self.on_verdict:
                self.on_verdict(verdict)

    def _update_differing(self, verdicts, differing):
        if not differing:
            return
        found = ConnectionAuth.all_objects.filter(pk__in=[pk for _, pk in differing.values()])
        if not self.options.dry_run:
            found = found.select_for_update().order_by("pk")  # one order, so no deadlock
        records = found.in_bulk()
        self.former_versions, self.opened_auths = [], {}
        self.updated, self.names = {}, set()
        for position, (entry, pk) in differing.items():
            if pk not in records:
                raise RecordMoved
            verdict = verdicts[position]
            verdict.issues = entry.issues
            before = records[pk].content_digest
            self._judge_change(verdict, entry, records[pk])
            if records[pk].content_digest != before:
                self.pending_changes[_record_hash(pk)] = position
        if self.updated:
            FormerVersion.objects.bulk_create(self.former_versions)
            rows.update(self.updated.values(), {*self.names, *ALWAYS_UPDATED_COLUMNS})
            self._replace_fingerprints()

    def _replace_fingerprints(self):
        SecretFingerprint.objects.clear(self.opened_auths)
        made = (
            self.judge.row_maker.fingerprints(
                pk, fingerprints_of(auth, self.judge.fingerprint_key)
            )
            for pk, (auth, _) in self.opened_auths.items()
        )
        rows.insert_fingerprints(chain.from_iterable(made))

    def _judge_change(self, verdict, entry, record):
        if not self.options.scope.includes(record.integration_id, record.environment):
            raise RecordMoved  # it was moved since it was judged: judge it again
        outcome = merge(record, entry, replace=self.options.on_conflict == "replace")
        verdict.bucket_before = verdict.bucket_after = record.bucket(self.now)
        if entry.is_refused:
            verdict.action = "rejected"
        elif not outcome.changes and record.binned_at is None:
            verdict.action = "unchanged"
        elif self.options.on_conflict == "skip":
            verdict.action = "skipped"
        else:
            self._check_change(record, entry, outcome)
            verdict.action = "rejected" if entry.is_refused else "updated"
        if verdict.action == "updated":
            verdict.fields = [schema.json_name(name) for name in outcome.changes]
            if record.binned_at is not None:
                entry.add_issue("restored", entry.paths.get("id", ""))
            self._update(
                record, outcome, keep_digest=not self._may_refresh_digest(record, entry, outcome)
            )
            verdict.bucket_after = record.bucket(self.now)

    def _check_change(self, record, entry, outcome):
        if self.options.on_conflict == "fail":
            entry.add_issue("exists", entry.paths.get("id", ""))
        if not self.options.may_change:
            entry.add_issue("not_permitted.change")
        if not self.options.scope.includes(
            outcome.changes.get("integration_id", record.integration_id),
            outcome.changes.get("environment", record.environment),
        ):
            entry.add_issue("not_permitted.out_of_scope")
        if not self.options.allow_older:
            check_age(record, entry)
        check_endpoints(record, entry, outcome)

    def _may_refresh_digest(self, record, entry, outcome):
        """Whether the record was as it was stored, or keeps nothing of what is there."""
        is_whole = self.options.on_conflict == "replace" and entry.auth is not None
        if is_whole and not has_masks(entry):
            return True
        return record.matches_digest(outcome.former, self.judge.digest_key)

    def _update(self, record, outcome, keep_digest):
        changed = dict(outcome.changes)
        if not self.options.dry_run:
            by, run = self.options.user_id, self.options.run_id
            self.former_versions.append(
                former_version.build_former_version(
                    record, changed, outcome.former, by=by, run=run
                )
            )
        if record.binned_at is not None:
            changed["binned_at"] = changed["binned_by_id"] = None
        if TOKEN_FIELDS & set(changed):
            changed["received_at"] = self.now
        for name, value in changed.items():
            setattr(record, name, value)
        opened = record.derive(
            outcome.auth, outcome.unreadable, self.judge.digest_key, keep_digest
        )
        if not self.options.dry_run:
            if {*SEALED_COLUMNS} & set(changed):
                self.opened_auths[record.pk] = opened
            if record.integration_id:
                self._create_integrations({record.integration_id: record.integration_name})
            record.version += 1
            record.updated_at = timezone.now()
            self.updated[record.pk] = record
            self.names |= changed.keys()

    def _create_integrations(self, met):
        """Store the integrations (type -> name) that are not stored yet."""
        missing = met.keys() - self.known_integrations
        if missing and not self.options.dry_run:
            Integration.objects.bulk_create(
                [
                    Integration(type=kind, name=(met[kind] or integration_title(kind))[:255])
                    for kind in sorted(missing)
                ],
                ignore_conflicts=True,
            )
            self.known_integrations |= missing


def integration_title(kind):
    """A name to start with for an integration that only has its type."""
    return kind.replace("_", " ").replace("-", " ").capitalize()
