"""An entry of the API's JSON in, a checked Entry out.

The rules about objects and their keys are here, those about single values in values.py, and
docs/json-format.md lists both. Issues name a place by its path in the file and hold no value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connections.json_format import schema, values
from connections.json_format.issues import Issue
from connections.json_format.serialize import MASK, equal_when_serialized
from connections.lib.text import printable


@dataclass
class Entry:
    """A checked entry. If there are errors among its `issues` it is refused, and incomplete.

    `auth` maps names of AUTH_FIELDS to values (aware datetimes, numbers, MASKED for a mask); it is
    None for an entry without an auth object. `connection` maps columns to values. `extra` has
    the unknown keys, or MASKED, under `auth` and `connection`, where there are any. `paths` maps
    names of fields (and parts of `extra`) to their paths in the file.
    """

    auth: dict[str, Any] | None = None
    connection: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def is_refused(self) -> bool:
        return any(issue.level == "error" for issue in self.issues)

    @property
    def masked_fields(self) -> list[str]:
        """The names in `auth` and `extra` that hold a mask, or an array with one."""
        return [
            name
            for name, value in {**(self.auth or {}), **self.extra}.items()
            if value is values.MASKED or (isinstance(value, list) and values.MASKED in value)
        ]

    def add_issue(self, key: str, path: str = "", **params: Any) -> None:
        """Add an issue with a key of issues.MESSAGES and the params of its message."""
        self.issues.append(Issue(key, path, params))


def read_entry(raw: Any) -> Entry:
    """Check one decoded entry of a file. Reports faults as issues and raises nothing."""
    entry = Entry()
    if not isinstance(raw, dict):
        entry.add_issue("not_an_object")
        return entry
    _check_conflicts(entry, raw, "")
    if is_connection(raw):
        _read_connection(entry, raw)
    else:
        entry.auth = {}
        _read_object(entry, raw, AUTH_KEYS, "", entry.auth)
    if not entry.is_refused and not entry.auth and not entry.connection:
        entry.add_issue("no_known_field")
    return entry


def is_connection(raw: Mapping[str, Any]) -> bool:
    """Whether an entry is a Connection around an auth object, rather than an auth object."""
    for key in schema.CONNECTION_MARKER_KEYS:  # noqa: SIM110 (any() takes twice as long)
        if raw.get(key) is not None:
            return True
    return False


# How a key is read: the name of its field, the name or column of its value, and its reader.
KeyTable = dict[str, tuple[str, str, values.Reader]]


def _key_table(fields: Mapping[str, tuple[str, str]]) -> KeyTable:
    """How the keys of `fields` (name -> (column, kind)) are read, in both spellings."""
    return {
        key: (name, column, values.READERS[kind])
        for name, (column, kind) in fields.items()
        for key in (name, schema.to_camel_case(name))
    }


AUTH_KEYS = _key_table({name: (name, kind) for name, kind in schema.AUTH_FIELDS.items()})
CONNECTION_KEYS = _key_table(schema.CONNECTION_FIELDS)


def _read_connection(entry: Entry, raw: dict[str, Any]) -> None:
    if "" in (raw.get("integration_type"), raw.get("integrationType")):
        # It names no integration, but it is not absent either: it is kept as an unknown key is.
        entry.extra["connection"] = {"integration_type": ""}
    fields = dict(raw)
    fields.pop("auth", None)
    _read_object(entry, fields, CONNECTION_KEYS, "", entry.connection)
    auth = raw.get("auth")
    if isinstance(auth, dict):
        _check_conflicts(entry, auth, "auth.")
        entry.auth = {}
        _read_object(entry, auth, AUTH_KEYS, "auth.", entry.auth)
    elif auth is not None:
        entry.add_issue("wrong_type.object", "auth")


def _read_object(
    entry: Entry, raw: dict[str, Any], keys: KeyTable, prefix: str, target: dict[str, Any]
) -> None:
    """Read the known keys of an object into `target`, and its unknown keys as extras."""
    key_by_name: dict[str, str] = {}
    extra = {}
    for key, value in raw.items():
        if value is None:
            continue
        if key not in keys:
            extra[key] = value
            continue
        name, column, read = keys[key]
        path = prefix + key
        if name not in key_by_name:
            key_by_name[name] = key
            entry.paths[name] = path
            value = read(entry, value, path)
            if value is not None:
                target[column] = value
        elif not equal_when_serialized(raw[key_by_name[name]], value):
            entry.add_issue("conflicting_keys.spellings", path)
    if extra:
        _read_extra(entry, extra, prefix)


def _read_extra(entry: Entry, extra: dict[str, Any], prefix: str) -> None:
    part = "auth" if prefix or entry.auth is not None else "connection"
    if extra.get(MASK) is True:
        entry.paths[part] = prefix + MASK
        if len(extra) > 1:
            entry.add_issue("wrong_type.mask_not_alone", entry.paths[part])
        entry.extra[part] = values.MASKED
        return
    if len(extra) > values.MAX_KEYS:
        entry.add_issue("too_many_keys", prefix.rstrip("."))
        return
    faults = 0
    for position, (key, value) in enumerate(extra.items()):
        path = prefix + printable(key, 100)
        if not (values.check_value(entry, key, path) and values.check_value(entry, value, path)):
            faults += 1
            if faults == values.MAX_REPORTED_KEYS:
                return
        if position < values.MAX_REPORTED_KEYS:
            entry.add_issue("unknown_key", path)
    if len(extra) > values.MAX_REPORTED_KEYS:
        count = len(extra) - values.MAX_REPORTED_KEYS
        entry.add_issue("unknown_key.more", prefix.rstrip("."), count=count)
    entry.extra.setdefault(part, {}).update(extra)


def _check_conflicts(entry: Entry, raw: dict[str, Any], prefix: str) -> None:
    names = raw.names if isinstance(raw, values.ConflictingKeys) else []
    for name in names[: values.MAX_REPORTED_KEYS]:
        entry.add_issue("conflicting_keys", prefix + printable(name, 100))
