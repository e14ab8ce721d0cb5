"""How many connections there are, by integration, environment, deadline and other facts."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from datetime import datetime
from enum import IntFlag
from typing import NamedTuple

from django.db.models import Case, Count, IntegerField, Q, Value, When
from django.db.models.functions import Coalesce

from connections.encryption import keyring
from connections.expiry import deadlines
from connections.models import PRODUCTION, ConnectionAuthQuerySet, stale_at

NO_INTEGRATION = "-"  # how filters name connections without one


class ConnectionFilter(NamedTuple):
    """What a page is narrowed to: the type of an integration, the name of an environment.

    None means any.
    """

    integration: str | None = None
    environment: str | None = None

    def includes(self, integration: str | None, environment: str | None) -> bool:
        """Whether connections of this integration (None: of none) and environment pass it."""
        return self.integration in (None, integration or NO_INTEGRATION) and (
            self.environment in (None, environment or PRODUCTION)
        )

    def filter(self, queryset: ConnectionAuthQuerySet) -> ConnectionAuthQuerySet:
        """The connections of a queryset that pass it."""
        if self.integration == NO_INTEGRATION:
            queryset = queryset.filter(integration=None)
        elif self.integration is not None:
            queryset = queryset.filter(integration=self.integration)
        return queryset if self.environment is None else queryset.in_environment(self.environment)


UNFILTERED = ConnectionFilter()


class Fact(IntFlag):
    """What is known of a connection, as bits of the number that count_groups() groups by."""

    UNDER_OLD_KEY = 1
    UNDER_MISSING_KEY = 2
    UNREADABLE = 4
    STALE = 8
    RENEWABLE = 16


class CountGroup(NamedTuple):
    """Connections that are alike in all of this, and their `count`.

    `integration` is a type or None, `environment` is named as it is shown. `until` is the first
    edge that is not before their deadline; None where all are, or where there is no deadline.
    """

    integration: str | None
    environment: str
    bucket: str
    until: datetime | None
    facts: Fact
    count: int

    @property
    def needs_person(self) -> bool:
        """As ConnectionAuthQuerySet.needing_person() asks it of the database."""
        return self.bucket == "broken" or (
            self.bucket in ("day", "week") and Fact.RENEWABLE not in self.facts
        )


FACT_COMBINATIONS = 32  # the index of the edge is multiplied by this


def count_groups(
    queryset: ConnectionAuthQuerySet, now: datetime, edges: Iterable[datetime] = ()
) -> list[CountGroup]:
    """Count the connections of a queryset in one query, which reads an index alone.

    `edges` are moments to tell deadlines apart by, beside the edges of the buckets.
    """
    edges = sorted({*edges, *deadlines.bucket_edges(now).values()})
    buckets = [deadlines.bucket_of(edge, now) for edge in edges]
    # By index of the edge; then deadlines after the last edge, and no deadline.
    ends = [*zip(edges, buckets, strict=True), (None, "later"), (None, "no_end")]
    rows = (
        queryset.order_by()
        # Not the plain column: for that SQLite would use its index, and read each record.
        .annotate(packed=_pack(edges, now), kind=Coalesce("integration_id", Value("")))
        .values_list("packed", "kind", "environment")
        .annotate(count=Count("pk"))
    )
    groups = []
    for packed, kind, environment, count in rows:
        edge, facts = divmod(packed, FACT_COMBINATIONS)
        place = (kind or None, environment or PRODUCTION)
        until, bucket = ends[edge]
        groups.append(CountGroup(*place, bucket, until, Fact(facts), count))
    return groups


def _pack(edges, now):
    """The index of the edge and the Facts of a connection as one number, in SQL.

    One number instead of five columns: SQLite sorts by what it groups by, which is most of the
    work.
    """
    newest, *old = keyring.key_ids()
    no_end = len(edges) + 1
    return (
        Case(When(breaks_at=None, then=no_end), default=_edge_index(edges)) * FACT_COMBINATIONS
        + Case(When(renewable=True, then=Fact.RENEWABLE.value), default=0)
        + Case(When(stale_at(now), then=Fact.STALE.value), default=0)
        + Case(When(unreadable_fields__isnull=False, then=Fact.UNREADABLE.value), default=0)
        + Case(
            When(Q(sealed_under=None) | Q(sealed_under=newest), then=0),
            When(sealed_under__in=old, then=Fact.UNDER_OLD_KEY.value),
            default=Fact.UNDER_MISSING_KEY.value,
        )
    )


def _edge_index(edges, low=0, high=None):
    """The index of the first edge at or after `breaks_at`, in SQL: a binary search."""
    high = len(edges) if high is None else high
    if low == high:
        return Value(low)
    middle = (low + high) // 2
    return Case(
        When(breaks_at__lte=edges[middle], then=_edge_index(edges, low, middle)),
        default=_edge_index(edges, middle + 1, high),
        output_field=IntegerField(),
    )


def sum_by(groups: Iterable[CountGroup], key: Callable[[CountGroup], Hashable]) -> Counter:
    """The sums of the counts, by what `key` returns for each group."""
    counts = Counter()
    for group in groups:
        counts[key(group)] += group.count
    return counts
