"""What an import writes: pieces that were judged, each group of them in one short transaction."""

from contextlib import contextmanager
from itertools import chain

from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone

from connections.encryption.digests import fingerprints_of
from connections.import_export import rows
from connections.import_export.duplicates import BITS_64, Numbers
from connections.import_export.judge import has_masks
from connections.import_export.merge import TOKENS, guard_age, guard_endpoints, merge
from connections.json_format import schema
from connections.json_format.issues import CODES, OUTSIDE, Issue
from connections.json_format.issues import gettext_noop as _
from connections.models import (
    DERIVED_COLUMNS,
    SEALED_COLUMNS,
    ConnectionAuth,
    Integration,
    ReplacedAuth,
    SecretFingerprint,
)
from connections.records import versions


def _marks(index, judged, position):
    """64-bit numbers for what an entry repeats: its number in Repeats, in its source, and its
    identity, which another spelling of the same content shares, in this source or in another.
    """
    if position in judged.numbers:
        yield hash((index, judged.numbers[position][0])) & BITS_64
    if position in judged.identities:
        yield hash(judged.identities[position]) & BITS_64


def _mark_of(pk):
    return pk.int & BITS_64  # the random part of a UUID


# What is written of each record that changes, beside what is new.
WITH_ALL = (*DERIVED_COLUMNS, "version", "updated_at")


