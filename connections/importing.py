"""Imports: entries -> verdicts -> short transactions -> one result. Preview writes nothing.

The command and the browser call run() and print the same Result.
"""

import hashlib
import os
import time
from array import array
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import islice

from django.db import IntegrityError, transaction
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils import timezone

from . import keyring, payload
from .issues import COMMAND_ERRORS, FileRefused, Issue
from .merging import TOKENS, fresh_auth, guard_age, guard_endpoints, merge, same
from .models import (
    DERIVED_COLUMNS,
    ConnectionAuth,
    Integration,
    content_digest,
)
from .reader import entries, scan

BATCH = 500
POLICIES = ("update", "replace", "skip", "fail")
ACTIONS = ("created", "updated", "unchanged", "skipped", "rejected")


@dataclass(frozen=True)
class Options:
    """How to import. `integration` and `environment` are for entries that name none."""

    on_conflict: str = "update"
    allow_older: bool = False
    dry_run: bool = False
    atomic: bool = False
    integration: str | None = None
    environment: str | None = None
    may_add: bool = True
    may_change: bool = True


@dataclass
class Verdict:
    """What happened (or would happen) to one entry."""

    record: int
    line: int | None
    file: str
    action: str = ""
    issues: list = field(default_factory=list)
    fields: list = field(default_factory=list)  # names of what changes, as the API spells them
    name: str = ""
    integration: str = ""
    bucket_before: str = ""
    bucket_after: str = ""

    def refuse(self, code, message, path=""):
        self.action = "rejected"
        self.issues.append(Issue(code, message, path))


