"""What an import makes of each entry: the part of the work that any process can do.

A Judge reads a piece of a source, checks its entries, looks up the stored records, and prepares
the new ones: digests, derived columns, sealed values. It writes nothing.
"""

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db.models import F
from django.db.models.lookups import IsNull

from connections.encryption import keyring
from connections.encryption.digests import content_digest, identity_digest
from connections.expiry import deadlines
from connections.expiry.deadlines import derived_columns
from connections.import_export import rows
from connections.import_export.results import Verdict
from connections.import_export.scanned_source import ScannedSource, identify
from connections.json_format import schema
from connections.json_format.entry import Entry, read_entry
from connections.json_format.serialize import equal_when_serialized
from connections.json_format.stream.layout import Piece
from connections.json_format.stream.reader import read_piece
from connections.models import UNLIMITED, ConnectionAuth, Scope


@dataclass(frozen=True)
class ImportOptions:
    """How to import.

    `integration` and `environment` are for entries that name none. `run_id` and `user_id` are
    stored with what is imported.
    """

    on_conflict: str = "update"
    allow_older: bool = False
    dry_run: bool = False
    atomic: bool = False
    integration: str | None = None
    environment: str | None = None
    scope: Scope = UNLIMITED  # what lies outside is refused
    may_add: bool = True
    may_change: bool = True
    run_id: uuid.UUID | None = None
    user_id: int | None = None


class Task(NamedTuple):
    """A piece to judge: the index of its source, and the id (as a number) of its first entry."""

    source_index: int
    piece: Piece
    first_id: int


@dataclass
class JudgedPiece:
    """A piece, judged. The keys of its dicts are positions in `verdicts`."""

    task: Task
    verdicts: list[Verdict] = field(default_factory=list)
    # New records: the row to insert, and those of the fingerprints of its secrets.
    new_rows: dict[int, tuple[tuple, list[tuple]]] = field(default_factory=dict)
    # Stored records with other content: the entry, and the id of the record.
    differing: dict[int, tuple[Entry, uuid.UUID]] = field(default_factory=dict)
    # Hashes of what an entry may repeat: of its id or text, where the source holds that more than
    # once, and of its identity, which is the same however equal content is spelled.
    hashes: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    # The entries (not a dict) with an id that the source holds more than once.
    repeated_ids: set[int] = field(default_factory=set)
    # Entries without an id whose content is stored already: the id of the record.
    found_by_content: dict[int, uuid.UUID] = field(default_factory=dict)
    # The integrations that new records name (not by position): type -> name.
    integrations: dict[str, str | None] = field(default_factory=dict)

    def is_rejected(self, position: int | None) -> bool:
        return position is not None and self.verdicts[position].action == "rejected"


