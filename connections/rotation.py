"""From old keys to the newest: every sealed value is opened where it is and sealed anew.

Any moment may be the last: each value is under one of the keys at all times, and what is done is
found done by the next run. Nothing that somebody else writes meanwhile is overwritten, since a
row is only written where it still holds the tokens that were read.
"""

from dataclasses import dataclass, field

from django.apps import apps
from django.db import connection, transaction

from . import audit, factors, keyring, parallel, replacing, runs
from .fields import SealedTextField, canonical_id
from .keyring import SealError
from .models import ImportChunk, ReplacedAuth, StoredKey

CHUNK = 500  # rows that are read and sealed at a time
MOST_NAMED = 1000  # unreadable values that are named


@dataclass
class Result:
    """Counts of rows with sealed values, pieces of uploads too; `bad` names what does not open."""

    total: int = 0
    rotated: int = 0
    current: int = 0
    unreadable: int = 0
    under_old: int = 0  # rows that needed an old key, those with an unreadable value included
    bad: list = field(default_factory=list)  # (model, id, field)
    unnamed: int = 0  # unreadable values beyond MOST_NAMED

    def name(self, model, pk, names):
        """Count a row with values that do not open, and name them."""
        self.unreadable += 1
        self.bad += [(model._meta.label, pk, name) for name in names]
        self.unnamed += len(self.bad[MOST_NAMED:])
        del self.bad[MOST_NAMED:]


@dataclass
class Leftovers:
    """What still needs an old key: rows with such values, our own keys, chunks of uploads."""

    rows: int = 0
    stored_keys: int = 0
    uploads: int = 0
    unreadable: int = 0  # rows, own keys and chunks with values that do not open

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


def count_rows():
    """How many rows a rotation reads."""
    return sum(m._base_manager.count() for m in (ImportChunk, *dict(sealed_models())))


def rotate(jobs=1, dry_run=False, on_progress=None):
    """Seal everything under the newest key that is not. Returns a Result.

    `on_progress(rows)` is called with how many of count_rows() were read since the last call.
    """
    result = Result()
    _each_row(result, jobs, dry_run, on_progress)
    _each_factor(result, dry_run)
    _each_chunk(result, dry_run, on_progress)
    # Last: what our own keys protect is under the newest key by now. All of them and the entry of
    # the audit log are one transaction, so that a kill leaves them all under one key.
    with transaction.atomic():
        _, bad = keyring.reseal_stored_keys(dry_run)
        _count_bad_keys(result, bad)
        if not dry_run and "audit" not in bad:
            outcome = "failed" if result.unreadable else "done"
            audit.record("rotate", count=result.under_old, result=outcome)
    return result


def leftovers(jobs=1):
    """What still needs an old key, as Leftovers. Changes nothing."""
    rows, chunks = Result(), Result()
    _each_row(rows, jobs, dry_run=True)
    _each_factor(rows, dry_run=True)
    _each_chunk(chunks, dry_run=True)
    old_keys, bad_keys = keyring.reseal_stored_keys(dry_run=True)
    return Leftovers(
        rows=rows.under_old,
        stored_keys=len(old_keys),
        uploads=chunks.under_old,
        unreadable=rows.unreadable + chunks.unreadable + len(bad_keys),
    )


def _count_bad_keys(result, names):
    for name in names:
        result.total += 1
        result.name(StoredKey, name, ["token"])


def _each_row(result, jobs, dry_run, on_progress=None):
    for model, names in sealed_models():
        resealer = _Resealer(model, names)
        processes = parallel.processes(jobs, model._base_manager.count()) if jobs > 1 else 1
        with parallel.workers(resealer, processes) as in_order:
            for read, rows in in_order(parallel.id_ranges(model._base_manager.all(), CHUNK)):
                for row in rows if dry_run else resealer.store(rows):
                    _count(result, model, row)
                if on_progress:
                    on_progress(read)


def _each_chunk(result, dry_run, on_progress=None):
    """Pieces of uploads that wait: 1.4 MB each, so one at a time."""
    chunks = ImportChunk.objects
    newest = keyring.key_ids()[0]
    for pk in list(chunks.order_by("pk").values_list("pk", flat=True)):
        if on_progress:
            on_progress(1)
        if not (chunk := chunks.select_related("run").filter(pk=pk).first()):
            continue  # imported meanwhile, or thrown away
        result.total += 1
        if keyring.key_of(bytes(chunk.token)) == newest:
            result.current += 1
            continue
        place = runs.chunk_place(chunk.run, chunk.position)
        try:
            token = keyring.seal_bytes(keyring.unseal_bytes(chunk.token, place), place)
        except SealError:
            result.name(ImportChunk, pk, ["token"])
            continue
        result.rotated += 1
        result.under_old += 1
        if not dry_run:
            chunks.filter(pk=pk).update(token=token)  # nobody else ever changes one


def _each_factor(result, dry_run):
    """Second factors: few rows, and each has its secret inside JSON, where no sealed field is."""
    newest = keyring.key_ids()[0]
    with transaction.atomic():
        for row in factors.with_secret().select_for_update():
            name = factors.SEALED[row.type]
            result.total += 1
            if keyring.key_of(row.data[name]) == newest:
                result.current += 1
                continue
            try:
                row.data[name] = keyring.reseal(row.data[name], factors.BINDING)
            except SealError:
                result.name(type(row), row.pk, [name])
                continue
            result.rotated += 1
            result.under_old += 1
            if not dry_run:
                row.save(update_fields=["data"])


