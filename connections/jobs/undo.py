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
from connections.encryption.keyring import SealError
from connections.jobs import bulk_change
from connections.models import (
    ChangeRun,
    ConnectionAuth,
    ImportRun,
    Integration,
    ReplacedAuth,
    scope_of,
)
from connections.records import recycle_bin, versions

BATCH = 200
MOST_NAMED = 100
IN_A_REQUEST = 10  # seconds that a page gives an undo; its button goes on with the rest


@dataclass
class Undone:
    """The outcome: counts, and ids and names of some that were left."""

    binned: int = 0
    put_back: int = 0
    left: int = 0
    named: list = field(default_factory=list)
    finished: bool = False

    def leave(self, record):
        self.left += 1
        if len(self.named) < MOST_NAMED:
            self.named.append({"id": str(record.pk), "name": str(record)})

    def as_json(self):
        return asdict(self)


def stored_by(run):
    """How many records a run has made and changed, as its result has it, where it is not told."""
    if run.is_counted:
        return {name: run.result[name] for name in ("created", "updated")}
    return {
        "created": ConnectionAuth.all_objects.filter(made_by_run=run.pk).count(),
        "updated": ReplacedAuth.objects.filter(run=run).values("record").distinct().count(),
    }


def undo(run, user=None, seconds=None):
    """Undo a run as far as it still can be, or as far as `seconds` go. Returns an Undone.

    `user` is who does it, None for a command.
    """
    undone = Undone()
    before = run.undone or {}
    ends = None if seconds is None else time.monotonic() + seconds
    for step in STEPS[run.kind]:
        last = None
        while last := step(run, user, undone, last):
            if ends and time.monotonic() > ends:
                return _note(run, undone, before)
    undone.finished = True
    return _note(run, undone, before)


def _note(run, undone, before):
    total = undone.as_json()
    for name in ("binned", "put_back"):
        total[name] += before.get(name, 0)
    run.undone = total
    ImportRun.of_all_kinds.filter(pk=run.pk).update(undone=total)
    return undone


@transaction.atomic
def _undo_new(run, user, undone, last):
    """Bin a batch of what the run made. Returns the last id, None where there are no more."""
    made = _reach(user).filter(made_by_run=run.pk, binned_at=None).order_by("pk")
    if last:
        made = made.filter(pk__gt=last)
    batch = list(made.select_for_update(of=("self",)).listed()[:BATCH])
    if not batch:
        return None
    kept = _kept(run, batch)
    chosen = []
    for record in batch:
        own = kept.get(record.pk, ())
        if record.version == (own[-1].version + 1 if own else 1):
            chosen.append(record.pk)
        else:
            undone.leave(record)
    now = timezone.now()
    ReplacedAuth.objects.filter(run=run, record__in=chosen).update(put_back_at=now)
    undone.binned += ConnectionAuth.objects.filter(pk__in=chosen).update(
        binned_at=now, binned_by=user, made_by_run=None, updated_at=now, version=F("version") + 1
    )
    if chosen:
        log.record("undo", user=user, count=len(chosen), reason=f"import {run.pk}, new ones")
    return batch[-1].pk


@transaction.atomic
def _undo_changed(run, user, undone, last):
    """Put back a batch of what the run changed. Returns the last id, None where there are none."""
    waiting = ReplacedAuth.objects.filter(run=run, put_back_at=None)
    if user:
        waiting = waiting.filter(record__in=_reach(user).values("pk"))
    if last:
        waiting = waiting.filter(record__gt=last)
    ids = waiting.order_by("record_id").values_list("record_id", flat=True).distinct()[:BATCH]
    records = ConnectionAuth.all_objects.filter(pk__in=list(ids)).order_by("pk")
    batch = list(records.select_for_update())
    if not batch:
        return None
    kept = _kept(run, batch)
    for record in batch:
        if record.made_by_run == run.pk:  # named already, as one of the new ones
            continue
        own = kept[record.pk]
        if record.version != own[-1].version + 1 or not _put_back(own[0], record, user):
            undone.leave(record)
            continue
        ReplacedAuth.objects.filter(run=run, record=record).update(put_back_at=timezone.now())
        undone.put_back += 1
    return batch[-1].pk


