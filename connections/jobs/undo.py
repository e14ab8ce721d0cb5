"""Undoing a run: records that it created are moved to the recycle bin, and records that it changed
get their former values back.

Each batch is one transaction, and marks what it has restored: an undo that was stopped continues
there. A record that was changed since the run is left as it is, and named in the result.
"""

import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from connections.audit import log
from connections.encryption.keyring import SealError
from connections.jobs import bulk_change
from connections.jobs.runs import abandon
from connections.models import (
    ConnectionAuth,
    FormerVersion,
    ImportRun,
    Integration,
    scope_of,
)
from connections.records import recycle_bin, versions

BATCH_SIZE = 200
MAX_NAMED_RECORDS = 100
REQUEST_TIME_LIMIT = 10  # seconds that a page gives an undo; its button continues it


@dataclass
class UndoResult:
    """The outcome: counts, and id and name of the first records that were left."""

    binned: int = 0
    put_back: int = 0
    left: int = 0
    named: list[dict[str, str]] = field(default_factory=list)
    finished: bool = False

    def add_left(self, record: ConnectionAuth) -> None:
        self.left += 1
        if len(self.named) < MAX_NAMED_RECORDS:
            self.named.append({"id": str(record.pk), "name": str(record)})


def stored_counts(run: ImportRun) -> dict[str, int]:
    """How many records an import has created and updated; counted where its result is partial."""
    if run.has_complete_result:
        return {name: run.result[name] for name in ("created", "updated")}
    return {
        "created": ConnectionAuth.all_objects.filter(made_by_run=run.pk).count(),
        "updated": FormerVersion.objects.filter(run=run).values("record").distinct().count(),
    }


def undo_import(pk: UUID) -> UndoResult | None:
    """Undo the import of that id, for a command. Returns None where it can't be undone."""
    run = ImportRun.objects.filter(pk=pk).first()
    if run is None:
        return None
    if abandon(run):  # it was killed; what it has stored can be undone
        run.refresh_from_db()
    return undo(run) if run.can_be_undone else None


def undoable_imports(limit: int) -> list[dict[str, Any]]:
    """The imports that can be undone among the latest `limit`, newest first, as JSON objects."""
    for run in ImportRun.objects.filter(status=ImportRun.Status.RUNNING, user=None):
        abandon(run)  # a command that was killed has never printed its id
    finished = ImportRun.objects.exclude(finished_at=None).select_related("user")
    return [
        {
            "run": str(run.pk),
            "finished_at": run.finished_at.isoformat(),
            "user": run.user.get_username() if run.user else "",
            "file": run.file_name,
            **stored_counts(run),
            "undone": run.undo_result is not None,
        }
        for run in finished.order_by("-finished_at")[:limit]
        if run.can_be_undone
    ]


def undo(run: ImportRun, user=None, time_limit: float | None = None) -> UndoResult:
    """Undo a run as far as it still can be, or until `time_limit` (seconds) has passed.

    `user` is who undoes it (None: a command), and limits it to the records that they may see.
    """
    result = UndoResult()
    before = run.undo_result or {}
    deadline = None if time_limit is None else time.monotonic() + time_limit
    if run.kind == ImportRun.KIND:
        steps = (_undo_created, _undo_updated)
    else:
        steps = (_undo_binned,) if run.options["action"] == "bin" else (_undo_column,)
    for step in steps:
        last_id = None
        while batch := step(run, user, result, last_id):
            last_id = batch[-1].pk
            if deadline and time.monotonic() > deadline:
                return _store_result(run, result, before)
    result.finished = True
    return _store_result(run, result, before)


def _store_result(run, result, before):
    """Store the result, with the counts of the calls `before` this one."""
    total = asdict(result)
    for name in ("binned", "put_back"):
        total[name] += before.get(name, 0)
    run.undo_result = total
    ImportRun.all_kinds.filter(pk=run.pk).update(undo_result=total)
    return result


# The steps. Each undoes one batch of records after `last_id` (None: from the first), adds it to
# the result, and returns the batch, which is empty where there was nothing left.


@transaction.atomic
def _undo_created(run, user, result, last_id):
    """Move a batch of the records that an import created to the bin."""
    visible = ConnectionAuth.all_objects.visible_to(user)
    batch = _lock_batch(visible.filter(made_by_run=run.pk, binned_at=None), last_id)
    former = _former_versions(run, batch)
    unchanged = []
    for record in batch:
        if _is_unchanged(record, former[record.pk]):
            unchanged.append(record.pk)
        else:
            result.add_left(record)
    now = timezone.now()
    FormerVersion.objects.filter(run=run, record__in=unchanged).update(restored_at=now)
    result.binned += ConnectionAuth.objects.filter(pk__in=unchanged).update(
        binned_at=now, binned_by=user, made_by_run=None, updated_at=now, version=F("version") + 1
    )
    if unchanged:
        reason = f"import {run.pk}, new ones"
        log.log_event("undo", user=user, count=len(unchanged), reason=reason)
    return batch


