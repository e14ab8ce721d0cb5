"""The tables of the dashboard: connections by integration, and those that need a person."""

from collections import Counter
from dataclasses import dataclass
from math import ceil

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.console.labels import NEXT_STEPS
from connections.console.list_url import LinkedCount, linked_count, list_url, other_than_param
from connections.expiry import deadlines
from connections.models import ConnectionAuth
from connections.records.counts import NO_INTEGRATION

MAX_INTEGRATIONS = 8
HEAT_LEVELS = 4
MAX_NEEDING_PERSON = 12
NEEDING_PERSON_FIELDS = ("name", "connection_id", "integration_id", "breaks_at", "auth_kind")


@dataclass(frozen=True, kw_only=True)
class HeatCell(LinkedCount):
    """The connections of an integration in one bucket."""

    heat: int  # 0 to HEAT_LEVELS, relative to the largest integration in the bucket


@dataclass(frozen=True, kw_only=True)
class HeatRow:
    name: str
    cells: list[HeatCell]  # one a bucket, in the order of deadlines.BUCKETS
    total: LinkedCount


@dataclass(frozen=True, kw_only=True)
class HeatTable:
    rows: list[HeatRow]  # the most urgent integrations, then the largest
    others: HeatRow | None  # the other integrations together
    totals: HeatRow
    integration_count: int  # all that the user may see


@dataclass(frozen=True, kw_only=True)
class NeedingPersonRow:
    """A connection that a person has to look after within 7 days."""

    record: ConnectionAuth
    bucket: str
    integration: str  # its name, or ""
    next_step: str | Promise


def heat_table(groups, counts, integration_names, connection_filter):
    """The HeatTable of CountGroups, whose `counts` are summed up by bucket."""
    by_type = {}
    for group in groups:
        by_type.setdefault(group.integration, Counter())[group.bucket] += group.count

    def urgency(type_):
        sizes = by_type[type_]
        urgent = [-sizes[bucket] for bucket in ("broken", "day", "week", "month")]
        return *urgent, -sizes.total(), integration_names.get(type_, "")

    largest = {
        bucket: max((sizes[bucket] for sizes in by_type.values()), default=0)
        for bucket in deadlines.BUCKETS
    }

    def row(name, sizes, **params):
        return HeatRow(
            name=name,
            cells=[
                HeatCell(
                    count=sizes[bucket],
                    url=list_url(connection_filter, **params, bucket=bucket),
                    heat=_heat(sizes[bucket], largest[bucket]),
                )
                for bucket in deadlines.BUCKETS
            ],
            total=linked_count(connection_filter, sizes.total(), **params),
        )

    types = sorted(by_type, key=urgency)
    named, rest = types[:MAX_INTEGRATIONS], types[MAX_INTEGRATIONS:]
    others = None
    if rest:
        title = ngettext("%d other", "%d others", len(rest)) % len(rest)
        sizes = sum((by_type[type_] for type_ in rest), Counter())
        others = row(title, sizes, other_than=other_than_param(named))
    return HeatTable(
        rows=[
            row(
                integration_names.get(type_, _("No integration")),
                by_type[type_],
                integration=type_ or NO_INTEGRATION,
            )
            for type_ in named
        ],
        others=others,
        totals=row(_("All"), counts),
        integration_count=len(integration_names),
    )


def _heat(count, largest):
    return min(ceil(HEAT_LEVELS * count / (largest or 1)), HEAT_LEVELS)


def needing_person(queryset, now, integration_names):
    """A NeedingPersonRow for each of the closest to `now`, before or after it."""
    due = queryset.needing_person(now)
    closest = (
        due.filter(breaks_at__gt=now).order_by("breaks_at", "id"),
        due.filter(breaks_at__lte=now).order_by("-breaks_at", "-id"),
    )
    # Each half reads its end of the index; together they are one query.
    halves = [
        ConnectionAuth.objects.filter(pk__in=half.values("pk")[:MAX_NEEDING_PERSON]).only(
            *NEEDING_PERSON_FIELDS
        )
        for half in closest
    ]
    records = sorted(
        halves[0].union(halves[1], all=True), key=lambda record: abs(record.breaks_at - now)
    )
    return [
        NeedingPersonRow(
            record=record,
            bucket=record.bucket(now),
            integration=integration_names.get(record.integration_id, ""),
            next_step=NEXT_STEPS[record.auth_kind],
        )
        for record in records[:MAX_NEEDING_PERSON]
    ]
