"""Pure: an entry of the API's JSON in, a checked auth object out. No database.

Every rule about odd input is here and in values (docs/json-format.md lists them). Issues name
places by the spelling of the file and never hold a value.
"""

from dataclasses import dataclass, field

from connections.json_format.issues import Issue
from connections.json_format.schema import AUTH_FIELDS, CONNECTION_FIELDS, to_camel_case
from connections.json_format.serialize import MASK, strictly_equal
from connections.json_format.values import (
    MASKED,
    MAX_KEYS,
    MAX_REPORTED_KEYS,
    READERS,
    Masked,
    check_value,
)
from connections.lib.text import printable


@dataclass
class Entry:
    """A checked entry. With errors among its `issues` it is refused, and the rest is partial.

    `auth` maps wire names to values (datetimes aware, numbers int or float, MASKED for masks);
    None where the entry has no auth object. `connection` maps columns to values. The extras hold
    unknown keys: a dict or MASKED. `spelled` maps names to the paths that the file uses.
    """

    auth: dict | None = None
    connection: dict = field(default_factory=dict)
    auth_extra: dict | Masked = field(default_factory=dict)
    connection_extra: dict | Masked = field(default_factory=dict)
    issues: list = field(default_factory=list)
    paths: dict = field(default_factory=dict)

    @property
    def is_refused(self):
        return bool(self.issues) and any(issue.level == "error" for issue in self.issues)

    def add_issue(self, key, path="", **params):
        self.issues.append(Issue(key, path, params))


def read_entry(raw):
    """Judge one decoded entry of a file. Returns an Entry; never raises for odd input."""
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


def is_connection(raw):
    """Whether an entry is a Connection around an auth object, rather than an auth object."""
    return raw.get("auth") is not None or any(
        raw.get(spelling) is not None for spelling in ("integration_type", "integrationType")
    )


def _read_connection(entry, raw):
    _read_object(entry, raw, CONNECTION_KEYS, "", entry.connection)
    auth = raw.get("auth")
    if auth is None:
        return
    if not isinstance(auth, dict):
        entry.add_issue("wrong_type.object", "auth")
        return
    _check_conflicts(entry, auth, "auth")
    entry.auth = {}
    _read_object(entry, auth, NESTED_AUTH_KEYS, "auth", entry.auth)


def _read_object(entry, raw, keys, prefix, known):
    """Sort the keys of one object into known fields and extras."""
    spelled, extra = {}, {}
    for key, value in raw.items():
        if value is None:
            continue
        if key not in keys:
            extra[key] = value
            continue
        name, column, path, read = keys[key]
        if name not in spelled:
            spelled[name] = key
            entry.paths[name] = path
            value = read(entry, value, path)
            if value is not None:
                known[column] = value
        elif not strictly_equal(raw[spelled[name]], value):
            entry.add_issue("conflicting_keys.spellings", path)
    if extra:
        _read_extra(entry, extra, prefix)


def _read_extra(entry, extra, prefix):
    target = "auth_extra" if prefix or entry.auth is not None else "connection_extra"
    if extra.get(MASK) is True:
        entry.paths[target] = f"{prefix}.{MASK}".lstrip(".")
        if len(extra) > 1:
            entry.add_issue("wrong_type.mask_not_alone", entry.paths[target])
        setattr(entry, target, MASKED)
        return
    if len(extra) > MAX_KEYS:
        entry.add_issue("too_many_keys", prefix)
        return
    faults = 0
    for position, (key, value) in enumerate(extra.items()):
        path = f"{prefix}.{printable(key, 100)}" if prefix else printable(key, 100)
        if not (check_value(entry, key, path) and check_value(entry, value, path)):
            faults += 1
            if faults == MAX_REPORTED_KEYS:
                return
        if position < MAX_REPORTED_KEYS:
            entry.add_issue("unknown_key", path)
    if len(extra) > MAX_REPORTED_KEYS:
        more = len(extra) - MAX_REPORTED_KEYS
        entry.add_issue("unknown_key.more", prefix, count=more)
    getattr(entry, target).update(extra)


def _check_conflicts(entry, raw, path):
    for name in getattr(raw, "names", [])[:MAX_REPORTED_KEYS]:
        name = printable(name, 100)
        entry.add_issue("conflicting_keys", f"{path}.{name}" if path else name)


def _key_table(fields, prefix=""):
    """How each key is read, in both spellings: `(name, column, path, reader)`.

    `fields` maps names to `(column, kind)`.
    """
    return {
        spelling: (name, column, prefix + spelling, READERS[kind])
        for name, (column, kind) in fields.items()
        for spelling in (name, to_camel_case(name))
    }


AUTH_KEYS = _key_table({name: (name, kind) for name, kind in AUTH_FIELDS.items()})
NESTED_AUTH_KEYS = _key_table({name: (name, kind) for name, kind in AUTH_FIELDS.items()}, "auth.")
CONNECTION_KEYS = _key_table({**CONNECTION_FIELDS, "auth": ("auth", "auth")})
