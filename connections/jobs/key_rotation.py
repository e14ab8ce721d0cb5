"""Key rotation: reseals every sealed value under the newest of FERNET_KEYS.

It may be stopped at any moment: each value is always under one of the keys, and the next run skips
what is done. It overwrites no change of somebody else: a row is written only while it still holds
the tokens that were read.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db import connection, transaction
from django.db.models import Model

from connections.accounts import mfa
from connections.audit import log
from connections.encryption import keyring
from connections.encryption.fields import canonical_id
from connections.lib import database
from connections.lib import processes as lib_processes
from connections.lib.database import enlarge_page_cache, fetch_raw
from connections.models import (
    ConnectionAuth,
    FormerVersion,
    ImportChunk,
    StoredKey,
    former_version,
)
from connections.models.queryset import sealed_columns
from connections.models.runs import chunk_binding

CHUNK_SIZE = 1000  # rows that are read and resealed at a time
MAX_NAMED_VALUES = 1000  # unreadable values that a result names

OnProgress = Callable[[int], object] | None  # is called with the rows read since the last call


@dataclass
class RotationResult:
    """Counts of rows with sealed values; a chunk of an upload is a row too."""

    rotated: int = 0
    current: int = 0
    unreadable: int = 0  # rows with a value that does not open
    # model -> rows with a value that an old key opens
    under_old_key: Counter[type[Model]] = field(default_factory=Counter)
    unreadable_values: list[tuple[str, Any, str]] = field(default_factory=list)  # model, id, field
    unnamed_count: int = 0  # unreadable values beyond MAX_NAMED_VALUES

    @property
    def total(self) -> int:
        return self.rotated + self.current + self.unreadable

    def add_row(
        self, model: type[Model], pk: Any, unreadable: Iterable[str], under_old_key: bool
    ) -> None:
        """Count a row, of which the fields named `unreadable` do not open."""
        self.under_old_key[model] += under_old_key
        if unreadable:
            self.unreadable += 1
        elif under_old_key:
            self.rotated += 1
        else:
            self.current += 1
        self.unreadable_values += [(model._meta.label, pk, name) for name in unreadable]
        self.unnamed_count += len(self.unreadable_values[MAX_NAMED_VALUES:])
        del self.unreadable_values[MAX_NAMED_VALUES:]


@dataclass
class OldKeyUsage:
    """What still needs an old key: rows, stored keys, and chunks of uploads."""

    rows: int
    stored_keys: int
    uploads: int
    unreadable: int  # rows, stored keys and chunks with a value that does not open

    @property
    def needs_old(self) -> bool:
        return bool(self.rows or self.stored_keys or self.uploads)


def sealed_models() -> dict[type[Model], tuple[str, ...]]:
    """All models with sealed fields, and the names of those fields."""
    return {model: names for model in apps.get_models() if (names := sealed_columns(model))}


def count_rows() -> int:
    """How many rows a rotation reads."""
    return sum(m._base_manager.count() for m in (ImportChunk, *sealed_models()))


def rotate(jobs: int = 1, dry_run: bool = False, on_progress: OnProgress = None) -> RotationResult:
    """Reseal everything under the newest key, in `jobs` processes. Raises ProcessDied."""
    result = RotationResult()
    _rotate_rows(result, jobs, dry_run, on_progress)
    _rotate_second_factors(result, dry_run)
    _rotate_chunks(result, dry_run, on_progress)
    # The stored keys come last: what they protect is under the newest key by then. All of them
    # and the audit entry are one transaction, so that a kill leaves all of them under one key.
    with transaction.atomic():
        old_keys, unreadable_keys = keyring.reseal_stored_keys(dry_run)
        for name in unreadable_keys:
            result.add_row(StoredKey, name, ["token"], under_old_key=False)
        if not dry_run and "audit" not in unreadable_keys:
            outcome = "failed" if result.unreadable else "done"
            log.log_event("rotate", count=result.under_old_key.total(), result=outcome)
    result.under_old_key[StoredKey] = len(old_keys)
    return result


def old_key_usage(jobs: int = 1) -> OldKeyUsage:
    """What still needs an old key. Changes nothing; reads in `jobs` processes."""
    result = rotate(jobs, dry_run=True)
    keys, uploads = result.under_old_key[StoredKey], result.under_old_key[ImportChunk]
    rows = result.under_old_key.total() - keys - uploads
    return OldKeyUsage(rows, keys, uploads, result.unreadable)


def _rotate_rows(result, jobs, dry_run, on_progress):
    for model, names in sealed_models().items():
        rows = model._base_manager.all()
        resealer = RowResealer(model, names)
        processes = lib_processes.worker_count(jobs, rows.count())
        with lib_processes.workers(resealer, processes) as in_order:
            enlarge_page_cache()  # for the rows that are compared when they are written
            for count, resealed in in_order(database.id_ranges(rows, CHUNK_SIZE)):
                for row in resealed if dry_run else resealer.store(resealed):
                    pk = canonical_id(row.pk)
                    result.add_row(model, pk, row.unreadable, row.needs_resealing)
                if on_progress:
                    on_progress(count)


def _rotate_chunks(result, dry_run, on_progress):
    """Reseal the chunks of uploads that wait, one at a time: each is 1.4 MB."""
    chunks = ImportChunk.objects
    for pk in list(chunks.order_by("pk").values_list("pk", flat=True)):
        if on_progress:
            on_progress(1)
        chunk = chunks.select_related("run").filter(pk=pk).first()
        if chunk is None:  # imported or deleted meanwhile
            continue
        binding = chunk_binding(chunk.run, chunk.position)
        token = _reseal_value(result, chunk, "token", bytes(chunk.token), binding)
        if token and not dry_run:  # nothing else ever changes a chunk
            chunks.filter(pk=pk).update(token=token.encode())


def _rotate_second_factors(result, dry_run):
    """Reseal second factors: allauth's rows, whose secret is in JSON and no sealed field."""
    with_secret = Authenticator.objects.filter(type__in=mfa.SECRET_DATA_KEYS).order_by("pk")
    with transaction.atomic():
        for row in with_secret.select_for_update():
            name = mfa.SECRET_DATA_KEYS[row.type]
            token = _reseal_value(result, row, name, row.data[name], mfa.BINDING)
            if token and not dry_run:
                row.data[name] = token
                row.save(update_fields=["data"])