class Gone(Exception):
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
        self.replaced, self.opened = [], {}
        # Of those, the records themselves (by id), and the attributes that are new on any of them.
        self.updated, self.names = {}, set()
        self.one_by_one = one_by_one  # each piece is written before the next one is judged
        # The marks of what was accepted in the pieces before. The store can't tell them: a preview
        # writes nothing, and what was there before the run says nothing of what the files repeat.
        # `held` is of the transaction under way.
        self.seen, self.held = Numbers(), set()
        # Records whose content this run has changed: who was found by it before is not there.
        # `changing` maps those of the transaction under way to positions in their piece.
        self.changed, self.changing = Numbers(), {}

    def take(self, group):
        """Write pieces, a list of `(task, Judged)`, in one transaction.

        Where another import was faster they are judged again, here and one by one.
        """
        try:
            with self._transaction():
                for task, judged in group:
                    self._write(task[0], judged)
                self._insert([judged for _, judged in group])
        except (IntegrityError, OperationalError, Gone):
            self._forget()
            for task, _ in group:
                self._take_again(task)
        else:
            for _, judged in group:
                self._tell(judged)

    def _take_again(self, task):
        moved = {}
        for attempt in range(5):
            try:
                with self._transaction():
                    judged = self.judge.judge(task, moved)
                    self._write(task[0], judged)
                    self._insert([judged])
                break
            except (IntegrityError, OperationalError, Gone) as error:
                self._forget()
                if attempt == 4:
                    raise
                moved |= getattr(error, "moved", {})
        self._tell(judged)

    @contextmanager
    def _transaction(self):
        if self.options.dry_run:
            yield
            return
        with transaction.atomic():
            rows.lock()
            yield

    def _forget(self):
        """What was done in a transaction that is rolled back."""
        self.known_integrations.clear()
        self.held, self.changing = set(), {}

    def _write(self, index, judged):
        """Write what is new and what differs; what the file held before is a duplicate."""
        repeated = self._find_repeated(index, judged)
        held = {}
        for position in repeated:
            judged.new.pop(position, None)
            judged.fingerprints.pop(position, None)
            if position in judged.differing:
                held[position] = judged.differing.pop(position)
        self._make_integrations(judged.integrations)
        self._judge_differing(judged.verdicts, judged.differing)
        # Where the first of them was refused, the others are too.
        held = {
            position: pair
            for position, pair in held.items()
            if judged.is_rejected(repeated[position])
        }
        self._judge_differing(judged.verdicts, held)
        self._check_found(judged)
        for position in repeated.keys() - held.keys():
            verdict = judged.verdicts[position]
            verdict.action = "unchanged"
            if not verdict.has_issue("duplicate"):
                _, path = judged.numbers.get(position, (0, ""))
                verdict.say("duplicate", CODES["duplicate"], path)
        self._hold(index, judged)

    def _check_found(self, judged):
        """What was found by content that the run has replaced since is new after all."""
        moved = {}
        for position, pk in judged.found.items():
            mark = _mark_of(pk)
            if mark in self.changed:
                moved[pk] = -1
            elif self.changing.get(mark, position) < position:
                moved[pk] = self.changing[mark]
            else:
                continue
            judged.verdicts[position].action = "created"  # in a preview, that is all
        if moved and not self.options.dry_run:
            raise Gone(moved)

    def _insert(self, group):
        """Insert what is new, of all pieces together: the larger, the less an index costs."""
        if self.options.dry_run:
            return
        new = [row for judged in group for row in judged.new.values()]
        if new:
            rows.insert(new)
        found = [rows for judged in group for rows in judged.fingerprints.values()]
        if found:
            rows.insert_fingerprints(chain.from_iterable(found))

    def _hold(self, index, judged):
        self.changing = dict.fromkeys(self.changing, -1)  # before all of the next piece
        for position, verdict in enumerate(judged.verdicts):
            if verdict.action != "rejected":
                self.held.update(_marks(index, judged, position))

    def _find_repeated(self, index, judged):
        """Entries that the file held before: position -> position of the first one.

        That is None where the first is in a piece before this one, and was accepted.
        """
        repeated, firsts = {}, {}
        for position in sorted({*judged.numbers, *judged.identities}):
            if judged.is_rejected(position):
                continue
            marks = list(_marks(index, judged, position))
            if any(mark in self.seen or mark in self.held for mark in marks):
                repeated[position] = None
                continue
            found = [firsts[mark] for mark in marks if mark in firsts]
            if found:
                repeated[position] = found[0]
            else:
                firsts.update(dict.fromkeys(marks, position))
        return repeated

    def _tell(self, judged):
        """Count the verdicts of a piece that is stored, and tell of them."""
        for mark in self.held:
            self.seen.add(mark)
        for mark in self.changing:
            self.changed.add(mark)
        self.held, self.changing = set(), {}
        for verdict in judged.verdicts:
            for place, issue in enumerate(verdict.issues):
                verdict.issues[place] = Issue(
                    issue.code,
                    issue.message,
                    issue.path,
                    verdict.record,
                    verdict.line,
                    verdict.file,
                )
            self.result.count(verdict)
            if self.on_verdict:
                self.on_verdict(verdict)

    def _judge_differing(self, verdicts, differing):
        if not differing:
            return
        found = ConnectionAuth.all_objects.filter(pk__in=[pk for _, pk in differing.values()])
        if not self.options.dry_run:
            found = found.select_for_update().order_by("pk")  # one order, so no deadlock
        records = found.in_bulk()
        self.replaced, self.opened = [], {}
        self.updated, self.names = {}, set()
        for position, (entry, pk) in differing.items():
            if pk not in records:
                raise Gone
            verdict = verdicts[position]
            verdict.issues = entry.issues
            before = records[pk].content_digest
            self._judge_change(verdict, entry, records[pk])
            if records[pk].content_digest != before:
                self.changing[_mark_of(pk)] = position
        if self.updated:
            ReplacedAuth.objects.bulk_create(self.replaced)
            rows.update(self.updated.values(), {*self.names, *WITH_ALL})
            self._replace_fingerprints()

    def _replace_fingerprints(self):
        SecretFingerprint.objects.forget(self.opened)
        made = (
            self.judge.maker.fingerprints(pk, fingerprints_of(auth, self.judge.fingerprint_key))
            for pk, (auth, _) in self.opened.items()
        )
        rows.insert_fingerprints(chain.from_iterable(made))

    def _judge_change(self, verdict, entry, record):
        if not self.options.scope.reaches(record.integration_id, record.environment):
            raise Gone  # it was moved since it was judged: judge it again
        outcome = merge(record, entry, replace=self.options.on_conflict == "replace")
        verdict.bucket_before = verdict.bucket_after = record.bucket(self.now)
        if entry.is_refused:
            verdict.action = "rejected"
        elif not outcome.changes and record.binned_at is None:
            verdict.action = "unchanged"
        elif self.options.on_conflict == "skip":
            verdict.action = "skipped"
        else:
            self._guard(record, entry, outcome)
            verdict.action = "rejected" if entry.is_refused else "updated"
        if verdict.action == "updated":
            verdict.fields = [schema.field_name(name) for name in outcome.changes]
            if record.binned_at is not None:
                entry.say("restored", entry.spelled.get("id", ""))
            self._update(record, outcome, keep_digest=not self._may_vouch(record, entry, outcome))
            verdict.bucket_after = record.bucket(self.now)

    def _guard(self, record, entry, outcome):
        if self.options.on_conflict == "fail":
            entry.say("exists", entry.spelled.get("id", ""))
        if not self.options.may_change:
            entry.say("not_permitted", "", _("You may not change connections."))
        if not self.options.scope.reaches(
            outcome.changes.get("integration_id", record.integration_id),
            outcome.changes.get("environment", record.environment),
        ):
            entry.say("not_permitted", "", OUTSIDE)
        if not self.options.allow_older:
            guard_age(record, entry)
        guard_endpoints(record, entry, outcome)

    def _may_vouch(self, record, entry, outcome):
        """Whether the record was as it was stored, or keeps nothing of what is there."""
        is_whole = self.options.on_conflict == "replace" and entry.auth is not None
        if is_whole and not has_masks(entry):
            return True
        return record.is_as_stored(outcome.former, self.judge.digest_key)

    def _update(self, record, outcome, keep_digest):
        changed = dict(outcome.changes)
        if not self.options.dry_run:
            by, run = self.options.by, self.options.run
            self.replaced.append(versions.former(record, changed, outcome.former, by=by, run=run))
        if record.binned_at is not None:
            changed["binned_at"] = changed["binned_by_id"] = None
        if TOKENS & set(changed):
            changed["received_at"] = self.now
        for name, value in changed.items():
            setattr(record, name, value)
        opened = record.derive(
            outcome.auth, outcome.unreadable, self.judge.digest_key, keep_digest
        )
        if not self.options.dry_run:
            if {*SEALED_COLUMNS} & set(changed):
                self.opened[record.pk] = opened
            if record.integration_id:
                self._make_integrations({record.integration_id: record.integration_name})
            record.version += 1
            record.updated_at = timezone.now()
            self.updated[record.pk] = record
            self.names |= changed.keys()

    def _make_integrations(self, met):
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
