"""What the dashboard shows. No HTML, and nothing sealed is loaded."""

from dataclasses import dataclass
from datetime import datetime, timezone

from django.db.models import F, Q
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from connections.audit import log
from connections.console.dashboard import charts, keys, tables
from connections.console.labels import STATUS_LABELS
from connections.console.list_url import LinkedCount, linked_count, list_url, query_string
from connections.expiry import deadlines
from connections.lib import text
from connections.models import PRODUCTION, AccessEvent, ConnectionAuth, ImportRun, Integration
from connections.records import daily_counts
from connections.records.counts import NO_INTEGRATION, UNFILTERED, Fact, count_groups, sum_by

MAX_FILTER_CHOICES = 40  # more would fill half of the page; the list has them all


@dataclass(frozen=True, kw_only=True)
class Tile(LinkedCount):
    """The connections in a bucket, or the stale ones."""

    name: str
    label: str | Promise
    edge: datetime | None  # the upper edge of the bucket; None for later, no_end and stale
    change: int | None  # since yesterday; None where nobody counted then


@dataclass(frozen=True, kw_only=True)
class FilterChoice:
    """A link that narrows the dashboard to an environment or integration, or to any of them."""

    name: str
    query: str
    is_current: bool


@dataclass(frozen=True, kw_only=True)
class Filters:
    environments: list[FilterChoice]  # the first of them is "all"
    integrations: list[FilterChoice]  # likewise
    is_narrowed: bool


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """Everything that the dashboard shows. Moments are aware datetimes in UTC.

    Each count links to the list of the same records: the list is narrowed by the edges of the
    count, and to the integration and environment that the dashboard is narrowed to.
    """

    total: int
    broken_total: int  # all that the user may see, in any integration and environment
    filters: Filters
    buckets: list[Tile]  # in the order of deadlines.BUCKETS
    stale: Tile  # renewable, access has ended, not broken
    unreadable: LinkedCount  # those with a value that is known not to open
    person: LinkedCount  # those that need a person within 7 days, with the broken ones
    top_integrations: list[str]  # names of up to two that have most of `person`
    days: charts.Chart
    months: charts.Chart
    integrations: tables.HeatTable
    needing_person: list[tables.NeedingPersonRow]
    running_import: ImportRun | None
    last_import: ImportRun | None  # finished; with `created`, `updated` and `rejected`
    last_export: AccessEvent | None  # for readers of the audit log
    keys: keys.KeyHealth | None  # for those who may view the page about keys


def get_context(user, now, connection_filter=UNFILTERED):
    """The Dashboard of the connections that a user may see and that pass a ConnectionFilter."""
    now = now.astimezone(timezone.utc)  # so that + 24 hours is 24 hours, summer time or not
    visible = ConnectionAuth.objects.visible_to(user)
    all_groups = count_groups(visible, now, {*charts.day_edges(now), *charts.month_edges(now)})
    groups = [
        group
        for group in all_groups
        if connection_filter.includes(group.integration, group.environment)
    ]
    integrations = Integration.objects.visible_to(user).only("type", "name")
    names = {integration.type: str(integration) for integration in integrations}
    yesterday = daily_counts.yesterday(user, now, all_groups, connection_filter)
    edges = deadlines.bucket_edges(now)
    counts = sum_by(groups, lambda group: group.bucket)

    def tile(name, count):
        return Tile(
            count=count,
            url=list_url(connection_filter, bucket=name),
            name=name,
            label=STATUS_LABELS[name],
            edge=edges.get(name),
            change=None if yesterday is None else count - yesterday[name],
        )

    needing = sum_by(
        (group for group in groups if group.needs_person), lambda group: group.integration
    )
    by_size = sorted(
        set(needing) - {None}, key=lambda type_: (-needing[type_], names.get(type_, type_))
    )
    running_import, last_import = _imports(user)
    exports = AccessEvent.objects.filter(action="export", result="done").order_by("id")
    unreadable = sum(group.count for group in groups if Fact.UNREADABLE in group.facts)
    return Dashboard(
        total=counts.total(),
        broken_total=sum(group.count for group in all_groups if group.bucket == "broken"),
        filters=_filters(all_groups, names, connection_filter),
        buckets=[tile(name, counts[name]) for name in deadlines.BUCKETS],
        stale=tile("stale", sum(group.count for group in groups if Fact.STALE in group.facts)),
        unreadable=linked_count(connection_filter, unreadable, unreadable=1),
        person=linked_count(connection_filter, needing.total(), needs="person"),
        top_integrations=[names.get(type_, type_) for type_ in by_size[:2]],
        days=charts.daily_chart(groups, now, connection_filter),
        months=charts.monthly_chart(groups, now, connection_filter),
        integrations=tables.heat_table(groups, counts, names, connection_filter),
        needing_person=tables.needing_person(connection_filter.filter(visible), now, names),
        running_import=running_import,
        last_import=last_import,
        last_export=exports.last() if log.may_read(user) else None,
        keys=keys.get_health(user, groups, connection_filter),
    )


def _filters(groups, integration_names, connection_filter):
    environments = _largest_values(
        groups, lambda group: group.environment, connection_filter.environment
    )
    types = _largest_values(
        groups, lambda group: group.integration or NO_INTEGRATION, connection_filter.integration
    )
    titles = {**integration_names, NO_INTEGRATION: _("No integration")}
    names = sorted(environments, key=lambda name: (name != PRODUCTION, name))
    titled_types = sorted((titles.get(type_, type_), type_) for type_ in types)
    return Filters(
        environments=_filter_choices(
            connection_filter,
            "environment",
            [(_("All environments"), None), *((name, name) for name in names)],
        ),
        integrations=_filter_choices(
            connection_filter, "integration", [(_("All integrations"), None), *titled_types]
        ),
        is_narrowed=connection_filter != UNFILTERED,
    )


def _largest_values(groups, key, current):
    """The values with most connections, and the one that the dashboard is narrowed to."""
    largest = {value for value, _count in sum_by(groups, key).most_common(MAX_FILTER_CHOICES)}
    return largest if current is None else largest | {current}


def _filter_choices(connection_filter, field, options):
    return [
        FilterChoice(
            name=text.printable_on_page(name),
            query=query_string(connection_filter._replace(**{field: value})),
            is_current=getattr(connection_filter, field) == value,
        )
        for name, value in options
    ]


def _imports(user):
    """The running import and the last finished one, or None for each."""
    visible = ImportRun.objects.visible_to(user)
    finished = visible.exclude(finished_at=None).exclude(status=ImportRun.Status.FAILED)
    last = finished.order_by("-finished_at").values("pk")[:1]
    runs = list(
        visible.filter(Q(status=ImportRun.Status.RUNNING) | Q(pk__in=last))
        .defer("result")  # it may hold 20,000 issues
        .annotate(**{name: F(f"result__{name}") for name in ("created", "updated", "rejected")})
    )
    running = next((run for run in runs if run.finished_at is None), None)
    return running, next((run for run in runs if run.finished_at), None)
