"""The bin: records on their way out, which can be restored for a while."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from connections.audit import log
from connections.lib.database import checkpoint_wal
from connections.models import ConnectionAuth

RETENTION = timedelta(days=7)
SYSTEM_USER = "automatic"  # who purges what is old, whoever happens to visit
MAX_LOGGED_BY_NAME = 100  # more at once are one entry of the audit log
BATCH_SIZE = 500  # records that are purged in one transaction


def move(records, user):
    """Put the records of a queryset into the bin; how many were not in it yet."""
    chosen = ConnectionAuth.objects.filter(pk__in=records.order_by().values("pk"))
    with transaction.atomic():
        named = list(chosen.defer_sealed()[: MAX_LOGGED_BY_NAME + 1])
        count = mark_binned(chosen, user, timezone.now())
        _log_records("delete", named, count, user)
    return count


def mark_binned(records, user, at):
    """Put the records of a queryset into the bin as of `at`, and audit nothing. How many."""
    return records.update(
        binned_at=at, binned_by=user, updated_at=timezone.now(), version=F("version") + 1
    )


def restorable(records):
    """Those of a queryset that are in the bin, and not for longer than RETENTION."""
    return records.filter(binned_at__gt=timezone.now() - RETENTION)


def expired():
    """The records that have been in the bin for RETENTION."""
    return ConnectionAuth.all_objects.filter(binned_at__lte=timezone.now() - RETENTION)


def mark_restored(records):
    """Take the records of a queryset out of the bin, and audit nothing. How many."""
    return restorable(records).update(
        binned_at=None, binned_by=None, updated_at=timezone.now(), version=F("version") + 1
    )


def _log_records(action, named, count, user=None):
    """Audit what happened to some records: each by name, or their count where they are many."""
    if count > MAX_LOGGED_BY_NAME:
        log.log_event(action, count=count, user=user)
    else:
        for record in named:
            log.log_event(action, record=record, user=user)


@transaction.atomic
def restore(record):
    """Take a record out of the bin. False where it is not there (any more)."""
    restored = mark_restored(ConnectionAuth.all_objects.filter(pk=record.pk))
    if restored:
        log.log_event("restore", record=record)
    return bool(restored)


def purge(records, user=None):
    """Delete those of a queryset that are in the bin, with all that was kept of them. How many."""
    purged = 0
    while True:
        with transaction.atomic():
            # Held until they are gone: nobody restores what is half deleted.
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


def purge_due_at(record):
    """When a record in the bin will be gone."""
    return record.binned_at + RETENTION
