"""The bin: deleted records, which can be restored for a while."""

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from connections.audit import log
from connections.lib.database import checkpoint_wal
from connections.models import ConnectionAuth, ConnectionAuthQuerySet

RETENTION = timedelta(days=7)
SYSTEM_USER = "automatic"  # who purges what has expired, in the audit log
MAX_LOGGED_BY_NAME = 100  # more records at once are one entry of the audit log
BATCH_SIZE = 500  # records that are purged in one transaction


def move(records: ConnectionAuthQuerySet, user: User | None) -> int:
    """Move the records of a queryset to the bin. Returns how many were not in it yet."""
    in_use = ConnectionAuth.objects.filter(pk__in=records.order_by().values("pk"))
    with transaction.atomic():
        named = list(in_use.defer_sealed()[: MAX_LOGGED_BY_NAME + 1])
        count = mark_binned(in_use, user, timezone.now())
        _log_records("delete", named, count, user)
    return count


def mark_binned(records: ConnectionAuthQuerySet, user: User | None, binned_at: datetime) -> int:
    """Move the records of a queryset to the bin, without an audit entry. Returns how many."""
    return records.update(
        binned_at=binned_at, binned_by=user, updated_at=timezone.now(), version=F("version") + 1
    )


def restorable(records: ConnectionAuthQuerySet) -> ConnectionAuthQuerySet:
    """Those of a queryset that are in the bin, and not for longer than RETENTION."""
    return records.filter(binned_at__gt=timezone.now() - RETENTION)


def expired() -> ConnectionAuthQuerySet:
    """The records that have been in the bin for RETENTION."""
    return ConnectionAuth.all_objects.filter(binned_at__lte=timezone.now() - RETENTION)


def mark_restored(records: ConnectionAuthQuerySet) -> int:
    """Restore the records of a queryset from the bin, without an audit entry. Returns how many."""
    return restorable(records).update(
        binned_at=None, binned_by=None, updated_at=timezone.now(), version=F("version") + 1
    )


def _log_records(action, named, count, user=None):
    """Log what happened to some records: each by name, or their count where there are many."""
    if count > MAX_LOGGED_BY_NAME:
        log.log_event(action, count=count, user=user)
    else:
        for record in named:
            log.log_event(action, record=record, user=user)


@transaction.atomic
def restore(record: ConnectionAuth) -> bool:
    """Restore a record from the bin. False where it is not there (any more)."""
    restored = mark_restored(ConnectionAuth.all_objects.filter(pk=record.pk))
    if restored:
        log.log_event("restore", record=record)
    return bool(restored)


def purge(records: ConnectionAuthQuerySet, user: User | str | None = None) -> int:
    """Delete those of a queryset that are in the bin, with their former versions.

    Returns how many.
    """
    purged = 0
    while True:
        with transaction.atomic():
            # Locked, so that nobody restores what is half deleted.
            found = records.binned().order_by("pk").select_for_update(of=("self",))
            batch = list(found.defer_sealed()[:BATCH_SIZE])
            if not batch:
                break
            ConnectionAuth.all_objects.filter(pk__in=[record.pk for record in batch]).delete()
            _log_records("purge", batch, len(batch), user)
        purged += len(batch)
    if purged:
        checkpoint_wal()
    return purged
