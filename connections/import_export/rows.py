"""Records as database rows, read and written without instances of the model.

54 columns through the ORM cost several times what sealing does. Imports, exports and key rotations
use these rows; everything else goes through the model.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

from django.db import connection, models

from connections.encryption.digests import fingerprints_of
from connections.encryption.fields import SealedTextField
from connections.lib import database
from connections.models import ConnectionAuth, SecretFingerprint

TABLE = ConnectionAuth._meta.db_table
FINGERPRINT_TABLE = SecretFingerprint._meta.db_table
FIELDS = ConnectionAuth._meta.concrete_fields
ATTNAMES = [field.attname for field in FIELDS]
SEALED_MODEL_FIELDS = {field.name: field for field in FIELDS if isinstance(field, SealedTextField)}


def seal_auth(
    record_id: uuid.UUID, auth: Mapping[str, Any], seal: Callable[[str, str], str]
) -> dict[str, str]:
    """The tokens of the sealed columns of an opened auth object (with `extra`), by name.

    `seal` is keyring.seal() or that of a Ring.
    """
    record = str(record_id)
    return {
        name: seal(SEALED_MODEL_FIELDS[name].encode(value), f"{record}/{name}")
        for name, value in auth.items()
        if name in SEALED_MODEL_FIELDS
    }


def _to_db_converters():
    """Functions that convert a value to what the driver takes, by the class of the field."""
    kinds = {models.JSONField: _dump_json}
    if database.is_sqlite():
        # As the backend's adapt_datetimefield_value: naive, in UTC.
        kinds[models.DateTimeField] = _utc_text
        kinds[models.UUIDField] = lambda value: value.hex
        kinds[models.FloatField] = float
    return kinds


class RowMaker:
    """Makes rows to insert; `common` maps attributes to the values that all rows have."""

    def __init__(self, common: Mapping[str, Any]) -> None:
        kinds = _to_db_converters()
        # By attribute: the position in the row, and the converter (None: as it is).
        self.positions = {f.attname: (n, kinds.get(type(f))) for n, f in enumerate(FIELDS)}
        self.common = [field.get_default() for field in FIELDS]
        self.common = self.row(common)

    def row(self, *parts: Mapping[str, Any]) -> tuple[Any, ...]:
        """The row of a record, from mappings of attributes to Python values.

        An attribute that none of them has (or has as None) gets the common value, or its default.
        """
        row, positions = list(self.common), self.positions
        for part in parts:
            for name, value in part.items():
                if value is not None:
                    position, convert = positions[name]
                    row[position] = convert(value) if convert else value
        return tuple(row)


def fingerprint_rows(
    record_id: uuid.UUID, auth: Mapping[str, Any], key: bytes
) -> list[tuple[Any, str, int]]:
    """The rows to insert for the secrets of an opened auth object (with `extra`)."""
    pk = record_id.hex if database.is_sqlite() else record_id
    return [(pk, field, number) for field, number in fingerprints_of(auth, key)]


def from_db_converters(names: Iterable[str]) -> list[tuple[int, Callable[[Any], Any]]]:
    """Functions that convert what the driver returns to what the model would have.

    Pairs of a position in `names` (of attributes) and a function, for those that need one. Sealed
    columns stay tokens.
    """
    kinds = {models.JSONField: _load_json}
    if database.is_sqlite():
        kinds[models.DateTimeField] = _as_utc
        kinds[models.UUIDField] = uuid.UUID
    needed = {field.attname: kinds[type(field)] for field in FIELDS if type(field) in kinds}
    return [(n, needed[name]) for n, name in enumerate(names) if name in needed]


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc)


@lru_cache(maxsize=1024)
def _load_json(text):
    return json.loads(text)


@lru_cache(maxsize=64)  # a deadline is often one of the dates of the file
def _utc_text(moment):
    if moment.tzinfo is not timezone.utc:
        moment = moment.astimezone(timezone.utc)
    return moment.isoformat(" ")[:-6]


def _dump_json(value):
    return json.dumps(value) if isinstance(value, dict) else _dump_json_list(tuple(value))


@lru_cache(maxsize=1024)  # the same few categories and permissions, over and over
def _dump_json_list(names):
    return json.dumps(names)


COLUMNS = [f'"{field.column}"' for field in FIELDS]


def insert(rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows of RowMaker. Raises IntegrityError, and inserts none, where one exists.

    They are inserted in one order, whatever that of the file: two imports of the same records
    wait for each other and don't deadlock.
    """
    keys = [ATTNAMES.index(name) for name in ("connection_id", "identity_digest")]
    rows = sorted(rows, key=lambda values: [values[position] or "" for position in keys])
    # A NULL costs the driver half a microsecond, and half of the columns are NULL.
    columns = enumerate(zip(*rows, strict=True))
    used = [n for n, column in columns if any(value is not None for value in column)]
    _insert(TABLE, [COLUMNS[n] for n in used], map(itemgetter(*used), rows))


def insert_fingerprints(rows: Iterable[tuple[Any, str, int]]) -> None:
    """Insert the fingerprints of many records, in the order of their index."""
    rows = sorted(rows, key=lambda values: values[2])
    _insert(FINGERPRINT_TABLE, ("record_id", "field", "number"), rows)


def update(records: Iterable[ConnectionAuth], names: Iterable[str]) -> None:
    """Write these attributes of stored records, the same for all, as they are on the instances.

    The caller has locked the records, and has set their derived columns and versions.
    """
    names = {*names}
    fields = [field for field in FIELDS if field.attname in names]
    kinds = {
        **_to_db_converters(),
        **dict.fromkeys(map(type, SEALED_MODEL_FIELDS.values()), attrgetter("token")),
    }
    getters = [
        (field.attname, kinds.get(type(field), _as_it_is))
        for field in (*fields, ConnectionAuth._meta.pk)
    ]
    rows = (
        [
            None if (value := getattr(record, name)) is None else convert(value)
            for name, convert in getters
        ]
        for record in records
    )
    sets = ", ".join(f'"{field.column}" = %s' for field in fields)
    with connection.cursor() as cursor:
        cursor.executemany(f'UPDATE "{TABLE}" SET {sets} WHERE "id" = %s', rows)  # noqa: S608


def _as_it_is(value):
    return value


def _insert(table, columns, rows):
    into = f'"{table}" ({", ".join(columns)})'  # our own names
    with connection.cursor() as cursor:
        if not database.is_sqlite():
            copy_in = cursor.copy(f"COPY {into} FROM STDIN")
            with connection.wrap_database_errors, copy_in as copy:
                for values in rows:
                    copy.write_row(values)
        else:
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {into} VALUES ({marks})", rows)  # noqa: S608
