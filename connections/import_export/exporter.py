"""Exports: the JSON of a queryset as a stream of text, some records at a time."""

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

from django.db.models import QuerySet
from django.http import HttpRequest

from connections.audit import log
from connections.encryption.fields import IsToken, Sealed
from connections.encryption.keyring import SealError
from connections.import_export import rows
from connections.json_format import schema, serialize
from connections.json_format.issues import MESSAGES
from connections.lib import database
from connections.lib import processes as lib_processes
from connections.lib.text import printable
from connections.models import SEALED_COLUMNS, ConnectionAuth

SHAPES = ("auth", "connection")
NAMINGS = ("camel", "snake")
FORMATS = ("json", "ndjson")
SECRET_MODES = ("include", "mask", "omit")
BATCH_SIZE = 500  # records that are read together and become one piece of text
ARRAY_FIELDS = {"emails", "other_auth_info"}


@dataclass(frozen=True)
class ExportOptions:
    """What to write (docs/json-format.md). `secrets`: include, mask or omit sealed values."""

    shape: str = "auth"
    naming: str = "camel"
    format: str = "json"
    secrets: str = "include"
    ascii: bool = False  # escape all but ASCII: for terminals


@dataclass
class ExportTally:
    """How many records an export wrote, and which it left out because a value does not open."""

    exported: int = 0
    # The connection id (or else the id) and the names of the fields.
    left_out: list[tuple[str, list[str]]] = field(default_factory=list)


def stream(
    queryset: QuerySet,
    options: ExportOptions,
    tally: ExportTally,
    jobs: int = 1,
    request: HttpRequest | None = None,
) -> Iterator[str]:
    """The text of the export in pieces, in the order of the ids; `tally` is filled on the way.

    A record with a value that does not open is left out, unless secrets are omitted. `jobs`
    processes read and open the records and make the text. The export is audited at once, before
    anything is opened, as one of the user of `request`.
    """
    count = queryset.count()
    reason = (options.shape, options.naming, options.format, f"secrets: {options.secrets}")
    log.log_event("export", request=request, count=count, reason=", ".join(reason))
    return _iter_text(queryset, options, tally, lib_processes.worker_count(jobs, count))


def _iter_text(queryset, options, tally, processes):
    opening, separator, closing = ("[\n", ",\n", "\n]\n")
    if options.format == "ndjson":
        opening, separator, closing = ("", "\n", "\n")
    writer = _RangeWriter(queryset, options, separator)
    with lib_processes.workers(writer.write, processes) as in_order:
        for text, count, unreadable in in_order(database.id_ranges(queryset, BATCH_SIZE)):
            for pk, name, fields in unreadable:
                tally.left_out.append((name, fields))
                ConnectionAuth.all_objects.get(pk=pk).mark_unreadable(fields)
            if count:
                yield (separator if tally.exported else opening) + text
                tally.exported += count
    if tally.exported:
        yield closing
    elif options.format == "json":
        yield "[]\n"


class _RangeWriter:
    """Makes the JSON of a range of records. Opens values; stores nothing."""

    def __init__(self, queryset, options, separator):
        self.options, self.separator = options, separator
        self.sealed = () if options.secrets == "omit" else SEALED_COLUMNS
        # Of what is always masked in the same way.
        masked = {*schema.SEALED_FIELDS} - ARRAY_FIELDS if options.secrets == "mask" else ()
        self.masks = {name: serialize.mask_value(name, ()) for name in masked}
        plain = (*schema.CONNECTION_COLUMNS, *schema.PLAIN_FIELDS)
        self.columns = ("id", "unreadable_fields", *plain, *self.sealed)
        # A fully masked column is not read: only whether it is set.
        selected = [IsToken(name) if name in self.masks else name for name in self.columns]
        self.queryset = queryset.values_list(*selected)
        self.converters = rows.from_db_converters(self.columns)
        self.encode = json.JSONEncoder(
            ensure_ascii=options.ascii, allow_nan=False, separators=(", ", ": ")
        ).encode

    def write(self, ids):
        """The text of a range of ids, how many records are in it, and which do not open.

        The latter as a list of `(id, name, names of fields)`.
        """
        texts, unreadable = [], []
        for row in database.fetch_raw(database.filter_id_range(self.queryset, *ids)):
            values = self._values(row)
            sealed, closed = self._open(values)
            if closed:
                name = values["connection_id"] or str(values["id"])
                unreadable.append((values["id"], name, closed))
            elif written := self._serialize(values, sealed):
                texts.append(self.encode(written))
            elif self.options.secrets == "omit":
                texts.append("{}")
        return self.separator.join(texts), len(texts), unreadable

    def _values(self, row):
        row = list(row)
        for position, convert in self.converters:
            if row[position] is not None:
                row[position] = convert(row[position])
        return dict(zip(self.columns, row, strict=True))

    def _open(self, values):
        """The sealed values that are set, opened or masked, and the names of the others.

        A fully masked value is not opened: it counts as one that does not open where it is not a
        token, or is known not to open.
        """
        opened, closed = {}, []
        for name in self.sealed:
            if values[name] is None:
                continue
            if name in self.masks:
                opened[name] = self.masks[name]
                if not values[name] or name in (values["unreadable_fields"] or ()):
                    closed.append(name)
                continue
            try:
                is_json = rows.SEALED_MODEL_FIELDS[name].is_json
                opened[name] = Sealed(values[name], name, str(values["id"]), is_json).reveal()
            except SealError:
                closed.append(name)
        return opened, closed

    def _serialize(self, values, sealed):
        """The dict to write; empty where an auth object is asked for and the record has none."""
        extra = sealed.pop("extra", {})
        if self.options.secrets == "mask":
            for name in ARRAY_FIELDS & sealed.keys():
                sealed[name] = serialize.mask_value(name, sealed[name])
            extra = {part: {serialize.MASK: True} for part in extra}
        naming = self.options.naming
        values.update(sealed)
        written = serialize.auth_json(values, extra.get("auth"), naming)
        if self.options.shape == "auth":
            return written
        return serialize.connection_json(values, written, extra.get("connection"), naming)


def left_out_messages(tally: ExportTally) -> list[str]:
    """A line of text for each record that was left out, for standard error: it holds no value."""
    return [
        f"{printable(name)}: {MESSAGES['unreadable']} ({', '.join(fields)})"
        for name, fields in tally.left_out
    ]


@contextmanager
def atomic_file(path: str, overwrite: bool) -> Iterator[TextIO]:
    """A text file, to be written, that appears only when it is complete, with mode 0600.

    Raises FileExistsError where it exists and is not to be overwritten.
    """
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.lexists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "It is not a regular file", path)
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(path)
    partial = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}.part")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(partial, path)
        else:
            os.link(partial, path)  # raises FileExistsError where the name is taken by now
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)
