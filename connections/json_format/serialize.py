"""Auth objects and Connections as JSON: as the API writes them, canonical, and masked."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from connections.json_format.schema import AUTH_FIELDS, CONNECTION_FIELDS, to_camel_case

MASK = "********"


def iso(moment: datetime) -> str:
    """Write an aware datetime as the API does: `2027-01-01T00:00:00.000Z`."""
    if moment.tzinfo is not timezone.utc:  # most are in UTC
        moment = moment.astimezone(timezone.utc)
    return moment.isoformat("T", "milliseconds")[:-6] + "Z"


def normalize_number(value: float) -> float:
    """Turn 3600.0 into 3600; 3599.9 stays."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def canonical_json(value: Any) -> bytes:
    """The canonical JSON of a value: keys sorted, dates cut to the millisecond."""
    return _encode(value).encode()


def _canonical_default(value: Any) -> str:
    return iso(value) if isinstance(value, datetime) else repr(value)


_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), default=_canonical_default
).encode


def equal_when_serialized(one: Any, other: Any) -> bool:
    """Whether two values have the same canonical JSON.

    Dates are compared to the millisecond; 1, 1.0 and true are three different values.
    """
    if one is other or (one == other and type(one) is type(other) in (str, datetime)):
        return True
    return canonical_json(one) == canonical_json(other)


def auth_json(
    auth: Mapping[str, Any], extra: Mapping[str, Any] | None = None, naming: str = "camel"
) -> dict[str, Any]:
    """The JSON of an auth object (names of AUTH_FIELDS to opened values), in the API's order.

    `extra` are its unknown keys; `naming` is "camel" or "snake".
    """
    return {**_serialize(auth, AUTH_OUTPUT_FIELDS[naming]), **(extra or {})}


def connection_json(
    columns: Mapping[str, Any],
    auth: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None = None,
    naming: str = "camel",
) -> dict[str, Any]:
    """The JSON of a Connection (columns to values) around `auth`, which auth_json() made."""
    written = _serialize(columns, CONNECTION_OUTPUT_FIELDS[naming])
    if auth or "integration_id" not in columns or columns["integration_id"] is None:
        written["auth"] = auth or {}  # without an integration, `auth` makes it a Connection
    return {**written, **(extra or {})}


# How a field is written: the column or name of its value, its key, and a converter.
OutputField = tuple[str, str, Callable[[Any], Any] | None]


def _serialize(values: Mapping[str, Any], output_fields: list[OutputField]) -> dict[str, Any]:
    return {
        key: convert(value) if convert else value
        for column, key, convert in output_fields
        if (value := values.get(column)) is not None
    }


CONVERTERS: dict[str, Callable[[Any], Any]] = {"date": iso, "number": normalize_number}


def _output_fields(fields: Mapping[str, tuple[str, str]]) -> dict[str, list[OutputField]]:
    """How to write `fields` (name -> (column, kind)), by naming."""
    snake = [(column, name, CONVERTERS.get(kind)) for name, (column, kind) in fields.items()]
    camel = [(column, to_camel_case(name), convert) for column, name, convert in snake]
    return {"camel": camel, "snake": snake}


AUTH_OUTPUT_FIELDS = _output_fields({name: (name, kind) for name, kind in AUTH_FIELDS.items()})
CONNECTION_OUTPUT_FIELDS = _output_fields(CONNECTION_FIELDS)


def mask_value(name: str, value: Any) -> Any:
    """What stands for a sealed value in a masked export. An array keeps its length."""
    kind = AUTH_FIELDS.get(name, "object")
    if kind in ("emails", "strings"):
        return [MASK] * len(value)
    return {MASK: True} if kind == "object" else MASK
