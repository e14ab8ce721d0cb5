"""What an entry of a file changes on a stored record, and what forbids it."""

from dataclasses import dataclass, field
from typing import Any

from connections.json_format import dates, schema
from connections.json_format.entry import Entry
from connections.json_format.schema import CREDENTIAL_FIELDS
from connections.json_format.serialize import equal_when_serialized
from connections.json_format.urls import changed_endpoints
from connections.json_format.values import MASKED, Masked
from connections.models import ConnectionAuth


@dataclass
class MergeResult:
    """What a merge changes, and the opened auth objects (names to values) before and after."""

    changes: dict[str, Any] = field(default_factory=dict)  # attribute -> new value; None clears
    auth: dict[str, Any] = field(default_factory=dict)
    previous_auth: dict[str, Any] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)  # fields that still do not open
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


def combine_extra(
    auth_extra: dict[str, Any] | Masked, connection_extra: dict[str, Any] | Masked
) -> dict[str, Any]:
    """The stored form of unknown keys: `{"auth": {...}, "connection": {...}}`, either optional."""
    parts = {"auth": auth_extra, "connection": connection_extra}
    return {name: part for name, part in parts.items() if part and part is not MASKED}


def merge(record: ConnectionAuth, entry: Entry, *, replace: bool) -> MergeResult:
    """Merge an entry into a stored record, which is opened and not changed.

    With `replace` the record becomes exactly the entry. Otherwise plain fields become those of
    the entry, and sealed fields that it lacks stay. Masks keep what is stored, in both; one that
    has nothing to keep adds an issue to the entry.
    """
    auth, unreadable = record.open_auth()
    outcome = MergeResult(auth=dict(auth), previous_auth=auth, unreadable=list(unreadable))
    if entry.auth is not None:
        for name in schema.PLAIN_FIELDS:
            if not equal_when_serialized(entry.auth.get(name), auth.get(name)):
                outcome.set(name, entry.auth.get(name))
        for name in schema.SEALED_FIELDS:
            _merge_sealed(outcome, entry, name, auth, unreadable, replace)
    _merge_extra(outcome, entry, auth, unreadable, replace)
    if entry.connection.get("connection_id") is None:
        return outcome  # a record that was found by its content keeps what surrounds that
    for column in schema.CONNECTION_COLUMNS:
        value = entry.connection.get(column)
        if not equal_when_serialized(value, getattr(record, column)):
            outcome.changes[column] = value
    return outcome


def _merge_sealed(outcome, entry, name, auth, unreadable, replace):
    stored = auth.get(name)
    if name not in entry.auth:
        if stored is not None and replace:
            outcome.set(name, None)
        elif stored is not None and name in CREDENTIAL_FIELDS:
            outcome.keeps_secret = True
        return
    value = entry.auth[name]
    if isinstance(value, list) and MASKED in value:
        value = _fill_masked_items(value, stored)
        outcome.keeps_secret = outcome.keeps_secret or name in CREDENTIAL_FIELDS
        if value is None:
            entry.add_issue("nothing_to_keep.items", entry.paths[name])
            return
    if value is MASKED:
        if stored is None:
            entry.add_issue("nothing_to_keep", entry.paths[name])
        outcome.keeps_secret = outcome.keeps_secret or name in CREDENTIAL_FIELDS
    elif name in unreadable or not equal_when_serialized(value, stored):
        outcome.set(name, value)


def _fill_masked_items(items, stored):
    """The items, with stored ones at the places of masks. None where as many are not stored."""
    if not isinstance(stored, list) or len(stored) != len(items):
        return None
    return [old if new is MASKED else new for new, old in zip(items, stored, strict=True)]


def _merge_extra(outcome, entry, auth, unreadable, replace):
    stored = auth.get("extra") if "extra" not in unreadable else None
    wanted = dict(stored or {})
    is_given = {"auth": entry.auth is not None, "connection": True}
    for part, target in (("auth", "auth_extra"), ("connection", "connection_extra")):
        given = getattr(entry, target)
        if given is MASKED:
            if not wanted.get(part) and "extra" not in unreadable:
                entry.add_issue("nothing_to_keep", entry.paths[target])
        elif given:
            wanted[part] = given
        elif replace and is_given[part]:
            wanted.pop(part, None)
    if "extra" in unreadable:
        # What does not open can't be merged with anything: unknown keys of the file replace it.
        if combine_extra(entry.auth_extra, entry.connection_extra) or replace:
            outcome.set("extra", wanted or None)
    elif not equal_when_serialized(wanted or None, stored or None):
        outcome.set("extra", wanted or None)


def check_endpoints(record: ConnectionAuth, entry: Entry, outcome: MergeResult) -> None:
    """Add an issue for each endpoint that gets another host while a stored secret is kept."""
    if outcome.keeps_secret:
        for name in changed_endpoints(record, outcome.changes):
            entry.add_issue("endpoint_changed", entry.paths.get(name, name))


def check_age(record: ConnectionAuth, entry: Entry) -> None:
    """Add an issue where the entry is older than the record, or than a change made here."""
    updated_at = entry.connection.get("source_updated_at")
    stored = [moment for moment in (record.source_updated_at, record.locally_changed_at) if moment]
    # To the millisecond, as dates are exported: an export is never older than its record.
    if updated_at and stored and dates.iso(updated_at) < dates.iso(max(stored)):
        entry.add_issue("older", entry.paths.get("updated_at", "updated_at"))
