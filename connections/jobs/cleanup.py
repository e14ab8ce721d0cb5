"""Deletes what is past its time: the recycle bin, former versions, uploads, runs."""

from django.db.models import CharField, Value
from django.utils import timezone

from connections.lib.database import checkpoint_wal
from connections.models import ConnectionAuth, FormerVersion, ImportRun
from connections.records.recycle_bin import RETENTION, SYSTEM_USER, purge


def delete_expired():
    """Purge what was in the bin for a week, forget what was replaced as long ago, and uploads.

    Nothing is written where there is nothing to do: a page that looks must not wait for one
    that writes. Whether there is, is one query.
    """
    now = timezone.now()
    records = ConnectionAuth.all_objects.filter(binned_at__lte=now - RETENTION)
    replaced = FormerVersion.objects.filter(replaced_at__lte=now - FormerVersion.RETENTION)
    kinds = {"runs": ImportRun.expired(), "records": records, "replaced": replaced}
    first, *others = (
        old.values_list(Value(kind, output_field=CharField())) for kind, old in kinds.items()
    )
    due = {kind for (kind,) in first.union(*others)}
    if "runs" in due:
        ImportRun.delete_expired()
    if "records" in due:
        purge(records, SYSTEM_USER)
    if "replaced" in due:
        replaced.delete()
        checkpoint_wal()
