"""Undoing a run: what it made goes to the bin, what it changed gets back what it held before.

Batch by batch, each in one transaction; what is done is marked, so that an undo that was stopped
goes on where it was. What was changed since is left as it is, and named.
"""

import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from connections.audit import log
from connections.encryption.ring import SealError
from connections.jobs import bulk_change
from connections.models import (
    ChangeRun,
    ConnectionAuth,
    FormerVersion,
    ImportRun,
    Integration,
    runs,
    scope_of,
)
from connections.records import recycle_bin, versions

BATCH_SIZE = 200
MAX_NAMED_RECORDS = 100
REQUEST_TIME_LIMIT = 10  # seconds that a page gives an undo; its button goes on with the rest


@dataclass
class UndoResult:
    """The outcome: counts, and ids and names of some that were left."""

    binned: int = 0
    put_back: int = 0
    left: int = 0
    named: list = field(default_factory=list)
    finished: bool = False

    def add_left(self, record):
        self.left += 1
        if len(self.named) < MAX_NAMED_RECORDS:
            self.named.append({"id": str(record.pk), "name": str(record)})

    def as_json(self):
        return asdict(self)


def stored_counts(run):
    """How many records a run has made and changed, as its result has it, where it is not told."""
    if run.has_complete_result:
        return {name: run.result[name] for name in ("created", "updated")}
    return {
        "created": ConnectionAuth.all_objects.filter(made_by_run=run.pk).count(),
        "updated": FormerVersion.objects.filter(run=run).values("record").distinct().count(),
    }


def undo(run, user=None, seconds=None):
    """Undo a run as far as it still can be, or as far as `seconds` go. Returns an Undone.

    `user` is who does it, None for a command.
    """
    undone = UndoResult()
    before = run.undo_result or {}
    ends = None if seconds is None else time.monotonic() + seconds
    for step in STEPS[run.kind]:
        last = None
        while last := step(run, user, undone, last):
            if ends and time.monotonic() > ends:
                return _store_result(run, undone, before)
    undone.finished = True
    return _store_result(run, undone, before)


def _store_result(run, undone, before):
    total = undone.as_json()
    for name in ("binned", "put_back"):
        total[name] += before.get(name, 0)
    run.undo_result = total
    ImportRun.all_kinds.filter(pk=run.pk).update(undo_result=total)
    return undone


@transaction.atomic
def _undo_created(run, user, undone, last):
    """Bin a batch of what the run made. Returns the last id, None where there are no more."""
    made = _visible_records(user).filter(made_by_run=run.pk, binned_at=None).order_by("pk")
    if last:
        made = made.filter(pk__gt=last)
    batch = list(made.select_for_update(of=("self",)).defer_sealed()[:BATCH_SIZE])
    if not batch:
        return None
    kept = _former_versions(run, batch)
    chosen = []
    for record in batch:
        own = kept.get(record.pk, ())
        if record.version == (own[-1].version + 1 if own else 1):
            chosen.append(record.pk)
        else:
            undone.add_left(record)
    now = timezone.now()
    FormerVersion.objects.filter(run=run, record__in=chosen).update(restored_at=now)
    undone.binned += ConnectionAuth.objects.filter(pk__in=chosen).update(
        binned_at=now, binned_by=user, made_by_run=None, updated_at=now, version=F("version") + 1
    )
    if chosen:
        log.log_event("undo", user=user, count=len(chosen), reason=f"import {run.pk}, new ones")
    return batch[-1].pk


@transaction.atomic
def _undo_updated(run, user, undone, last):
    """Put back a batch of what the run changed. Returns the last id, None where there are none."""
    waiting = FormerVersion.objects.unexpired().filter(run=run, restored_at=None)
    if user:
        waiting = waiting.filter(record__in=_visible_records(user).values("pk"))
    if last:
        waiting = waiting.filter(record__gt=last)
    ids = waiting.order_by("record_id").values_list("record_id", flat=True).distinct()[:BATCH_SIZE]
    records = ConnectionAuth.all_objects.filter(pk__in=list(ids)).order_by("pk")
    batch = list(records.select_for_update())
    if not batch:
        return None
    kept = _former_versions(run, batch)
    for record in batch:
        if record.made_by_run == run.pk:  # named already, as one of the new ones
            continue
        own = kept[record.pk]
        if record.version != own[-1].version + 1 or not _restore_version(own[0], record, user):
            undone.add_left(record)
            continue
        FormerVersion.objects.filter(run=run, record=record).update(restored_at=timezone.now())
        undone.put_back += 1
    return batch[-1].pk


