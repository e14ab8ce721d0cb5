"""What each entry of a file means for the store: the part of an import that any process can do.

A Judge reads a piece of a source, checks its entries, looks up what is stored, and prepares
(digests, derives, seals) what is new. It writes nothing.
"""

import uuid
from collections import namedtuple
from dataclasses import dataclass, field

from django.db.models import BooleanField, ExpressionWrapper, Q

from connections.encryption import keyring, ring, stored_keys
from connections.encryption.digests import content_digest, fingerprints_of, identity_digest
from connections.expiry import deadlines
from connections.expiry.deadlines import derived_columns
from connections.import_export import rows
from connections.import_export.merge import auth_for_new_record
from connections.json_format import entry as json_format_entry
from connections.json_format import schema
from connections.json_format.issues import Issue
from connections.json_format.serialize import equal_when_serialized
from connections.json_format.stream.reader import read_piece
from connections.json_format.values import MASKED
from connections.models import ConnectionAuth


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

    def __reduce__(self):  # many of them pass between processes: the short way
        return Verdict, tuple(vars(self).values())

    def add_issue(self, key, path="", **params):
        self.issues.append(Issue(key, path, params))

    def has_issue(self, code):
        return any(issue.code == code for issue in self.issues)


@dataclass
class JudgedPiece:
    """A piece, judged. What is keyed by `position` is keyed by the place in `verdicts`."""

    verdicts: list = field(default_factory=list)
    # New ones: position -> the row to insert, (), where nothing will be written.
    new: dict = field(default_factory=dict)
    # The fingerprints of their secrets: position -> [(id of the record, field, number)].
    fingerprints: dict = field(default_factory=dict)
    # Stored ones with other content: position -> (entry, id of the record).
    differing: dict = field(default_factory=dict)
    # Those that the file holds more than once: position -> (number in Repeats, path of the id).
    numbers: dict = field(default_factory=dict)
    # Those without an id that are stored already: position -> id of the record.
    found: dict = field(default_factory=dict)
    # Those without an id: position -> what is equal for equal content in the same place.
    identities: dict = field(default_factory=dict)
    # The integrations that new ones name: type -> name.
    integrations: dict = field(default_factory=dict)

    def is_rejected(self, position):
        return position is not None and self.verdicts[position].action == "rejected"


class Judge:
    """Judges pieces of scanned sources (lists of source, Layout, Repeats) for one run."""

    def __init__(self, scanned, options, now):
        self.scanned, self.options, self.now = scanned, options, now
        self.digest_key, self.fingerprint_key = (
            stored_keys.digest_key(),
            stored_keys.fingerprint_key(),
        )
        self.newest_key, self.seal = ring.key_ids()[0], keyring.sealer()
        dates = dict.fromkeys(("created_at", "updated_at", "received_at"), now)
        self.row_maker = rows.RowMaker({"made_by_run": options.run_id, **dates})

    def judge(self, task, moved=None):
        """Judge a task: (index of the source, Piece, number of the first id). Gives a Judged.

        `moved` maps ids of records to positions: those behind are not to find them by content,
        which the run has replaced by then.
        """
        index, piece, first_id = task
        source, layout, repeats = self.scanned[index]
        judged, entries = JudgedPiece(), {}
        for position, raw in enumerate(read_piece(source, layout, piece)):
            verdict = Verdict(raw.number, raw.line, source.name)
            judged.verdicts.append(verdict)
            if raw.fault:
                verdict.action = "rejected"
                verdict.add_issue(raw.fault)
                continue
            entry = json_format_entry.read_entry(raw.value)
            verdict.issues = entry.issues
            self._add_defaults(entry)
            if repeats.repeated and (number := repeats.entry_hash(raw)) in repeats.repeated:
                judged.numbers[position] = (number, entry.paths.get("id", ""))
                if number in repeats.conflicting:
                    entry.add_issue("same_id_twice", entry.paths.get("id", "id"))
            if entry.is_refused:
                verdict.action = "rejected"
            else:
                entries[position] = entry
        self._compare(judged, entries, first_id, moved or {})
        return judged

    def _add_defaults(self, entry):
        for column, default in (
            ("integration_id", self.options.integration),
            ("environment", self.options.environment),
        ):
            if default and column not in entry.connection:
                entry.connection[column] = default

    def _compare(self, judged, entries, first_id, moved):
        """Compare the good entries (by position) with what is stored."""
        auths, digests = {}, {}
        for position, entry in entries.items():
            if not has_masks(entry):
                auths[position] = auth_for_new_record(entry)
                # Without an id, none is an empty one: its content is the identity of a record.
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
                judged.identities[position] = self._identity(entry, digest)
            row = stored.find(entry, digest, {pk for pk, at in moved.items() if at < position})
            if not self._is_permitted(row, entry):
                # Whatever is stored there, and whatever else is wrong: the answer is the same.
                judged.identities.pop(position, None)
                verdict.action, verdict.issues = "rejected", []
                verdict.add_issue("not_permitted.out_of_scope")
            elif row is None:
                self._judge_new(judged, position, entry, auths.get(position), digest, first_id)
            elif not self._is_unchanged(row, entry, digest):
                judged.differing[position] = (entry, row.id)
            else:
                verdict.action = "unchanged"
                if entry.connection.get("connection_id") is None:
                    judged.found[position] = row.id

    def _is_permitted(self, row, entry):
        """Whether the record that is stored, and the place that the entry names, are in scope."""
        stored = (row.integration_id, row.environment) if row else (None, None)
        named = map(entry.connection.get, ("integration_id", "environment"), stored)
        return self.options.scope.includes(*named) and (
            row is None or self.options.scope.includes(*stored)
        )

    def _identity(self, entry, digest):
        return identity_digest(
            digest,
            entry.connection.get("integration_id"),
            entry.connection.get("environment"),
            self.digest_key,
        )

    def _is_unchanged(self, row, entry, digest):
        """Whether nothing would change, judged without opening anything (False: look closer)."""
        if row.binned_at is not None:
            return False
        if entry.connection.get("connection_id") is None:
            # Found by its content, which is all the identity it has.
            return not entry.connection_extra
        if not all(
            equal_when_serialized(entry.connection.get(column), stored)
            for column, stored in zip(schema.CONNECTION_COLUMNS, row, strict=False)
        ):
            return False
        if entry.connection_extra or (row.has_extra and self.options.on_conflict == "replace"):
            return False  # the digest says nothing about the unknown keys of a Connection
        return entry.auth is None or (digest is not None and digest == row.content_digest)

    def _judge_new(self, judged, position, entry, auth, digest, first_id):
        verdict = judged.verdicts[position]
        if auth is None:
            auth_for_new_record(entry)  # says what is masked and has nothing to keep
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
        judged.new[position] = ()
        if not self.options.dry_run:
            record_id = uuid.UUID(int=first_id + position)
            judged.fingerprints[position] = self.row_maker.fingerprints(
                record_id, fingerprints_of(auth, self.fingerprint_key)
            )
            sealed = rows.seal_auth(record_id, auth, self.seal)
            judged.new[position] = self.row_maker.row(
                {name: auth[name] for name in schema.PLAIN_FIELDS if name in auth},
                entry.connection,
                values,
                sealed,
                {
                    "sealed_under": self.newest_key if sealed else None,
                    "id": record_id,
                    "content_digest": digest or content_digest(auth, self.digest_key),
                    "identity_digest": judged.identities.get(position),
                },
            )