@dataclass
class Result:
    """The outcome of a run; `read` is the sum of the five verdicts, `seconds` wall time."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    rejected: int = 0
    warnings: int = 0
    dry_run: bool = False
    seconds: float = 0.0
    error: dict | None = None
    refused_file: str = ""

    @property
    def read(self):
        return sum(getattr(self, action) for action in ACTIONS)

    def count(self, verdict):
        setattr(self, verdict.action, getattr(self, verdict.action) + 1)
        self.warnings += sum(issue.level == "warning" for issue in verdict.issues)

    def refuse_file(self, refusal):
        self.error = {"code": refusal.code, "message": str(refusal)}
        self.refused_file = refusal.file

    def store_nothing(self):
        """What was stored is rolled back again: those records count as skipped."""
        self.skipped += self.created + self.updated
        self.created = self.updated = 0

    def as_json(self):
        written = {"read": self.read, **asdict(self), "seconds": round(self.seconds, 3)}
        del written["refused_file"]
        if self.error is None:
            del written["error"]
        return written


class _NothingStored(Exception):
    """Rolls an atomic run back."""


def run(sources, options=None, on_verdict=None, on_progress=None):
    """Import sources (see reader) and return a Result.

    The syntax of all sources is checked first: where one is refused, nothing of any is stored.
    `on_verdict(verdict)` is called for each entry, `on_progress(done, total)` for each batch.
    """
    options = options or Options()
    started = time.monotonic()
    result = Result(dry_run=options.dry_run)
    job = _Job(options, result, on_verdict)
    try:
        scanned = []
        for source in sources:
            repeats = _Repeats()
            layout = scan(source, repeats.observe)
            repeats.finish(source, layout)
            scanned.append((source, layout, repeats))
        total = sum(layout.count for _, layout, _ in scanned)
        if options.atomic and not options.dry_run:
            with transaction.atomic():
                _read_all(job, scanned, total, on_progress)
                if result.rejected:
                    raise _NothingStored
        else:
            _read_all(job, scanned, total, on_progress)
        if options.atomic and result.rejected:
            raise _NothingStored
    except _NothingStored:
        result.error = {"code": "nothing_stored", "message": COMMAND_ERRORS["nothing_stored"]}
        result.store_nothing()
    except FileRefused as refusal:
        result.refuse_file(refusal)
        if options.atomic:
            result.store_nothing()
    result.seconds = time.monotonic() - started
    return result


def _read_all(job, scanned, total, on_progress):
    done = 0
    for source, layout, repeats in scanned:
        remaining = entries(source, layout)
        while batch := list(islice(remaining, BATCH)):
            job.take(batch, source.name, repeats)
            done += len(batch)
            if on_progress:
                on_progress(done, total)


class _Repeats:
    """Finds ids and id-less entries that a file holds more than once: 8 bytes an entry.

    `repeated` holds the hashes that occur again, `conflicting` those of ids whose entries differ,
    `identities` what _identity() gave for the entries so far: equal ones may be spelled unlike.
    """

    def __init__(self):
        self._key = os.urandom(16)
        self._buckets = [array("Q") for _ in range(256)]
        self.repeated, self.conflicting, self.seen = set(), set(), {}
        self.identities = set()

    def hash_of(self, raw):
        connection_id = None
        if isinstance(raw.value, dict) and payload.is_connection(raw.value):
            connection_id = raw.value.get("id")
        what = f"id {connection_id}" if isinstance(connection_id, str) else f"text {raw.text}"
        data = what.encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=self._key).digest(), "big")

    def observe(self, raw):
        if not raw.fault:
            number = self.hash_of(raw)
            self._buckets[number >> 56].append(number)

    def finish(self, source, layout):
        """After the first pass: find what repeats, and read again only if something does."""
        for bucket in self._buckets:
            if len(set(bucket)) < len(bucket):
                self.repeated.update(n for n, count in Counter(bucket).items() if count > 1)
        self._buckets = None
        if self.repeated:
            contents = {}
            for raw in entries(source, layout):
                if not raw.fault and (number := self.hash_of(raw)) in self.repeated:
                    entry = payload.read_entry(raw.value)
                    if not entry.is_refused:
                        contents.setdefault(number, set()).add(self._content(entry))
            self.conflicting = {n for n, found in contents.items() if len(found) > 1}

    def _content(self, entry):
        parts = [entry.auth, entry.connection, entry.auth_extra, entry.connection_extra]
        return hashlib.blake2b(payload.canonical(parts), digest_size=8, key=self._key).digest()


class _Job:
    """One run: judges batches and writes them."""

    def __init__(self, options, result, on_verdict):
        self.options, self.result, self.on_verdict = options, result, on_verdict
        self.digest_key = keyring.digest_key()
        self.known_integrations = set()
        self.now = timezone.now()

    def take(self, batch, file, repeats):
        """Judge and write one batch in one transaction; try again if another import was faster."""
        for attempt in range(5):
            identities = set()
            try:
                if self.options.dry_run:
                    verdicts = self._judge(batch, file, repeats, identities)
                else:
                    with transaction.atomic():
                        verdicts = self._judge(batch, file, repeats, identities)
                break
            except IntegrityError:
                self.known_integrations.clear()  # those made here are rolled back
                if attempt == 4:
                    raise
        repeats.identities |= identities
        for number, verdict in verdicts:
            if number in repeats.repeated:
                repeats.seen.setdefault(number, verdict.action)
            for position, issue in enumerate(verdict.issues):
                verdict.issues[position] = Issue(
                    issue.code, issue.message, issue.path, verdict.record, verdict.line, file
                )
            self.result.count(verdict)
            if self.on_verdict:
                self.on_verdict(verdict)

    def _judge(self, batch, file, repeats, identities):
        judged = []  # (hash, verdict, entry) in the order of the file
        for raw in batch:
            verdict = Verdict(raw.number, raw.line, file)
            entry = None
            if raw.fault:
                verdict.refuse(raw.fault, raw.message)
            else:
                entry = payload.read_entry(raw.value)
                verdict.issues = entry.issues
                self._add_defaults(entry)
                if repeats.conflicting and repeats.hash_of(raw) in repeats.conflicting:
                    entry.say("same_id_twice", entry.spelled.get("id", "id"))
                if entry.is_refused:
                    verdict.action = "rejected"
            number = repeats.hash_of(raw) if repeats.repeated and entry else None
            judged.append((number, verdict, entry))
        open_entries = [(n, v, e) for n, v, e in judged if not v.action]
        self._decide(open_entries, dict(repeats.seen), repeats.identities, identities)
        return [(number, verdict) for number, verdict, _ in judged]

    def _add_defaults(self, entry):
        for column, default in (
            ("integration_id", self.options.integration),
            ("environment", self.options.environment),
        ):
            if default and column not in entry.connection:
                entry.connection[column] = default

    def _decide(self, judged, seen, earlier, identities):
        """Give each entry its verdict, then write what is to be written.

        `seen`, `earlier`: what the batches before held (see _Repeats); `identities` takes up
        the entries without an id of this one.
        """
        digests = {}
        for _, _, entry in judged:
            if not _has_masks(entry) and entry.auth is not None:
                digests[id(entry)] = content_digest(fresh_auth(entry), self.digest_key)
        stored = _Stored(
            [e.connection.get("connection_id") for _, _, e in judged], digests.values()
        )
        differing, new = [], []
        for number, verdict, entry in judged:
            self._describe(verdict, entry)
            if number is not None and seen.get(number, "rejected") != "rejected":
                _call_duplicate(verdict, entry)
                continue
            digest = digests.get(id(entry))
            identity = _identity(entry, digest)
            if identity in earlier or identity in identities:
                _call_duplicate(verdict, entry)
                continue
            row = stored.find(entry, digest)
            if row is None:
                self._judge_new(verdict, entry, digest, new)
            elif self._is_unchanged(row, entry, digest):
                verdict.action = "unchanged"
            else:
                differing.append((verdict, entry, row["id"]))
            if number is not None:
                seen[number] = verdict.action or "pending"
            if identity is not None and verdict.action != "rejected":
                identities.add(identity)
        self._judge_differing(differing)
        if not self.options.dry_run:
            self._insert(new)

    def _is_unchanged(self, row, entry, digest):
        """Whether nothing would change, judged without opening anything (False: look closer)."""
        if row["binned_at"] is not None:
            return False
        if entry.connection.get("connection_id") is None:
            # Found by its content, which is all the identity it has.
            return not entry.connection_extra
        if not all(
            same(entry.connection.get(column), row[column])
            for column in payload.CONNECTION_COLUMNS
        ):
            return False
        if entry.connection_extra or (row["has_extra"] and self.options.on_conflict == "replace"):
            return False  # the digest says nothing about the unknown keys of a Connection
        return entry.auth is None or (digest is not None and digest == row["content_digest"])

    def _describe(self, verdict, entry):
        verdict.name = (entry.auth or {}).get("name") or entry.connection.get("connection_id", "")
        verdict.integration = entry.connection.get("integration_id", "")

    def _judge_new(self, verdict, entry, digest, new):
        auth = fresh_auth(entry)
        if not entry.is_refused and not self.options.may_add:
            entry.say("not_permitted", "", "You may not add connections.")
        if entry.is_refused:
            verdict.action = "rejected"
            return
        verdict.action = "created"
        record = ConnectionAuth(received_at=self.now)
        for column, value in entry.connection.items():
            setattr(record, column, value)
        if not self.options.dry_run:
            for name, value in auth.items():
                setattr(record, name, value)
        record.derive(auth, digest_key=self.digest_key)
        verdict.bucket_after = record.bucket(self.now)
        new.append(record)

    def _judge_differing(self, differing):
        rows = ConnectionAuth.all_objects.filter(pk__in=[pk for _, _, pk in differing])
        if not self.options.dry_run:
            rows = rows.select_for_update().order_by("pk")  # one order, so no deadlock
        records = rows.in_bulk() if differing else {}
        for verdict, entry, pk in differing:
            self._judge_change(verdict, entry, records[pk])

    def _judge_change(self, verdict, entry, record):
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
            verdict.fields = [field_name(name) for name in outcome.changes]
            if record.binned_at is not None:
                entry.say("restored", entry.spelled.get("id", ""))
            self._update(record, outcome)
            verdict.bucket_after = record.bucket(self.now)

    def _guard(self, record, entry, outcome):
        if self.options.on_conflict == "fail":
            entry.say("exists", entry.spelled.get("id", ""))
        if not self.options.may_change:
            entry.say("not_permitted", "", "You may not change connections.")
        if not self.options.allow_older:
            guard_age(record, entry)
        guard_endpoints(record, entry, outcome)

    def _update(self, record, outcome):
        changed = dict(outcome.changes)
        if record.binned_at is not None:
            changed["binned_at"] = None
        if TOKENS & set(changed):
            changed["received_at"] = self.now
        for name, value in changed.items():
            setattr(record, name, value)
        record.derive(outcome.auth, outcome.unreadable, self.digest_key)
        if not self.options.dry_run:
            self._make_integrations([record])
            record.store({COLUMN_FIELDS.get(name, name) for name in changed} | {*DERIVED_COLUMNS})

    def _insert(self, records):
        if records:
            self._make_integrations(records)
            # In one order whatever the file's, so that two imports of the same records wait for
            # each other and don't end in a deadlock.
            records.sort(
                key=lambda record: (record.connection_id or "", record.identity_digest or "")
            )
            ConnectionAuth.all_objects.bulk_create(records, batch_size=BATCH)

    def _make_integrations(self, records):
        met = {r.integration_id: r.integration_name for r in records if r.integration_id}
        missing = set(met) - self.known_integrations
        if missing:
            Integration.objects.bulk_create(
                [
                    Integration(type=kind, name=(met[kind] or integration_title(kind))[:255])
                    for kind in sorted(missing)
                ],
                ignore_conflicts=True,
            )
            self.known_integrations |= missing


COLUMN_FIELDS = {"integration_id": "integration"}


def integration_title(kind):
    """A name to start with for an integration that only has its type."""
    return kind.replace("_", " ").replace("-", " ").capitalize()


def field_name(attribute):
    """The API's camelCase name of an attribute of the record."""
    for name, (column, _) in payload.CONNECTION_FIELDS.items():
        if column == attribute:
            return payload.camel(name)
    return payload.camel(attribute)


