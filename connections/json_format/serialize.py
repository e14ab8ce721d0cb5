"""Pure: auth objects and Connections as JSON: as the API writes it, canonical, and masked."""

import json
from datetime import datetime

from connections.json_format.dates import iso
from connections.json_format.schema import AUTH_FIELDS, CONNECTION_FIELDS, to_camel_case

DIRECTLY_COMPARABLE_TYPES = (
    str,
    datetime,
)  # where equal values of one type are equal as they are written


MASK = "********"


def normalize_number(value):
    """3600.0 -> 3600; 3599.9 stays."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def canonical_json(value):
    """The canonical JSON (bytes) of any value here: sorted keys, dates to the millisecond."""
    return _encode(value).encode()


def _canonical_default(value):
    return iso(value) if isinstance(value, datetime) else repr(value)


_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), default=_canonical_default
).encode


def strictly_equal(one, other):
    """Equality that tells 1, 1.0 and true apart."""
    return one == other and canonical_json(one) == canonical_json(other)


def auth_json(auth, extra=None, naming="camel"):
    """An auth object (wire names to plain values) as the dict to write, in the API's order."""
    return _serialize(auth, AUTH_OUTPUT_FIELDS[naming], extra)


def connection_json(columns, auth, extra=None, naming="camel"):
    """A Connection around `auth` (what auth_json made, or None) as the dict to write."""
    written = _serialize(columns, CONNECTION_OUTPUT_FIELDS[naming], {})
    if auth or "integration_id" not in columns or columns["integration_id"] is None:
        written["auth"] = auth or {}  # an `auth` or an integration makes it a Connection
    return {**written, **(extra or {})}


def _serialize(values, table, extra):
    written = {
        spelled: convert(value) if convert else value
        for column, spelled, convert in table
        if (value := values.get(column)) is not None
    }
    return {**written, **extra} if extra else written


def _output_fields(columns):
    """How to write `(name, column, kind)`, by naming: lists of (column, spelling, converter)."""
    converters = {"date": iso, "number": normalize_number}
    return {
        naming: [(column, spell(name), converters.get(kind)) for name, column, kind in columns]
        for naming, spell in (("camel", to_camel_case), ("snake", str))
    }


AUTH_OUTPUT_FIELDS = _output_fields([(name, name, kind) for name, kind in AUTH_FIELDS.items()])
CONNECTION_OUTPUT_FIELDS = _output_fields(
    [(name, *rest) for name, rest in CONNECTION_FIELDS.items()]
)


def mask_value(name, value):
    """What stands for a sealed value in a masked export: arrays keep their length."""
    kind = AUTH_FIELDS.get(name, "object")
    if kind in ("emails", "strings"):
        return [MASK] * len(value)
    return {MASK: True} if kind == "object" else MASK


def equal_when_serialized(one, other):
    """Whether two values are equal once written: dates to the millisecond, 1 and true apart."""
    if one is other or (one == other and type(one) is type(other) in DIRECTLY_COMPARABLE_TYPES):
        return True
    return canonical_json(one) == canonical_json(other)
