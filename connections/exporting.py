"""Exports: a queryset in, a stream of the API's JSON out, one record at a time."""

import errno
import json
import os
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from . import payload
from .issues import COMMAND_ERRORS, printable

SHAPES = ("auth", "connection")
NAMINGS = ("camel", "snake")
FORMATS = ("json", "ndjson")
SECRETS = ("include", "mask", "omit")
CHUNK = 1000


@dataclass(frozen=True)
class Options:
    """What to write (docs/json-format.md). `secrets`: include, mask or omit sealed values."""

    shape: str = "auth"
    naming: str = "camel"
    format: str = "json"
    secrets: str = "include"
    ascii: bool = False  # escape all but ASCII: for terminals


@dataclass
class Tally:
    """Counts what an export wrote, and names the records that it had to leave out."""

    exported: int = 0
    left_out: list = field(default_factory=list)  # (connection id or id, field names)


def stream(queryset, options, tally):
    """Yield the text of the export, piece by piece; `tally` is filled on the way.

    A record with a value that does not open is left out (unless secrets are omitted).
    """
    opening, separator, closing = ("[\n", ",\n", "\n]\n")
    if options.format == "ndjson":
        opening, separator, closing = ("", "\n", "\n")
    is_first = True
    for record in queryset.order_by("id").iterator(chunk_size=CHUNK):
        written = as_json(record, options, tally)
        if written is None:
            continue
        text = json.dumps(
            written, ensure_ascii=options.ascii, allow_nan=False, separators=(", ", ": ")
        )
        yield (opening if is_first else separator) + text
        is_first = False
        tally.exported += 1
    if not is_first:
        yield closing
    elif options.format == "json":
        yield "[]\n"


def as_json(record, options, tally):
    """The dict to write for one record; None where a value of it does not open, or where an
    auth object is asked for and the record has none.
    """
    if options.secrets == "omit":
        auth = record.plain_auth()
    else:
        auth, unreadable = record.open_auth()
        if unreadable:
            record.note_unreadable(unreadable)
            tally.left_out.append((record.connection_id or str(record.pk), unreadable))
            return None
    extra = auth.pop("extra", {})
    if options.secrets == "mask":
        auth = {
            name: payload.mask(name, value) if name in payload.SEALED_FIELDS else value
            for name, value in auth.items()
        }
        extra = {part: {payload.MASK: True} for part in extra}
    written = payload.auth_json(auth, extra.get("auth"), options.naming)
    if options.shape == "auth":
        return written if written or options.secrets == "omit" else None
    return payload.connection_json(vars(record), written, extra.get("connection"), options.naming)


def left_out_message(tally):
    """One sentence a record, for stderr or a page; names places, no values."""
    return [
        f"{printable(name)}: {COMMAND_ERRORS['unreadable']} ({', '.join(fields)})"
        for name, fields in tally.left_out
    ]


@contextmanager
def whole_file(path, overwrite):
    """A text file that appears, 0600, only when it is complete. Raises FileExistsError."""
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.lexists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "It is no regular file", path)
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
            os.link(partial, path)  # fails where the name was taken meanwhile
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)
