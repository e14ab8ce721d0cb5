"""What an entry of a file changes on a stored record, and what forbids it."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils import timezone

from connections.import_export import rows
from connections.import_export.judge import Judge
from connections.import_export.results import Verdict
from connections.json_format import schema, serialize
from connections.json_format.entry import Entry
from connections.json_format.serialize import equal_when_serialized
from connections.json_format.urls import changed_endpoints
from connections.json_format.values import MASKED
from connections.models import (
    DERIVED_COLUMNS,
    SEALED_COLUMNS,
    ConnectionAuth,
    FormerVersion,
    SecretFingerprint,
    credential_dates,
)
from connections.models.former_version import build_former_version

# Columns that are written for each changed record, beside those that an entry changes.
ALWAYS_UPDATED_COLUMNS = (*DERIVED_COLUMNS, "version", "updated_at")


class RecordMoved(Exception):
    """A record that a piece was judged against is gone or out of reach: judge the piece again.

    `replaced` says whose content the run itself has replaced (see Judge.judge).
    """

    def __init__(self, replaced: dict[UUID, int] | None = None) -> None:
        super().__init__()
        self.replaced = replaced or {}


class RecordUpdates:
    """Changes of some stored records, which are locked: judged one by one, written together."""

    def __init__(self, judge: Judge) -> None:
        self.judge, self.options, self.now = judge, judge.options, judge.now
        self.records = {}  # id -> record, with its new values
        self.names = set()  # attributes that are new on any of them
        self.former_versions = []
        self.opened_auths = {}  # of records with new secrets: id -> what open_auth() returns
        self.integrations = {}  # that the records name: type -> name

    def add(self, verdict: Verdict, entry: Entry, record: ConnectionAuth) -> None:
        """Judge what an entry changes on its record, and set that on the record if it may.

        A preview sets the attributes, so that the verdict is right, and keeps nothing to write.
        """
        if not self.options.scope.includes(record.integration_id, record.environment):
            raise RecordMoved
        replace = self.options.on_conflict == "replace"
        outcome = merge(record, entry, replace=replace)
        verdict.bucket_before = verdict.bucket_after = record.bucket(self.now)
        if entry.is_refused:
            verdict.action = "rejected"
        elif not outcome.changes and record.binned_at is None:
            verdict.action = "unchanged"
        elif self.options.on_conflict == "skip":
            verdict.action = "skipped"
        else:
            self._check(record, entry, outcome)
            verdict.action = "rejected" if entry.is_refused else "updated"
        if verdict.action == "updated":
            verdict.fields = [schema.json_name(name) for name in outcome.changes]
            if record.binned_at is not None:
                entry.add_issue("restored", entry.paths.get("id", ""))
            # A record that is not as it was stored keeps its digest, unless nothing of it stays.
            replaces_all = replace and entry.auth is not None and not entry.masked_fields
            keep_digest = not replaces_all and not record.matches_digest(
                outcome.previous_auth, self.judge.digest_key
            )
            self._apply(record, outcome, keep_digest)
            verdict.bucket_after = record.bucket(self.now)

    def store(self) -> None:
        """Write the records, their former versions and their fingerprints."""
        FormerVersion.objects.bulk_create(self.former_versions)
        rows.update(self.records.values(), {*self.names, *ALWAYS_UPDATED_COLUMNS})
        SecretFingerprint.objects.clear(self.opened_auths)
        rows.insert_fingerprints(
            fingerprint
            for pk, (auth, _unreadable) in self.opened_auths.items()
            for fingerprint in rows.fingerprint_rows(pk, auth, self.judge.fingerprint_key)
        )

    def _check(self, record, entry, outcome):
        """Add an issue to the entry for each rule that forbids the change."""
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
        # Otherwise somebody who may not see a secret could have it sent to a host of their own.
        for name in changed_endpoints(record, outcome.changes) if outcome.keeps_secret else ():
            entry.add_issue("endpoint_changed", entry.paths.get(name, name))

    def _apply(self, record, outcome, keep_digest):
        changes = dict(outcome.changes)
        if not self.options.dry_run:
            self.former_versions.append(
                build_former_version(
                    record,
                    changes,
                    outcome.previous_auth,
                    user_id=self.options.user_id,
                    run_id=self.options.run_id,
                )
            )
        if record.binned_at is not None:
            changes["binned_at"] = changes["binned_by_id"] = None
        changes |= credential_dates(changes, self.now, ["received_at"])
        for name, value in changes.items():
            setattr(record, name, value)
        opened = record.derive(
            outcome.auth, outcome.unreadable, self.judge.digest_key, keep_digest
        )
        if self.options.dry_run:
            return
        if not changes.keys().isdisjoint(SEALED_COLUMNS):
            self.opened_auths[record.pk] = opened
        if record.integration_id:
            self.integrations.setdefault(record.integration_id, record.integration_name)
        record.version += 1
        record.updated_at = timezone.now()
        self.records[record.pk] = record
        self.names |= changes.keys()


def check_age(record: ConnectionAuth, entry: Entry) -> None:
    """Add an issue where the entry is older than the record, or than a change made here."""
    updated_at = entry.connection.get("source_updated_at")
    stored = [moment for moment in (record.source_updated_at, record.locally_changed_at) if moment]
    # To the millisecond, as dates are exported: an export is never older than its record.
    if updated_at and stored and serialize.iso(updated_at) < serialize.iso(max(stored)):
        entry.add_issue("older", entry.paths.get("updated_at", "updated_at"))


@dataclass
class MergeResult:
    """What a merge changes, and the opened auth objects (names to values) before and after."""

    previous_auth: dict[str, Any]
    auth: dict[str, Any]
    unreadable: list[str]  # fields that still do not open
    changes: dict[str, Any] = field(default_factory=dict)  # attribute -> new value; None clears
    keeps_secret: bool = False  # a stored credential stays

    def set(self, name: str, value: Any) -> None:
        """Change a field of the auth object."""
        self.changes[name] = value
        if value is None:
            self.auth.pop(name, None)
        else:
            self.auth[name] = value
        if name in self.unreadable:
            self.unreadable.remove(name)


def merge(record: ConnectionAuth, entry: Entry, *, replace: bool) -> MergeResult:
    """Merge an entry into a stored record, which is opened and not changed.

    With `replace` the record becomes exactly the entry. Otherwise plain fields become those of
    the entry, and sealed fields that it lacks stay. Masks keep what is stored, in both; one that
    has nothing to keep adds an issue to the entry.
    """
    auth, unreadable = record.open_auth()
    outcome = MergeResult(auth, dict(auth), unreadable)
    if entry.auth is not None:
        for name in schema.PLAIN_FIELDS:
            if not equal_when_serialized(entry.auth.get(name), auth.get(name)):
                outcome.set(name, entry.auth.get(name))
        for name in schema.SEALED_FIELDS:
            _merge_sealed(outcome, entry, name, replace)
    _merge_extra(outcome, entry, replace)
    if entry.connection.get("connection_id") is None:
        return outcome  # a record that was found by its content keeps what surrounds that
    for column in schema.CONNECTION_COLUMNS:
        value = entry.connection.get(column)
        if not equal_when_serialized(value, getattr(record, column)):
            outcome.changes[column] = value
    return outcome


def _merge_sealed(outcome, entry, name, replace):
    stored, value = outcome.previous_auth.get(name), entry.auth.get(name)
    has_masked_items = isinstance(value, list) and MASKED in value
    is_kept = value is MASKED or (name not in entry.auth and not replace)
    if (is_kept and stored is not None) or has_masked_items:
        outcome.keeps_secret = outcome.keeps_secret or name in schema.CREDENTIAL_FIELDS
    if has_masked_items:
        if not isinstance(stored, list) or len(stored) != len(value):
            entry.add_issue("nothing_to_keep.items", entry.paths[name])
            return
        value = [old if new is MASKED else new for new, old in zip(value, stored, strict=True)]
    if value is MASKED and stored is None:
        entry.add_issue("nothing_to_keep", entry.paths[name])
    if not is_kept and (name in outcome.unreadable or not equal_when_serialized(value, stored)):
        outcome.set(name, value)


def _merge_extra(outcome, entry, replace):
    is_unreadable = "extra" in outcome.unreadable
    # What does not open can't be merged with anything: unknown keys of the file replace it.
    stored = {} if is_unreadable else outcome.previous_auth.get("extra", {})
    wanted = dict(stored)
    for part in ("auth", "connection"):
        given = entry.extra.get(part)
        if given is MASKED:
            if part not in stored and not is_unreadable:
                entry.add_issue("nothing_to_keep", entry.paths[part])
        elif given:
            wanted[part] = given
        elif replace and (part == "connection" or entry.auth is not None):
            wanted.pop(part, None)
    if (replace and is_unreadable) or not equal_when_serialized(wanted, stored):
        outcome.set("extra", wanted or None)
