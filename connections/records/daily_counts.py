"""The counts of the day, kept so that the dashboard can say what changed since yesterday.

One row a day, written by the first who asks: the dashboard, or `take_snapshot`.
"""

from collections import Counter
from contextlib import suppress
from datetime import timedelta

from django.db import OperationalError
from django.utils import timezone

from connections.lib.database import no_busy_timeout
from connections.models import ConnectionAuth, DailyCount, scope_of
from connections.records.counts import UNFILTERED, count_groups

ONE_DAY = timedelta(days=1)


def today(now):
    """The date in TIME_ZONE: the same for everybody, wherever they are."""
    return timezone.localdate(now, timezone.get_default_timezone())


def store_today(now, cells=None):
    """Store the counts of today. `cells` are all Cells there are; they are read if not given."""
    by_place = {}
    for cell in count_groups(ConnectionAuth.objects.all(), now) if cells is None else cells:
        counts = by_place.setdefault((cell.integration, cell.environment), Counter())
        counts[cell.bucket] += cell.count
        counts["stale"] += cell.count * cell.is_stale
    day = today(now)
    places = [[*place, +counts] for place, counts in by_place.items()]
    row = DailyCount(weekday=day.weekday(), day=day, taken_at=now, counts=places)
    # Two at once write the same row one after the other, and either is right.
    DailyCount.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["weekday"],
        update_fields=["day", "taken_at", "counts"],
    )
    return row


def is_stored_today(now):
    return DailyCount.objects.filter(day=today(now)).exists()


def yesterday(user, now, cells, place=UNFILTERED):
    """What the counts of a place were yesterday, for a user: a Counter by bucket and "stale".

    None where nobody counted then. The first look of a day counts for tomorrow; `cells` are all
    that the user sees.
    """
    day = today(now)
    rows = {row.day: row for row in DailyCount.objects.filter(day__in=[day, day - ONE_DAY])}
    scope = scope_of(user)
    if day not in rows:
        with suppress(OperationalError), no_busy_timeout():
            store_today(now, None if scope.is_limited else cells)
    before = rows.get(day - ONE_DAY)
    if before is None:
        return None
    was = Counter()
    for integration, environment, counts in before.counts:
        if scope.includes(integration, environment) and place.includes(integration, environment):
            was.update(counts)
    return was