@transaction.atomic
def _undo_column(run, user, undone, last):
    """Put back a batch of what a change of many has set. The last id, None without any."""
    waiting = FormerVersion.objects.unexpired().filter(run=run, restored_at=None)
    if user and scope_of(user).is_limited:
        waiting = waiting.filter(record__in=_visible_records(user).values("pk"))
    if last:
        waiting = waiting.filter(record__gt=last)
    # What waits is sorted for each batch: they are large.
    ids = list(waiting.order_by("record_id").values_list("record_id", flat=True)[: 5 * BATCH_SIZE])
    records = ConnectionAuth.all_objects.filter(pk__in=ids).order_by("pk")
    batch = list(records.select_for_update(of=("self",)).defer_sealed())
    if not batch:
        return None
    column = runs.action_of(run).column
    kept, former = _former_versions(run, batch), {}
    for record in batch:
        held = kept[record.pk][0]
        place = {n: getattr(record, n) for n in ("integration_id", "environment")}
        try:
            place[column] = former[record] = held.open_content()["around"][column]
        except SealError:
            former.pop(record, None)
        is_in_reach = not user or scope_of(user).includes(
            place["integration_id"], place["environment"]
        )
        if record.version != held.version + 1 or not is_in_reach:
            former.pop(record, None)
        if record not in former:
            undone.add_left(record)
    if column == "integration_id":  # one of them may have been deleted meanwhile
        for kind in {*former.values()} - {None}:
            Integration.objects.get_or_create(type=kind, defaults={"name": kind[:255]})
    done, taken = bulk_change.set_column(column, former, user)
    for record in taken:
        undone.add_left(record)
    FormerVersion.objects.filter(run=run, record__in=done).update(restored_at=timezone.now())
    undone.put_back += len(done)
    bulk_change.log_each_record(run, "undo", done, [bulk_change.model_field_name(column)], user)
    if done and run.total > recycle_bin.MAX_LOGGED_BY_NAME:
        log.log_event("undo", user=user, count=len(done), reason=f"change {run.pk}")
    return batch[-1].pk


@transaction.atomic
def _undo_binned(run, user, undone, last):
    """Restore a batch of what a change of many put into the bin. The last id, None without any."""
    at = run.options.get("binned_at")
    if at is None:
        return None
    binned = recycle_bin.restorable(_visible_records(user))
    binned = binned.filter(binned_at=at, binned_by=run.user_id).order_by("pk")
    if last:
        binned = binned.filter(pk__gt=last)
    batch = list(binned.select_for_update(of=("self",)).defer_sealed()[:BATCH_SIZE])
    if not batch:
        return None
    ids = [record.pk for record in batch]
    undone.put_back += recycle_bin.mark_restored(ConnectionAuth.all_objects.filter(pk__in=ids))
    bulk_change.log_each_record(run, "restore", batch, [], user)
    if run.total > recycle_bin.MAX_LOGGED_BY_NAME:
        log.log_event("restore", user=user, count=len(ids), reason=f"change {run.pk}")
    return batch[-1].pk


STEPS = {
    ImportRun.KIND: (_undo_created, _undo_updated),
    ChangeRun.KIND: (_undo_column, _undo_binned),
}


def _visible_records(user):
    """The records that a user may undo anything of; all of them for a command."""
    records = ConnectionAuth.all_objects.all()
    return records.visible_to(user) if user else records


def _restore_version(held, record, user):
    try:
        with transaction.atomic():
            versions.restore_locked(record, held, user=user, is_undo=True)
            if held.open_content()["was_binned"]:
                recycle_bin.move(ConnectionAuth.objects.filter(pk=record.pk), user)
    except (SealError, IntegrityError, versions.OutOfScope):
        return False
    return True


def _former_versions(run, records):
    """What the run replaced of some records: id -> FormerVersions, oldest first."""
    kept = defaultdict(list)
    rows = FormerVersion.objects.filter(run=run, record__in=[record.pk for record in records])
    for held in rows.order_by("version"):
        kept[held.record_id].append(held)
    return kept