def _has_masks(entry):
    values = [*(entry.auth or {}).values(), entry.auth_extra, entry.connection_extra]
    return any(
        value is payload.MASKED or (isinstance(value, list) and payload.MASKED in value)
        for value in values
    )


def _identity(entry, digest):
    """A number for an entry without an id: equal where content and place are. None for others."""
    if digest is None or entry.connection.get("connection_id") is not None:
        return None
    place = (entry.connection.get("integration_id"), entry.connection.get("environment"))
    return hash((digest, place))


def _call_duplicate(verdict, entry):
    verdict.action = "unchanged"
    entry.say("duplicate", entry.spelled.get("id", ""))


class _Stored:
    """The stored records that a batch may mean, without their sealed columns."""

    COLUMNS = ("id", "content_digest", "binned_at", *payload.CONNECTION_COLUMNS)
    HAS_EXTRA = ExpressionWrapper(Q(extra__isnull=False), output_field=BooleanField())

    def __init__(self, connection_ids, digests):
        rows = ConnectionAuth.all_objects.values(*self.COLUMNS, has_extra=self.HAS_EXTRA)
        rows = rows.order_by("id")
        ids = {connection_id for connection_id in connection_ids if connection_id is not None}
        self.by_id = {}
        if ids:
            self.by_id = {row["connection_id"]: row for row in rows.filter(connection_id__in=ids)}
        self.by_digest = {}
        digests = set(digests) if len(ids) < len(connection_ids) else ()
        if digests:
            for row in rows.filter(content_digest__in=digests):
                self.by_digest.setdefault(row["content_digest"], []).append(row)

    def find(self, entry, digest):
        """The row that an entry means: by id, else by equal content in the place that it names.

        An auth object on its own names neither integration nor environment, and means any.
        """
        connection_id = entry.connection.get("connection_id")
        if connection_id is not None:
            return self.by_id.get(connection_id)
        found = [
            row
            for row in self.by_digest.get(digest, ())
            if all(
                row[column] == entry.connection.get(column)
                for column in ("integration_id", "environment")
            )
            or not entry.connection
        ]
        return min(found, key=lambda row: row["binned_at"] is not None, default=None)