@transaction.atomic
def _undo_column(run, user, undone, last):
    """Put back a batch of what a change of many has set. The last id, None without any."""
    waiting = ReplacedAuth.objects.filter(run=run, put_back_at=None)
    if user and scope_of(user).is_limited:
        waiting = waiting.filter(record__in=_reach(user).values("pk"))
    if last:
        waiting = waiting.filter(record__gt=last)
    # What waits is sorted for each batch: they are large.
    ids = list(waiting.order_by("record_id").values_list("record_id", flat=True)[: 5 * BATCH])
    records = ConnectionAuth.all_objects.filter(pk__in=ids).order_by("pk")
    batch = list(records.select_for_update(of=("self",)).listed())
    if not batch:
        return None
    column = bulk_change.action_of(run).column
    kept, former = _kept(run, batch), {}
    for record in batch:
        held = kept[record.pk][0]
        place = {n: getattr(record, n) for n in ("integration_id", "environment")}
        try:
            place[column] = former[record] = versions.content_of(held)["around"][column]
        except SealError:
            former.pop(record, None)
        is_in_reach = not user or scope_of(user).reaches(
            place["integration_id"], place["environment"]
        )
        if record.version != held.version + 1 or not is_in_reach:
            former.pop(record, None)
        if record not in former:
            undone.leave(record)
    if column == "integration_id":  # one of them may have been deleted meanwhile
        for kind in {*former.values()} - {None}:
            Integration.objects.get_or_create(type=kind, defaults={"name": kind[:255]})
    done, taken = bulk_change.set_column(column, former, user)
    for record in taken:
        undone.leave(record)
    ReplacedAuth.objects.filter(run=run, record__in=done).update(put_back_at=timezone.now())
    undone.put_back += len(done)
    bulk_change.tell_each(run, "undo", done, [bulk_change.field_of(column)], user)
    if done and run.total > recycle_bin.NAMED:
        log.record("undo", user=user, count=len(done), reason=f"change {run.pk}")
    return batch[-1].pk


@transaction.atomic
def _undo_binned(run, user, undone, last):
    """Restore a batch of what a change of many put into the bin. The last id, None without any."""
    at = run.options.get("binned_at")
    if at is None:
        return None
    binned = _reach(user).binned().filter(binned_at=at, binned_by=run.user_id).order_by("pk")
    if last:
        binned = binned.filter(pk__gt=last)
    batch = list(binned.select_for_update(of=("self",)).listed()[:BATCH])
    if not batch:
        return None
    ids = [record.pk for record in batch]
    undone.put_back += recycle_bin.take_out(ConnectionAuth.all_objects.filter(pk__in=ids))
    bulk_change.tell_each(run, "restore", batch, [], user)
    if run.total > recycle_bin.NAMED:
        log.record("restore", user=user, count=len(ids), reason=f"change {run.pk}")
    return batch[-1].pk


STEPS = {
    ImportRun.KIND: (_undo_new, _undo_changed),
    ChangeRun.KIND: (_undo_column, _undo_binned),
}


def _reach(user):
    """The records that a user may undo anything of; all of them for a command."""
    records = ConnectionAuth.all_objects.all()
    return records.visible_to(user) if user else records


def _put_back(held, record, user):
    try:
        with transaction.atomic():
            versions.put_back(held, record, user=user, is_undo=True)
            if versions.content_of(held)["was_binned"]:
                recycle_bin.move(ConnectionAuth.objects.filter(pk=record.pk), user)
    except (SealError, IntegrityError, versions.OutOfReach):
        return False
    return True


def _kept(run, records):
    """What the run replaced of some records: id -> ReplacedAuths, oldest first."""
    kept = defaultdict(list)
    rows = ReplacedAuth.objects.filter(run=run, record__in=[record.pk for record in records])
    for held in rows.order_by("version"):
        kept[held.record_id].append(held)
    return kept