@transaction.atomic
def _undo_updated(run, user, result, last_id):
    """Restore a batch of the records that an import changed."""
    batch = list(_changed_records(run, user, last_id, BATCH_SIZE))
    former = _former_versions(run, batch)
    for record in batch:
        if record.made_by_run == run.pk:  # left by _undo_created(), and counted there
            continue
        of_record = former[record.pk]
        if _is_unchanged(record, of_record) and _restore_version(of_record[0], record, user):
            FormerVersion.objects.filter(run=run, record=record).update(restored_at=timezone.now())
            result.put_back += 1
        else:
            result.add_left(record)
    return batch


@transaction.atomic
def _undo_column(run, user, result, last_id):
    """Restore the column that a bulk change has set, in a batch of records."""
    # Larger batches: the rows that wait are sorted anew for each.
    batch = list(_changed_records(run, user, last_id, 5 * BATCH_SIZE).defer_sealed())
    column = run.action.column
    former, values = _former_versions(run, batch), {}
    for record in batch:
        with suppress(SealError):
            value = former[record.pk][0].open_content()["around"][column]
            place = bulk_change.place_after(record, column, value)
            stays_in_scope = scope_of(user).includes(*place)
            if stays_in_scope and _is_unchanged(record, former[record.pk]):
                values[record] = value
    if column == "integration_id":  # one of them may have been deleted meanwhile
        for integration in {*values.values()} - {None}:
            Integration.objects.get_or_create(
                type=integration, defaults={"name": integration[:255]}
            )
    restored = bulk_change.set_column(column, values, user)
    restored_set = {*restored}
    for record in batch:
        if record not in restored_set:
            result.add_left(record)
    FormerVersion.objects.filter(run=run, record__in=restored).update(restored_at=timezone.now())
    result.put_back += len(restored)
    _log_restored(run, "undo", restored, [bulk_change.model_field_name(column)], user)
    return batch


@transaction.atomic
def _undo_binned(run, user, result, last_id):
    """Restore a batch of the records that a bulk change moved to the bin."""
    binned = ConnectionAuth.all_objects.visible_to(user).filter(binned_by=run.user_id)
    binned = recycle_bin.restorable(binned.filter(binned_at=run.options["binned_at"]))
    batch = _lock_batch(binned, last_id)
    ids = [record.pk for record in batch]
    result.put_back += recycle_bin.mark_restored(ConnectionAuth.all_objects.filter(pk__in=ids))
    _log_restored(run, "restore", batch, [], user)
    return batch


def _lock_batch(records, last_id):
    if last_id:
        records = records.filter(pk__gt=last_id)
    return list(records.order_by("pk").select_for_update(of=("self",)).defer_sealed()[:BATCH_SIZE])


def _changed_records(run, user, last_id, size):
    """The next records that a run has changed and no undo has restored, to be locked."""
    waiting = FormerVersion.objects.unexpired().filter(run=run, restored_at=None)
    if last_id:
        waiting = waiting.filter(record__gt=last_id)
    if scope_of(user).is_limited:
        visible = ConnectionAuth.all_objects.visible_to(user)
        waiting = waiting.filter(record__in=visible.values("pk"))
    ids = waiting.order_by("record_id").values_list("record_id", flat=True).distinct()[:size]
    records = ConnectionAuth.all_objects.filter(pk__in=list(ids)).order_by("pk")
    return records.select_for_update(of=("self",))


def _former_versions(run, records):
    """What the run has replaced of some records: id -> FormerVersions, oldest first."""
    former = defaultdict(list)
    rows = FormerVersion.objects.filter(run=run, record__in=[record.pk for record in records])
    for row in rows.order_by("version"):
        former[row.record_id].append(row)
    return former


def _is_unchanged(record, former):
    """Whether nobody has changed a record since the run; `former` is what the run replaced."""
    return record.version == (former[-1].version + 1 if former else 1)


def _log_restored(run, action, records, fields, user):
    bulk_change.log_each_record(run, action, records, fields, user)
    if records and run.total > recycle_bin.MAX_LOGGED_BY_NAME:
        log.log_event(action, user=user, count=len(records), reason=f"change {run.pk}")


def _restore_version(former, record, user):
    try:
        with transaction.atomic():
            versions.restore_locked(record, former, user=user, is_undo=True)
            if former.open_content()["was_binned"]:
                recycle_bin.move(ConnectionAuth.objects.filter(pk=record.pk), user)
    except (SealError, IntegrityError, versions.OutOfScope):
        return False
    return True
