"""How many connections there are, by place, by when they break, by what is known of them."""

import re
from collections import Counter
from datetime import datetime, timezone
from typing import NamedTuple
from urllib.parse import quote, urlencode

from django.db.models import Case, Count, IntegerField, Q, Value, When
from django.db.models.functions import Coalesce

from connections.encryption import ring
from connections.expiry import deadlines
from connections.json_format.dates import parse_date
from connections.models import PRODUCTION, stale_at

NO_INTEGRATION = "-"  # what filters take for connections without one


class ConnectionFilter(NamedTuple):
    """What a page is narrowed to: the type of an integration, the name of an environment.

    None is any of them.
    """

    integration: str | None = None
    environment: str | None = None

    def query(self, **params):
        """It as the query of an address, with other parameters, from the "?" on."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        return f"?{urlencode({**given, **params})}" if given or params else "?"

    def url(self, **params):
        """The list of connections, narrowed to it and by query parameters.

        As seen from the dashboard, which has some hundred of these links.
        """
        return f"connections/connectionauth/{self.query(**params)}"

    def number(self, count, **params):
        """A count with the address of the list of what it counts."""
        return {"count": count, "url": self.url(**params)}

    def includes(self, integration, environment):
        """Whether connections of this integration (None: of none) and environment are in it."""
        return self.integration in (None, integration or NO_INTEGRATION) and (
            self.environment in (None, environment or PRODUCTION)
        )

    def of(self, queryset):
        """The part of a queryset that is in it."""
        if self.integration == NO_INTEGRATION:
            queryset = queryset.filter(integration=None)
        elif self.integration is not None:
            queryset = queryset.filter(integration=self.integration)
        return queryset if self.environment is None else queryset.in_environment(self.environment)


UNFILTERED = ConnectionFilter()


class CountGroup(NamedTuple):
    """Connections that are alike in all of this, and their `count`.

    `integration` is a type or None, `environment` as it is shown. `until` is the first of the
    edges at or after which they break; None where that is after the last one, or never.
    """

    integration: str | None
    environment: str
    bucket: str
    until: datetime | None
    renewable: bool
    is_stale: bool
    is_unreadable: bool
    is_under_old_key: bool
    is_under_missing_key: bool
    count: int

    @property
    def needs_person(self):
        """As ConnectionAuthQuerySet.needing_person() asks it of the database."""
        return self.bucket == "broken" or (self.bucket in ("day", "week") and not self.renewable)


def count_groups(queryset, now, edges=()):
    """The connections of a queryset as a list of Cells: one query, of an index alone.

    `edges` are the moments to tell apart beside those of the buckets.
    """
    edges = sorted({*edges, *deadlines.bucket_edges(now).values()})
    buckets = [deadlines.bucket_of(edge, now) for edge in edges]
    # By number of the edge; then those after the last one, and those without an end.
    ends = [*zip(edges, buckets, strict=True), (None, "later"), (None, "no_end")]
    no_end = len(edges) + 1
    newest, *old = ring.key_ids()
    # One number for five columns: what SQLite groups by it sorts, which is most of the work.
    code = (
        Case(When(breaks_at=None, then=no_end), default=_edge_index(edges)) * 32
        + Case(When(renewable=True, then=16), default=0)
        + Case(When(stale_at(now), then=8), default=0)
        + Case(When(unreadable_fields__isnull=False, then=4), default=0)
        + Case(
            When(Q(sealed_under=None) | Q(sealed_under=newest), then=0),
            When(sealed_under__in=old, then=1),
            default=2,
        )
    )
    found = (
        queryset.order_by()
        # No bare column: for that SQLite would go by its index, and read each record.
        .annotate(code=code, kind=Coalesce("integration_id", Value("")))
        .values_list("code", "kind", "environment")
        .annotate(count=Count("pk"))
    )
    return [
        CountGroup(
            integration=kind or None,
            environment=environment or PRODUCTION,
            bucket=ends[code // 32][1],
            until=ends[code // 32][0],
            renewable=bool(code & 16),
            is_stale=bool(code & 8),
            is_unreadable=bool(code & 4),
            is_under_old_key=bool(code & 1),
            is_under_missing_key=bool(code & 2),
            count=count,
        )
        for code, kind, environment, count in found
    ]


def _edge_index(edges, low=0, high=None):
    """The number of the first edge at or after `breaks_at`, in SQL; halved down to."""
    high = len(edges) if high is None else high
    if low == high:
        return Value(low)
    middle = (low + high) // 2
    return Case(
        When(breaks_at__lte=edges[middle], then=_edge_index(edges, low, middle)),
        default=_edge_index(edges, middle + 1, high),
        output_field=IntegerField(),
    )


def sum_by(cells, key):
    """The sums of Cells: a Counter by what `key` says of each."""
    counts = Counter()
    for cell in cells:
        counts[key(cell)] += cell.count
    return counts


def other_than_param(kinds):
    """The value of the list's `other_than`: types of integrations (None: of none) to leave out."""
    return ",".join(quote(kind or NO_INTEGRATION, safe="") for kind in kinds)


def breaks_param(after=None, until=None):
    """The value of the list's `breaks`: `after` exclusive, `until` inclusive, None is open.

    In seconds since 1970: the dashboard has some hundred of these.
    """
    return f"{_timestamp(after)}..{_timestamp(until)}"


def _timestamp(moment):
    return "" if moment is None else f"{moment.timestamp():.6f}".rstrip("0").rstrip(".")


def parse_breaks_param(text):
    """The two ends that a span (or one of dates as JSON has them) names; None for no moment."""
    return [_parse_moment(end) for end in text.partition("..")[::2]]


def _parse_moment(text):
    try:
        if re.fullmatch(r"\d{1,11}(\.\d{1,6})?", text, re.ASCII):
            return datetime.fromtimestamp(float(text), timezone.utc)
        return parse_date(text)[0]
    except (ValueError, OverflowError):
        return None
