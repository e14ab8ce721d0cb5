"""Counts of each day, so that the dashboard can show what changed since yesterday.

The first visit of the dashboard on a day stores them, or the command `take_snapshot`.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime, timedelta

from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone

from connections.lib.database import no_busy_timeout
from connections.models import ConnectionAuth, DailyCount, scope_of
from connections.records.counts import ConnectionFilter, CountGroup, Fact, count_groups

ONE_DAY = timedelta(days=1)


def today(now: datetime) -> date:
    """The date in TIME_ZONE: the same for everybody, wherever they are."""
    return timezone.localdate(now, timezone.get_default_timezone())


def store_today(now: datetime, groups: Iterable[CountGroup] | None = None) -> None:
    """Store the counts of today, of the groups of all connections (counted here if not given)."""
    by_place = {}
    for group in count_groups(ConnectionAuth.objects.all(), now) if groups is None else groups:
        counts = by_place.setdefault((group.integration, group.environment), Counter())
        counts[group.bucket] += group.count
        counts["stale"] += group.count * (Fact.STALE in group.facts)
    day = today(now)
    counts = [[*place, +counts] for place, counts in by_place.items()]
    row = DailyCount(weekday=day.weekday(), day=day, taken_at=now, counts=counts)
    # Two at once write the same row one after the other, and either is right.
    DailyCount.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["weekday"],
        update_fields=["day", "taken_at", "counts"],
    )


def yesterday(
    user: User,
    now: datetime,
    groups: Iterable[CountGroup],
    connection_filter: ConnectionFilter,
) -> Counter | None:
    """The counts of yesterday, by bucket and "stale", of what a user sees and a filter lets pass.

    None where yesterday has none. The counts of today are stored if they are not yet; `groups` are
    all that the user sees.
    """
    day = today(now)
    rows = {row.day: row for row in DailyCount.objects.filter(day__in=[day, day - ONE_DAY])}
    scope = scope_of(user)
    if day not in rows:
        with suppress(OperationalError), no_busy_timeout():
            store_today(now, None if scope.is_limited else groups)
    if day - ONE_DAY not in rows:
        return None
    total = Counter()
    for integration, environment, counts in rows[day - ONE_DAY].counts:
        if scope.includes(integration, environment) and connection_filter.includes(
            integration, environment
        ):
            total.update(counts)
    return total