def has_masks(entry):
    """Whether an entry has a mask where a value belongs, which keeps what is stored."""
    if entry.auth_extra is MASKED or entry.connection_extra is MASKED:
        return True
    for value in (entry.auth or {}).values():
        if value is MASKED or (isinstance(value, list) and MASKED in value):
            return True
    return False


# What is looked up of a stored record: its connection columns first.
OTHER_COLUMNS = ("id", "content_digest", "binned_at", "created_at", "updated_at")
StoredRow = namedtuple(
    "Stored",
    (*schema.CONNECTION_COLUMNS, *OTHER_COLUMNS, "has_extra"),
)


class _StoredRecords:
    """The stored records that a piece may mean, without their sealed columns."""

    HAS_EXTRA = ExpressionWrapper(Q(extra__isnull=False), output_field=BooleanField())

    def __init__(self, entries, digests, begun, scope):
        self.started_at = begun
        stored = ConnectionAuth.all_objects.values_list(
            *schema.CONNECTION_COLUMNS, *OTHER_COLUMNS, self.HAS_EXTRA
        )
        stored = stored.order_by("id")
        ids = {entry.connection.get("connection_id") for entry in entries}
        digests = set(digests) if None in ids else ()
        ids.discard(None)
        self.by_id = {}
        if ids:
            found = map(StoredRow._make, stored.filter(connection_id__any_of=ids))
            self.by_id = {row.connection_id: row for row in found}
        self.by_digest = {}
        if digests:
            inside = stored.filter(scope.condition())
            for row in map(StoredRow._make, inside.filter(content_digest__any_of=digests)):
                self.by_digest.setdefault(row.content_digest, []).append(row)

    def find(self, entry, digest, moved):
        """The row that an entry means: by id, else by equal content in the place that it names."""
        connection_id = entry.connection.get("connection_id")
        if connection_id is not None:
            return self.by_id.get(connection_id)
        found = self.by_digest.get(digest, ())
        found = [row for row in found if row.id not in moved and self._matches(row, entry)]
        return min(found, key=lambda row: row.binned_at is not None, default=None)

    def _matches(self, row, entry):
        """Whether a row of equal content is where an entry without an id belongs.

        An auth object on its own names neither integration nor environment, and means any. But
        what this run has written counts only where it is the same in all: otherwise it would
        depend on how far apart two entries are whether the second one finds the first.
        """
        # Content that is all the identity of a record stays, whatever is written around it.
        since = row.updated_at if row.connection_id else row.created_at
        if not entry.connection and since < self.started_at:
            return True
        place = (entry.connection.get("integration_id"), entry.connection.get("environment"))
        if (row.integration_id, row.environment) != place:
            return False
        return row.connection_id is None or row.updated_at < self.started_at