def _reseal_value(result, row, name, token, binding):
    """Count a row with one value. Returns the new token, or None where it is to stay as it is."""
    _, resealed = keyring.Resealer()(token, binding)
    is_new = resealed not in (None, token)
    result.add_row(type(row), row.pk, [name] if resealed is None else [], under_old_key=is_new)
    return resealed if is_new else None


class _Row(NamedTuple):
    """A row with sealed values, as it was read and as it is to be written."""

    pk: Any  # as the driver gives it
    stored_tokens: tuple[str | None, ...]
    new_tokens: tuple[str | None, ...]  # under the newest key, as far as they open
    unreadable: list[str]  # fields that do not open, or `field.name` of a value inside
    sealed_under: str  # the key for the column `sealed_under`
    is_key_recorded: bool  # whether that column holds it already

    @property
    def needs_resealing(self):
        return self.new_tokens != self.stored_tokens


class RowResealer:
    """Reads rows of a model and reseals their values; writes those that nobody has changed."""

    def __init__(self, model: type[Model], field_names: tuple[str, ...]):
        self.model, self.field_names = model, field_names
        self.newest_key, self.reseal = keyring.key_ids()[0], keyring.Resealer()
        self.has_sealed_under = model is ConnectionAuth
        # A former version holds, inside, the tokens that did not open when it was replaced.
        self.is_former_version = model is FormerVersion
        extra_columns = {ConnectionAuth: ["sealed_under"], FormerVersion: ["record_id"]}
        self.columns = ["pk", *field_names, *extra_columns.get(model, [])]

    def __call__(self, id_range: tuple[Any, Any]) -> tuple[int, list[_Row]]:
        """For a range of ids: how many rows it has, and those with sealed values."""
        return self._read(database.filter_id_range(self.model._base_manager.all(), *id_range))

    def _read(self, queryset):
        count, rows = 0, []
        for pk, *values in fetch_raw(queryset.values_list(*self.columns)):
            count += 1
            tokens = tuple(values[: len(self.field_names)])
            if tokens.count(None) < len(tokens):
                rows.append(self._resealed_row(pk, tokens, values[-1]))
        return count, rows

    def _resealed_row(self, pk, tokens, extra):
        new_tokens, unreadable, keys = list(tokens), [], set()
        for number, (name, token) in enumerate(zip(self.field_names, tokens, strict=True)):
            if token is None:
                continue
            binding = f"{canonical_id(pk)}/{name}"
            if self.is_former_version:
                key, resealed, inside = self._reseal_former_version(token, binding, extra)
                unreadable += [f"{name}.{inner}" for inner in inside]
            else:
                key, resealed = self.reseal(token, binding)
            if resealed is None:
                unreadable.append(name)
                keys.add(key)
            else:
                new_tokens[number] = resealed
                keys.add(self.newest_key)
        sealed_under = keyring.oldest_key_id(keys)
        is_key_recorded = extra == sealed_under
        return _Row(pk, tokens, tuple(new_tokens), unreadable, sealed_under, is_key_recorded)

    def _reseal_former_version(self, token, binding, record):
        """Reseal the content of a former version of `record`, and the tokens inside it.

        Returns the id of the key that it was under, the new token (None: it does not open), and
        the names of the values inside that do not open; those stay as they are.
        """
        key, token = self.reseal(token, binding)
        if token is None:
            return key, None, []
        text = keyring.unseal(token, binding)
        new_text, unreadable = former_version.reseal_unreadable(
            text, canonical_id(record), self.reseal
        )
        return key, token if new_text == text else keyring.seal(new_text, binding), unreadable

    def store(self, rows: list[_Row]) -> Collection[_Row]:
        """Write rows; those that somebody has changed since are read, resealed and written again.

        Returns them as they were written, without those that are gone.
        """
        stored = {row.pk: row for row in rows}
        with transaction.atomic():
            changed = self.write(rows)
        while changed:
            _, rows_again = self._read(self.model._base_manager.filter(pk__in=changed))
            for pk in changed:
                del stored[pk]
            stored |= {row.pk: row for row in rows_again}
            changed = []
            for row in rows_again:
                with transaction.atomic():  # one each: a row that is waited for is held alone
                    changed += self.write([row], wait=True)
        return stored.values()

    def write(self, rows: list[_Row], wait: bool = False) -> list[Any]:
        """Write the rows that still hold the tokens that were read. Returns the ids of the others.

        Waits for no lock unless `wait`: two processes that lock several rows, each in an order of
        its own, would end in a deadlock. `version` stays, since no value has changed.
        """
        due = [row for row in rows if self._needs_writing(row)]
        current = self._lock([row.pk for row in due], wait) if due else {}
        unchanged = [row for row in due if current.get(row.pk) == row.stored_tokens]
        if unchanged:
            self._update(unchanged)
        for row in unchanged:
            if row.unreadable and self.has_sealed_under:
                # The row is locked until the transaction ends: nobody has repaired it meanwhile.
                self.model._base_manager.get(pk=row.pk).mark_unreadable(row.unreadable)
        return [row.pk for row in due if current.get(row.pk) != row.stored_tokens]

    def _update(self, rows):
        names = [*self.field_names, *(["sealed_under"] if self.has_sealed_under else [])]
        values = [
            [*row.new_tokens, *([row.sealed_under] if self.has_sealed_under else []), row.pk]
            for row in rows
        ]
        meta, quote = self.model._meta, connection.ops.quote_name
        columns = ", ".join(f"{quote(meta.get_field(name).column)} = %s" for name in names)
        update = f"{quote(meta.db_table)} SET {columns} WHERE {quote(meta.pk.column)} = %s"
        with connection.cursor() as cursor:
            cursor.executemany(f"UPDATE {update}", values)

    def _needs_writing(self, row):
        return row.needs_resealing or (
            self.has_sealed_under and bool(row.unreadable or not row.is_key_recorded)
        )

    def _lock(self, ids, wait):
        """Lock rows until the transaction ends. Returns their present tokens, by id.

        SQLite locks the whole database; elsewhere, rows that others write now are left out.
        """
        # A range, since hundreds of ids by name take longer than the rows between them.
        rows = self.model._base_manager.filter(pk__gte=min(ids), pk__lte=max(ids)).order_by("pk")
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=not wait, no_key=True)
        return {
            pk: tuple(tokens)
            for pk, *tokens in fetch_raw(rows.values_list("pk", *self.field_names))
        }
