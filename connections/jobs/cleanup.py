"""Deletes what has expired: records in the bin, former versions, uploads that nobody confirmed.

The command `cleanup` does it, and the dashboard starts the command. When that happens makes no
difference: pages neither show nor use what has expired.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass

from django.core.cache import cache
from django.db import transaction
from django.db.models import Value

from connections.jobs import runs
from connections.lib.database import checkpoint_wal, no_busy_timeout
from connections.models import FormerVersion, ImportRun
from connections.records import recycle_bin

logger = logging.getLogger(__name__)

CLAIM = "cleanup"  # key in the cache: some process has started a cleanup
CLAIM_TIMEOUT = 300  # seconds


@dataclass
class CleanupResult:
    purged: int = 0  # records of the bin
    former_versions: int = 0
    uploads: int = 0
    ended: int = 0  # runs that were interrupted long ago


def start_if_due() -> None:
    """Start the command `cleanup` in the background where anything has expired.

    At most one process does so within CLAIM_TIMEOUT; none where the database takes no writes now.
    """
    if not _has_expired():
        return
    try:
        with no_busy_timeout():  # a page must not wait for an import
            is_claimed = cache.add(CLAIM, True, CLAIM_TIMEOUT)
    except Exception as error:  # each cache backend has its own; the page must not fail with it
        logger.warning("The cleanup was not started: %s.", type(error).__name__)
        return
    if is_claimed:
        with suppress(runs.CannotStart):  # a later visit tries again
            runs.start_command("cleanup")


def delete_expired() -> CleanupResult:
    """Delete what has expired, and end runs that were interrupted long ago."""
    if not _has_expired():  # the usual case, for which nothing is locked
        return CleanupResult()
    result = CleanupResult(
        purged=recycle_bin.purge(recycle_bin.expired(), recycle_bin.SYSTEM_USER),
        former_versions=FormerVersion.objects.expired().delete()[0],
        uploads=_delete_expired_uploads(),
        ended=sum(map(runs.abandon, ImportRun.all_kinds.interrupted_long_ago())),
    )
    checkpoint_wal()
    return result


def _has_expired() -> bool:
    first, *others = (
        expired.values_list(Value(1))
        for expired in (
            recycle_bin.expired(),
            FormerVersion.objects.expired(),
            ImportRun.all_kinds.expired(),
            ImportRun.all_kinds.interrupted_long_ago(),
        )
    )
    return first.union(*others).exists()


@transaction.atomic
def _delete_expired_uploads() -> int:
    # Locked, so that nobody confirms one meanwhile.
    ids = [run.pk for run in ImportRun.all_kinds.select_for_update().expired()]
    ImportRun.all_kinds.filter(pk__in=ids).delete()
    return len(ids)