def _count(result, model, row):
    result.total += 1
    result.under_old += bool(row.new)
    if row.bad:
        result.name(model, row.pk, row.bad)
    elif row.new:
        result.rotated += 1
    else:
        result.current += 1


@dataclass
class _Row:
    """A row with sealed values, and what it needs."""

    pk: object
    read: dict  # field -> the token that was read, or None
    new: dict  # field -> the same value under the newest key, where it was under another
    bad: list  # fields that don't open, or `field.name` of a value inside
    under: str  # for its column `sealed_under`
    is_noted: bool  # whether that column says so already


class _Resealer:
    """Reads rows of a model and seals anew what needs it; writes one where nobody was faster."""

    def __init__(self, model, names):
        self.model, self.names = model, names
        self.newest = keyring.key_ids()[0]
        fields = model._meta.concrete_fields
        self.notes_key = any(field.name == "sealed_under" for field in fields)
        # A former version holds, inside, what did not open when it was replaced.
        self.has_closed = model is ReplacedAuth
        self.beside = ["sealed_under"] * self.notes_key + ["record_id"] * self.has_closed

    def __call__(self, ids):
        """For a range of ids: how many rows it has, and the _Rows among them."""
        return self._read(parallel.in_range(self.model._base_manager.all(), *ids))

    def _read(self, rows):
        columns = ("pk", *self.names, *self.beside)
        count, found = 0, []
        for pk, *values in rows.values_list(*columns):
            count += 1
            sealed = values[: len(self.names)]
            if any(sealed):
                tokens = [value.token if value is not None else None for value in sealed]
                found.append(self._row(pk, dict(zip(self.names, tokens, strict=True)), values[-1]))
        return count, found

    def _row(self, pk, read, beside):
        new, bad, under = {}, [], set()
        for name, token in read.items():
            if token is None:
                continue
            made_by = keyring.key_of(token)
            place = f"{canonical_id(pk)}/{name}"
            try:
                if self.has_closed:
                    token, closed = self._reseal_former(token, place, made_by, beside)
                    bad += [f"{name}.{inner}" for inner in closed]
                elif made_by != self.newest:
                    token = keyring.reseal(token, place)
                if token != read[name]:
                    new[name] = token
                made_by = self.newest
            except SealError:
                bad.append(name)
            under.add(made_by)
        under = keyring.oldest_of(under)
        return _Row(pk, read, new, bad, under, not self.notes_key or beside == under)

    def _reseal_former(self, token, place, made_by, record):
        """The token of a former version of a record under the newest key, and all inside it too.

        Returns it with the names of values inside that don't open: those stay as they are.
        """
        text = keyring.unseal(token, place)
        new_text, closed = replacing.reseal_closed(text, record)
        if made_by != self.newest or new_text != text:
            token = keyring.seal(new_text, place)
        return token, closed

    def store(self, rows):
        """Write _Rows; those that somebody changed meanwhile are read again first.

        Returns them as they were written, without those that are gone.
        """
        stored = {row.pk: row for row in rows}
        with transaction.atomic():
            free = self._lock([row.pk for row in rows if self._needs_writing(row)])
            lost = [pk for pk in stored if not self._write(stored[pk], free)]
        while lost:
            _, again = self._read(self.model._base_manager.filter(pk__in=lost))
            for pk in lost:
                del stored[pk]
            stored |= {row.pk: row for row in again}
            lost = []
            for row in again:
                with transaction.atomic():  # of its own: it may wait, but never holds another row
                    if not self._write(row):
                        lost.append(row.pk)
        return stored.values()

    def _lock(self, ids):
        """Those of the ids that nobody else writes now. None: any.

        Never waits, so that no two that lock several rows, each in its order, end in a deadlock.
        """
        if not connection.features.has_select_for_update_skip_locked:
            return None
        rows = self.model._base_manager.filter(pk__in=ids).order_by("pk")
        return set(
            rows.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
        )

    def _needs_writing(self, row):
        return bool(row.new or (self.notes_key and (row.bad or not row.is_noted)))

    def _write(self, row, free=None):
        """Compare and set: write where the row still holds what was read. False where not.

        No version is counted: what the record says has not changed.
        """
        if not self._needs_writing(row):
            return True
        if free is not None and row.pk not in free:
            return False
        meta, quote = self.model._meta, connection.ops.quote_name
        new = {meta.get_field(name).column: token for name, token in row.new.items()}
        if self.notes_key:
            new["sealed_under"] = row.under
        old = {meta.get_field(name).column: token for name, token in row.read.items()}
        old[meta.pk.column] = meta.pk.get_db_prep_value(row.pk, connection)
        sets = ", ".join(f"{quote(column)} = %s" for column in new)
        wheres = " AND ".join(
            f"{quote(column)} {'IS NULL' if value is None else '= %s'}"
            for column, value in old.items()
        )
        values = [*new.values(), *(value for value in old.values() if value is not None)]
        with connection.cursor() as cursor:
            statement = f"UPDATE {quote(meta.db_table)} SET {sets} WHERE {wheres}"  # noqa: S608
            cursor.execute(statement, values)
            is_written = cursor.rowcount == 1
        if is_written and row.bad and hasattr(self.model, "note_unreadable"):
            # The row is ours until the transaction ends: nobody has mended it meanwhile.
            self.model._base_manager.get(pk=row.pk).note_unreadable(row.bad)
        return is_written
