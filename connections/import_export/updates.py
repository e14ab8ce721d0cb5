"""What an import changes on stored records."""

from uuid import UUID

from django.utils import timezone

from connections.import_export import rows
from connections.import_export.judge import Judge
from connections.import_export.merge import check_age, check_endpoints, merge
from connections.import_export.results import Verdict
from connections.json_format import schema
from connections.json_format.entry import Entry
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
        outcome = merge(record, entry, replace=self.options.on_conflict == "replace")
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
            replaces_all = (
                self.options.on_conflict == "replace"
                and entry.auth is not None
                and not entry.masked_fields
            )
            # A record that is not as it was stored keeps its digest, unless nothing of it stays.
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
        check_endpoints(record, entry, outcome)

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