class Judge:
    """Judges the pieces of an import."""

    def __init__(
        self, scanned: list[ScannedSource], options: ImportOptions, now: datetime
    ) -> None:
        self.scanned, self.options, self.now = scanned, options, now
        self.digest_key = keyring.digest_key()
        self.fingerprint_key = keyring.fingerprint_key()
        self.newest_key, self.seal = keyring.key_ids()[0], keyring.require_keys().seal
        defaults = {"integration_id": options.integration, "environment": options.environment}
        self.defaults = {column: default for column, default in defaults.items() if default}
        dates = dict.fromkeys(("created_at", "updated_at", "received_at"), now)
        self.row_maker = rows.RowMaker({"made_by_run": options.run_id, **dates})

    def judge(self, task: Task, replaced: dict[uuid.UUID, int] | None = None) -> JudgedPiece:
        """Judge a piece.

        `replaced` maps records whose content the import has replaced to the position of the entry
        that did (-1: in an earlier piece): entries behind that do not find them by content.
        """
        scanned = self.scanned[task.source_index]
        judged, entries = JudgedPiece(task), {}
        for position, raw in enumerate(read_piece(scanned.source, scanned.layout, task.piece)):
            verdict = Verdict(raw.number, raw.line, scanned.source.name)
            judged.verdicts.append(verdict)
            if raw.fault:
                verdict.action = "rejected"
                verdict.add_issue(raw.fault)
                continue
            entry = read_entry(raw.value)
            verdict.issues = entry.issues
            entry.connection = {**self.defaults, **entry.connection}
            identity = identify(raw.value, raw.text) if scanned.repeated else None
            if identity and hash(identity) in scanned.repeated:
                judged.hashes[position].append(hash((task.source_index, *identity)))
                if identity[0]:
                    judged.repeated_ids.add(position)
                if hash(identity) in scanned.conflicting:
                    entry.add_issue("same_id_twice", "id")
            if entry.is_refused:
                verdict.action = "rejected"
            else:
                entries[position] = entry
        self._compare(judged, entries, replaced or {})
        return judged

    def _compare(self, judged, entries, replaced):
        """Compare the accepted entries (by position) with the stored records."""
        auths, digests, identities = {}, {}, {}
        for position, entry in entries.items():
            if not entry.masked_fields:
                auths[position] = dict(entry.auth or {})
                if entry.extra:
                    auths[position]["extra"] = entry.extra
                # Content is the identity of a record without an id, also where it is empty.
                if entry.auth is not None or entry.connection.get("connection_id") is None:
                    digests[position] = content_digest(auths[position], self.digest_key)
        stored = _StoredRecords(entries.values(), digests.values(), self.now, self.options.scope)
        for position, entry in entries.items():
            verdict, digest = judged.verdicts[position], digests.get(position)
            verdict.name = (entry.auth or {}).get("name") or entry.connection.get(
                "connection_id", ""
            )
            verdict.integration = entry.connection.get("integration_id", "")
            if digest and entry.connection.get("connection_id") is None:
                place = map(entry.connection.get, ("integration_id", "environment"))
                identities[position] = identity_digest(digest, *place, self.digest_key)
                judged.hashes[position].append(hash(identities[position]))
            hidden = {pk for pk, at in replaced.items() if at < position}
            row = stored.find(entry, digest, hidden)
            if not self._is_permitted(row, entry):
                # The answer is the same whatever is stored there, and whatever else is wrong.
                verdict.action, verdict.issues = "rejected", []
                verdict.add_issue("not_permitted.out_of_scope")
            elif row is None:
                auth, identity = auths.get(position), identities.get(position)
                self._judge_new(judged, position, entry, auth, digest, identity)
            elif not self._is_unchanged(row, entry, digest):
                judged.differing[position] = (entry, row.id)
            else:
                verdict.action = "unchanged"
                if entry.connection.get("connection_id") is None:
                    judged.found_by_content[position] = row.id

    def _is_permitted(self, row, entry):
        """Whether the stored record, and the place that the entry names, are in scope."""
        stored = (row.integration_id, row.environment) if row else (None, None)
        named = map(entry.connection.get, ("integration_id", "environment"), stored)
        scope = self.options.scope
        return scope.includes(*named) and (row is None or scope.includes(*stored))

    def _is_unchanged(self, row, entry, digest):
        """Whether nothing would change; nothing is opened, so that False is not certain."""
        if row.binned_at is not None:
            return False
        if entry.connection.get("connection_id") is None:
            # It was found by its content, which is all that identifies it.
            return "connection" not in entry.extra
        if not all(
            equal_when_serialized(entry.connection.get(column), stored)
            for column, stored in zip(schema.CONNECTION_COLUMNS, row, strict=False)
        ):
            return False
        if "connection" in entry.extra or (
            row.has_extra and self.options.on_conflict == "replace"
        ):
            return False  # the digest says nothing about the unknown keys of a Connection
        return entry.auth is None or (digest is not None and digest == row.content_digest)

    def _judge_new(self, judged, position, entry, auth, digest, identity):
        verdict = judged.verdicts[position]
        for name in entry.masked_fields:
            entry.add_issue("nothing_to_keep", entry.paths[name])
        if not entry.is_refused and not self.options.may_add:
            entry.add_issue("not_permitted.add")
        if entry.is_refused:
            verdict.action = "rejected"
            return
        verdict.action = "created"
        values = derived_columns(
            auth,
            issued_at=entry.connection.get("source_updated_at")
            or entry.connection.get("source_created_at"),
            received_at=self.now,
        )
        verdict.bucket_after = deadlines.bucket_of(values["breaks_at"], self.now)
        if integration := entry.connection.get("integration_id"):
            judged.integrations[integration] = entry.connection.get("integration_name")
        if not self.options.dry_run:
            record_id = uuid.UUID(int=judged.task.first_id + position)
            fingerprints = rows.fingerprint_rows(record_id, auth, self.fingerprint_key)
            sealed = rows.seal_auth(record_id, auth, self.seal)
            row = self.row_maker.row(
                {name: auth[name] for name in schema.PLAIN_FIELDS if name in auth},
                entry.connection,
                values,
                sealed,
                {
                    "sealed_under": self.newest_key if sealed else None,
                    "id": record_id,
                    "content_digest": digest or content_digest(auth, self.digest_key),
                    "identity_digest": identity,
                },
            )
            judged.new_rows[position] = row, fingerprints


# What is looked up of stored records; the columns around the auth object come first.
COLUMNS = (
    *schema.CONNECTION_COLUMNS,
    *("id", "content_digest", "binned_at", "created_at", "updated_at", "has_extra"),
)


class _StoredRecords:
    """The stored records that the entries of a piece may mean, without their sealed columns."""

    def __init__(self, entries, digests, started_at, scope):
        self.started_at = started_at
        records = ConnectionAuth.all_objects.annotate(has_extra=IsNull(F("extra"), False))
        stored = records.values_list(*COLUMNS, named=True).order_by("id")
        ids = {entry.connection.get("connection_id") for entry in entries}
        digests = set(digests) if None in ids else ()
        ids.discard(None)
        self.by_id = {}
        if ids:
            found = stored.filter(connection_id__any_of=ids)
            self.by_id = {row.connection_id: row for row in found}
        self.by_digest = defaultdict(list)
        if digests:
            for row in stored.filter(scope.condition(), content_digest__any_of=digests):
                self.by_digest[row.content_digest].append(row)

    def find(self, entry, digest, hidden):
        """The row that an entry means: by id, else by equal content in the place that it names.

        Those in `hidden` are not found by their content.
        """
        connection_id = entry.connection.get("connection_id")
        if connection_id is not None:
            return self.by_id.get(connection_id)
        found = self.by_digest.get(digest, ())
        found = [row for row in found if row.id not in hidden and self._matches(row, entry)]
        return min(found, key=lambda row: row.binned_at is not None, default=None)

    def _matches(self, row, entry):
        """Whether a row of equal content is where an entry without an id belongs.

        An auth object on its own names neither integration nor environment, and matches any. But
        what this import has written matches only where both are the same: otherwise the distance
        between two entries would decide whether the second one finds the first.
        """
        # Of a record without an id an import changes only what surrounds the content.
        since = row.updated_at if row.connection_id else row.created_at
        if not entry.connection and since < self.started_at:
            return True
        place = (entry.connection.get("integration_id"), entry.connection.get("environment"))
        if (row.integration_id, row.environment) != place:
            return False
        return row.connection_id is None or row.updated_at < self.started_at
