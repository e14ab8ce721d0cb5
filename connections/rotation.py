"""From old keys to the newest: every sealed value is opened where it is and sealed anew.

Any moment may be the last: each value is under one of the keys at all times, and what is done is
found done by the next run. Nothing that somebody else writes meanwhile is overwritten, since a
row is only written where it still holds the tokens that were read.
"""

from dataclasses import dataclass, field

from django.apps import apps
from django.db import connection, transaction

from . import keyring, parallel
from .fields import SealedTextField, canonical_id
from .keyring import SealError
from .models import ImportChunk

CHUNK = 500  # rows that are read and sealed at a time
MOST_NAMED = 1000  # unreadable values that are named


@dataclass
class Result:
    """Counts of rows with sealed values; `bad` names values that do not open."""

    total: int = 0
    rotated: int = 0
    current: int = 0
    unreadable: int = 0
    bad: list = field(default_factory=list)  # (model, id, field)


@dataclass
class Leftovers:
    """What still needs an old key: rows with such values, our own keys, chunks of uploads."""

    rows: int = 0
    stored_keys: int = 0
    uploads: int = 0
    unreadable: int = 0  # rows with values that no key of ours opens

    @property
    def needs_old(self):
        return bool(self.rows or self.stored_keys or self.uploads)


def sealed_models():
    """The models with sealed fields, and those fields' names: also those added later."""
    found = []
    for model in apps.get_models():
        names = [f.name for f in model._meta.concrete_fields if isinstance(f, SealedTextField)]
        if names:
            found.append((model, names))
    return found


def rotate(jobs=1, dry_run=False, on_progress=None):
    """Seal everything under the newest key that is not. Returns a Result.

    `on_progress(rows)` is called with the number of rows done.
    """
    result = Result()
    for model, names in sealed_models():
        resealer = _Resealer(model, names)
        processes = parallel.processes(jobs, model._base_manager.count()) if jobs > 1 else 1
        with parallel.workers(resealer, processes) as in_order:
            for rows in in_order(_ranges(model)):
                _take(result, resealer, rows, dry_run)
                if on_progress:
                    on_progress(result.total)
    if not dry_run:
        keyring.reseal_stored_keys()  # last: what they protect is under the newest key by now
    return result


def leftovers(jobs=1):
    """What still needs an old key, as Leftovers. Changes nothing."""
    found = rotate(jobs, dry_run=True)
    newest = keyring.key_ids()[0]
    chunks = ImportChunk.objects.values_list("token", flat=True).iterator(chunk_size=10)
    return Leftovers(
        rows=found.rotated,
        stored_keys=keyring.stored_keys_under_old(),
        uploads=sum(keyring.key_of(bytes(token)) != newest for token in chunks),
        unreadable=found.unreadable,
    )


@dataclass
class _Row:
    """A row with sealed values, and what it needs."""

    pk: object
    tokens: dict  # field -> (token that was read, the same value under the newest key)
    bad: list  # fields that don't open
    under: str  # for its column `sealed_under`
    is_noted: bool  # whether that column says so already


def _take(result, resealer, rows, dry_run):
    result.total += len(rows)
    if not dry_run:
        waiting = rows
        while waiting:  # until nobody was faster
            with transaction.atomic():
                lost = [row.pk for row in waiting if not resealer.write(row)]
            waiting = resealer.read(resealer.model._base_manager.filter(pk__in=lost))
    for row in rows:
        if row.bad:
            result.unreadable += 1
            result.bad += [(resealer.model._meta.label, row.pk, name) for name in row.bad]
            del result.bad[MOST_NAMED:]
            if not dry_run and hasattr(resealer.model, "note_unreadable"):
                resealer.model._base_manager.get(pk=row.pk).note_unreadable(row.bad)
        elif row.tokens:
            result.rotated += 1
        else:
            result.current += 1


def _ranges(model):
    ids = model._base_manager.order_by("pk").values_list("pk", flat=True)
    after, last = None, ids.last()
    while after != last:
        rest = ids if after is None else ids.filter(pk__gt=after)
        until = rest.filter(pk__lte=last)[CHUNK - 1 : CHUNK].first() or last
        yield after, until
        after = until


class _Resealer:
    """Reads rows of a model and seals anew what needs it; writes one where nobody was faster."""

    def __init__(self, model, names):
        self.model, self.names = model, names
        self.newest = keyring.key_ids()[0]
        fields = model._meta.concrete_fields
        self.notes_key = any(field.name == "sealed_under" for field in fields)

    def __call__(self, ids):
        after, until = ids
        rows = self.model._base_manager.filter(pk__lte=until)
        return self.read(rows if after is None else rows.filter(pk__gt=after))

    def read(self, rows):
        """The _Rows of a queryset; those without a sealed value are left out."""
        columns = ("pk", *self.names, *(["sealed_under"] if self.notes_key else []))
        found = []
        for pk, *values in rows.order_by("pk").values_list(*columns):
            sealed = {
                n: v.token for n, v in zip(self.names, values, strict=False) if v is not None
            }
            if sealed:
                found.append(self._row(pk, sealed, values[-1]))
        return found

    def _row(self, pk, sealed, noted):
        tokens, bad, made = {}, [], []
        for name, token in sealed.items():
            made.append(token)
            if keyring.key_of(token) == self.newest:
                continue
            try:
                new = keyring.reseal(token, f"{canonical_id(pk)}/{name}")
            except SealError:
                bad.append(name)
            else:
                tokens[name] = (token, new)
                made[-1] = new
        under = keyring.oldest_key(made)
        return _Row(pk, tokens, bad, under, not self.notes_key or noted == under)

    def write(self, row):
        """Compare and set: write where the row still holds what was read. False where not.

        No version is counted: what the record says has not changed.
        """
        if not row.tokens and row.is_noted:
            return True
        meta, quote = self.model._meta, connection.ops.quote_name
        new = {meta.get_field(name).column: pair[1] for name, pair in row.tokens.items()}
        if self.notes_key:
            new["sealed_under"] = row.under
        old = {meta.get_field(name).column: pair[0] for name, pair in row.tokens.items()}
        old[meta.pk.column] = meta.pk.get_db_prep_value(row.pk, connection)
        sets = ", ".join(f"{quote(column)} = %s" for column in new)
        wheres = " AND ".join(f"{quote(column)} = %s" for column in old)
        table = quote(meta.db_table)
        with connection.cursor() as cursor:
            statement = f"UPDATE {table} SET {sets} WHERE {wheres}"  # noqa: S608 (own names)
            cursor.execute(statement, [*new.values(), *old.values()])
            return cursor.rowcount == 1
