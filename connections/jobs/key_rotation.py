"""From old keys to the newest: every sealed value is opened where it is and sealed anew.

Any moment may be the last: each value is under one of the keys at all times, and what is done is
found done by the next run. Nothing that somebody else writes meanwhile is overwritten, since a
row is only written where it still holds the tokens that were read.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from django.apps import apps
from django.db import connection, transaction

from connections.accounts import mfa
from connections.audit import log
from connections.encryption import keyring, ring, stored_keys
from connections.encryption.fields import SealedTextField, canonical_id
from connections.lib import database
from connections.lib import processes as lib_processes
from connections.lib.database import enlarge_page_cache, fetch_raw
from connections.models import FormerVersion, ImportChunk, StoredKey, former_version
from connections.models.runs import chunk_binding

CHUNK_SIZE = 1000  # rows that are read and sealed at a time
MAX_NAMED_VALUES = 1000  # unreadable values that are named


@dataclass
class RotationResult:
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
        self.unnamed += len(self.bad[MAX_NAMED_VALUES:])
        del self.bad[MAX_NAMED_VALUES:]


@dataclass
class OldKeyUsage:
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
    result = RotationResult()
    _rotate_rows(result, jobs, dry_run, on_progress)
    _rotate_second_factors(result, dry_run)
    _rotate_chunks(result, dry_run, on_progress)
    # Last: what our own keys protect is under the newest key by now. All of them and the entry of
    # the audit log are one transaction, so that a kill leaves them all under one key.
    with transaction.atomic():
        _, bad = stored_keys.reseal_stored_keys(dry_run)
        _count_unreadable_keys(result, bad)
        if not dry_run and "audit" not in bad:
            outcome = "failed" if result.unreadable else "done"
            log.log_event("rotate", count=result.under_old, result=outcome)
    return result


def old_key_usage(jobs=1):
    """What still needs an old key, as Leftovers. Changes nothing."""
    rows, chunks = RotationResult(), RotationResult()
    _rotate_rows(rows, jobs, dry_run=True)
    _rotate_second_factors(rows, dry_run=True)
    _rotate_chunks(chunks, dry_run=True)
    old_keys, bad_keys = stored_keys.reseal_stored_keys(dry_run=True)
    return OldKeyUsage(
        rows=rows.under_old,
        stored_keys=len(old_keys),
        uploads=chunks.under_old,
        unreadable=rows.unreadable + chunks.unreadable + len(bad_keys),
    )


def _count_unreadable_keys(result, names):
    for name in names:
        result.total += 1
        result.name(StoredKey, name, ["token"])


def _rotate_rows(result, jobs, dry_run, on_progress=None):
    for model, names in sealed_models():
        resealer = _RowResealer(model, names)
        processes = (
            lib_processes.worker_count(jobs, model._base_manager.count()) if jobs > 1 else 1
        )
        with lib_processes.workers(resealer, processes) as in_order:
            enlarge_page_cache()  # of the rows that are compared, for writing them
            for read, rows in in_order(database.id_ranges(model._base_manager.all(), CHUNK_SIZE)):
                for row in rows if dry_run else resealer.store(rows):
                    _count_row(result, model, row)
                if on_progress:
                    on_progress(read)


def _rotate_chunks(result, dry_run, on_progress=None):
    """Pieces of uploads that wait: 1.4 MB each, so one at a time."""
    chunks = ImportChunk.objects
    newest = ring.key_ids()[0]
    for pk in list(chunks.order_by("pk").values_list("pk", flat=True)):
        if on_progress:
            on_progress(1)
        if not (chunk := chunks.select_related("run").filter(pk=pk).first()):
            continue  # imported meanwhile, or thrown away
        result.total += 1
        if keyring.key_id_for(bytes(chunk.token)) == newest:
            result.current += 1
            continue
        place = chunk_binding(chunk.run, chunk.position)
        try:
            token = keyring.seal_bytes(keyring.unseal_bytes(chunk.token, place), place)
        except ring.SealError:
            result.name(ImportChunk, pk, ["token"])
            continue
        result.rotated += 1
        result.under_old += 1
        if not dry_run:
            chunks.filter(pk=pk).update(token=token)  # nobody else ever changes one


def _rotate_second_factors(result, dry_run):
    """Second factors: few rows, and each has its secret inside JSON, where no sealed field is."""
    newest = ring.key_ids()[0]
    with transaction.atomic():
        for row in mfa.authenticators_with_secret().select_for_update():
            name = mfa.SECRET_DATA_KEYS[row.type]
            result.total += 1
            if keyring.key_id_for(row.data[name]) == newest:
                result.current += 1
                continue
            try:
                row.data[name] = keyring.reseal(row.data[name], mfa.BINDING)
            except ring.SealError:
                result.name(type(row), row.pk, [name])
                continue
            result.rotated += 1
            result.under_old += 1
            if not dry_run:
                row.save(update_fields=["data"])


def _count_row(result, model, row):
    result.total += 1
    result.under_old += row.needs_resealing
    if row.bad:
        result.name(model, canonical_id(row.pk), row.bad)
    elif row.needs_resealing:
        result.rotated += 1
    else:
        result.current += 1


class _Row(NamedTuple):
    """A row with sealed values, and what it needs."""

    pk: object  # as the driver gives it
    read: tuple  # the tokens that were read, None where a field is not set
    new: tuple  # the same, under the newest key as far as they open
    bad: list  # fields that don't open, or `field.name` of a value inside
    sealed_under: str  # for its column `sealed_under`
    is_key_recorded: bool  # whether that column says so already

    @property
    def needs_resealing(self):
        return self.new != self.read


class _RowResealer:
    """Reads rows of a model and seals anew what needs it; writes one where nobody was faster."""

    def __init__(self, model, names):
        self.model, self.names = model, names
        self.newest, self.reseal = ring.key_ids()[0], keyring.Resealer()
        fields = model._meta.concrete_fields
        self.has_sealed_under = any(field.name == "sealed_under" for field in fields)
        # A former version holds, inside, what did not open when it was replaced.
        self.is_former_version = model is FormerVersion
        self.extra_columns = ["sealed_under"] * self.has_sealed_under + [
            "record_id"
        ] * self.is_former_version

    def __call__(self, ids):
        """For a range of ids: how many rows it has, and the _Rows among them."""
        return self._read(database.filter_id_range(self.model._base_manager.all(), *ids))

    def _read(self, rows):
        count, found = 0, []
        for pk, *values in fetch_raw(rows.values_list("pk", *self.names, *self.extra_columns)):
            count += 1
            tokens = tuple(values[: len(self.names)])
            if tokens.count(None) < len(tokens):
                found.append(self._resealed_row(pk, tokens, values[-1]))
        return count, found

    def _resealed_row(self, pk, tokens, beside):
        new, bad, under, record = list(tokens), [], set(), canonical_id(pk)
        for number, token in enumerate(tokens):
            if token is None:
                continue
            place = f"{record}/{self.names[number]}"
            if self.is_former_version:
                made_by, resealed, closed = self._reseal_former_version(token, place, beside)
                bad += [f"{self.names[number]}.{inner}" for inner in closed]
            else:
                made_by, resealed = self.reseal(token, place)
            if resealed is None:
                bad.append(self.names[number])
                under.add(made_by)
            else:
                new[number] = resealed
                under.add(self.newest)
        under = self.newest if under == {self.newest} else ring.oldest_key_id(under)
        is_noted = not self.has_sealed_under or beside == under
        return _Row(pk, tokens, tuple(new), bad, under, is_noted)

    def _reseal_former_version(self, token, place, record):
        """The token of a former version of a record under the newest key, and all inside it too.

        Returns it (None: it does not open) behind the name of its key, and the names of values
        inside that don't open: those stay as they are.
        """
        made_by, token = self.reseal(token, place)
        if token is None:
            return made_by, None, []
        text = keyring.unseal(token, place)
        new_text, closed = former_version.reseal_unreadable(text, canonical_id(record))
        return made_by, token if new_text == text else keyring.seal(new_text, place), closed

    def store(self, rows):
        """Write _Rows; those that somebody changed meanwhile are read again first.

        Returns them as they were written, without those that are gone.
        """
        stored = {row.pk: row for row in rows}
        with transaction.atomic():
            lost = self._write(rows)
        while lost:
            _, again = self._read(self.model._base_manager.filter(pk__in=lost))
            for pk in lost:
                del stored[pk]
            stored |= {row.pk: row for row in again}
            lost = []
            for row in again:
                with transaction.atomic():  # of its own: it may wait, but never holds another row
                    lost += self._write([row], wait=True)
        return stored.values()

    def _write(self, rows, wait=False):
        """Compare and set: write where a row still holds what was read. The ids where not.

        Never waits for others unless told to, so that no two that lock several rows, each in its
        order, end in a deadlock. No version is counted: what the record says has not changed.
        """
        due = [row for row in rows if self._needs_writing(row)]
        held = self._lock([row.pk for row in due], wait) if due else {}
        free = [row for row in due if held.get(row.pk) == row.read]
        fields = [*self.names, *(["sealed_under"] if self.has_sealed_under else [])]
        values = [
            [*row.new, *([row.sealed_under] if self.has_sealed_under else []), row.pk]
            for row in free
        ]
        if values:
            meta, quote = self.model._meta, connection.ops.quote_name
            sets = ", ".join(f"{quote(meta.get_field(name).column)} = %s" for name in fields)
            place = f"{quote(meta.db_table)} SET {sets} WHERE {quote(meta.pk.column)} = %s"
            with connection.cursor() as cursor:
                cursor.executemany(f"UPDATE {place}", values)
        for row in free:
            if row.bad and hasattr(self.model, "mark_unreadable"):
                # The row is ours until the transaction ends: nobody has mended it meanwhile.
                self.model._base_manager.get(pk=row.pk).mark_unreadable(row.bad)
        return [row.pk for row in due if held.get(row.pk) != row.read]

    def _needs_writing(self, row):
        return row.needs_resealing or (
            self.has_sealed_under and bool(row.bad or not row.is_key_recorded)
        )

    def _lock(self, ids, wait):
        """What rows hold now, by id: nobody else changes these until the transaction ends.

        On SQLite the whole database is ours; elsewhere rows that others write now are left out.
        """
        # A range, since hundreds of ids by name take longer than the rows between them.
        rows = self.model._base_manager.filter(pk__gte=min(ids), pk__lte=max(ids)).order_by("pk")
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=not wait, no_key=True)
        return {
            pk: tuple(tokens) for pk, *tokens in fetch_raw(rows.values_list("pk", *self.names))
        }
