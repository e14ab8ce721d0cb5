"""The numbers of the dashboard. No HTML, no geometry (see charts), and nothing sealed."""

from collections import Counter
from datetime import timezone
from math import ceil

from django.db.models import F, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.audit import log
from connections.console import wording
from connections.console.dashboard import charts, keys
from connections.console.labels import NEXT_STEPS, STATUS_LABELS
from connections.console.list_url import count_link, other_than_param, query_string
from connections.encryption import stored_keys
from connections.expiry import deadlines
from connections.lib import text
from connections.models import PRODUCTION, AccessEvent, ConnectionAuth, ImportRun, Integration
from connections.records import daily_counts
from connections.records.counts import (
    NO_INTEGRATION,
    UNFILTERED,
    count_groups,
    sum_by,
)

MAX_INTEGRATIONS = 8
MAX_NEEDING_PERSON = 12
MAX_FILTER_CHOICES = 40  # more would be half of the page; the list has them all
HEAT_LEVELS = 4
NEEDING_PERSON_FIELDS = ("name", "connection_id", "integration_id", "breaks_at", "auth_kind")


def get_context(user, now, place=UNFILTERED):
    """Everything that the dashboard shows a user of the connections in a place at `now`.

    Counts are int, moments aware datetimes in UTC, `url` leads to the list of what is counted
    (always the same records: its edges are those of the count, and it is narrowed to the place).
    A *number* is a dict `count`, `url`. A *stretch* is a text such as "3.3333%", fit for an
    attribute of an SVG without viewBox; `y` and `height` are int pixels.

    `now`           moment of the count
    `total`         int, all records in use in the place
    `broken_anywhere` int, all broken ones that the user may see
    `place`         `environments`, `integrations`: what the page can be narrowed to, dicts `name`,
                    `query` (of the dashboard), `is_current`, the first of them "all";
                    `is_narrowed`
    `buckets`       the six tiles in the order of expiry.BUCKETS, each a number with
                    `name`, `label`, `edge` (upper edge, a moment; None for later and no_end),
                    `change` (int, since yesterday; None where nobody counted then)
    `stale`         number with `change`: renewable, the access token has ended, not broken
    `unreadable`    number: records with a value that is known not to open
    `verdict`       pieces of the sentence on top:
                    `broken`   number
                    `day`      number: break within 24 hours, without the broken
                    `until`    moment, 24 hours from now
                    `person`   number: need a person within 7 days, the broken among them
                    `most_for` names of up to two integrations with most of `person`
    `days`          chart of 30 steps of 24 hours; its bars add up to the tiles day, week, month
    `months`        chart of 12 calendar months in the current time zone, the current one first
                    and only what of it is still to come
                    A chart is a dict:
                    `total`    number: what its bars count
                    `after`    number: what breaks after its last bar
                    `height`   px of the plot with the room above it; its base line is there too
                    `horizon`  runs of one bucket under the bars: `bucket`, `x`, `width`
                    `ticks`    `x` (stretch), `anchor` (start, middle, end), `text`
                    `bars`     each a number with `label` (a whole sentence), `bucket`, `start`
                               and `end` (moments, start exclusive, end inclusive), `name` (such
                               as "Nov" or "24 Nov"), `person` and `machine` (numbers, the split
                               of count), `x`, `width` of the step (stretches), `y` (top of the
                               bar), `person_y`, `person_height`, `machine_y`, `machine_height`,
                               `is_peak` (its figure is worth showing where room is scarce)
    `integrations`  `rows`: the 8 most urgent, then largest, each a dict `name`, `cells`, `total`;
                    `others`: the same of the rest taken together, or None; `totals`: of all;
                    `count`: int, how many integrations the user may see.
                    `cells` has a number for each bucket in order, with `bucket` and `heat` (0 to
                    4, against the largest integration of the column; of no use in `totals`),
                    `total` is a number
    `persons`       the 12 closest to now that need a person within 7 days, each a dict `record`,
                    `bucket`, `label`, `breaks_at`, `breaks_at_text` (in the current time zone;
                    safe for years 1 and 9999, where the filters of templates fail), `when` (the
                    same in words, such as "in 2 hours"), `integration` (its name or ""), `step`
                    (what to do, a sentence)
    `imports`       of the imports that the user may see:
                    `running` the ImportRun that is under way, or None;
                    `last`    the latest finished one, with `created`, `updated`, `rejected`
    `last_export`   None or a dict `at`, `count`, `has_secrets`; for readers of the audit log
    `keys`          None or a dict `since` (when the newest key came into use, or None), `old` and
                    `missing` (numbers: connections with a value under an older key, or under one
                    that is not there); for who may reveal, and readers of the audit log
    """
    now = now.astimezone(timezone.utc)  # so that + 24 hours is 24 hours, summer time or not
    visible = ConnectionAuth.objects.visible_to(user)
    everywhere = count_groups(visible, now, {*charts.day_edges(now), *charts.month_edges(now)})
    cells = [cell for cell in everywhere if place.includes(cell.integration, cell.environment)]
    names = {
        one.type: str(one) for one in Integration.objects.visible_to(user).only("type", "name")
    }
    yesterday = daily_counts.yesterday(user, now, everywhere, place)
    edges = deadlines.bucket_edges(now)
    counts = sum_by(cells, lambda cell: cell.bucket)
    stale = _count_flagged(cells, "is_stale")
    return {
        "now": now,
        "total": counts.total(),
        "broken_anywhere": sum(cell.count for cell in everywhere if cell.bucket == "broken"),
        "place": _filters(everywhere, names, place),
        "buckets": [
            {
                "name": name,
                "label": STATUS_LABELS[name],
                "edge": edges.get(name),
                "change": _change_since_yesterday(yesterday, name, counts[name]),
                **count_link(place, counts[name], bucket=name),
            }
            for name in deadlines.BUCKETS
        ],
        "stale": {
            **count_link(place, stale, bucket="stale"),
            "change": _change_since_yesterday(yesterday, "stale", stale),
        },
        "unreadable": count_link(place, _count_flagged(cells, "is_unreadable"), unreadable=1),
        "verdict": _headline(cells, counts, edges, names, place),
        "days": charts.daily_chart(cells, now, place),
        "months": charts.monthly_chart(cells, now, place),
        "integrations": _integrations(cells, counts, names, place),
        "persons": _needing_person(place.filter(visible), now, names),
        "imports": _imports(user),
        "last_export": _last_export(user),
        "keys": _keys(user, cells, place),
    }


def _change_since_yesterday(yesterday, name, count):
    return None if yesterday is None else count - yesterday[name]


def _count_flagged(cells, flag):
    return sum(cell.count for cell in cells if getattr(cell, flag))


def _filters(cells, names, place):
    """What the page can be narrowed to: where there are connections, and where it is now."""
    environments = _largest_values(cells, lambda cell: cell.environment, place.environment)
    kinds = _largest_values(
        cells, lambda cell: cell.integration or NO_INTEGRATION, place.integration
    )
    known = {**names, NO_INTEGRATION: _("No integration")}
    titles = sorted((known.get(kind, kind), kind) for kind in kinds)
    first = sorted(environments, key=lambda name: (name != PRODUCTION, name))
    return {
        "environments": _filter_choices(
            place,
            "environment",
            [(_("All environments"), None), *((name, name) for name in first)],
        ),
        "integrations": _filter_choices(
            place, "integration", [(_("All integrations"), None), *titles]
        ),
        "is_narrowed": place != UNFILTERED,
    }


def _largest_values(cells, key, current):
    """What there are most connections of, and what the page is narrowed to already."""
    largest = {name for name, _count in sum_by(cells, key).most_common(MAX_FILTER_CHOICES)}
    return largest if current is None else largest | {current}


def _filter_choices(place, part, options):
    return [
        {
            "name": text.printable_on_page(name),
            "query": query_string(place._replace(**{part: value})),
            "is_current": getattr(place, part) == value,
        }
        for name, value in options
    ]


def _headline(cells, counts, edges, names, place):
    needing = sum_by((cell for cell in cells if cell.needs_person), lambda cell: cell.integration)
    most = sorted(set(needing) - {None}, key=lambda kind: (-needing[kind], names.get(kind, kind)))
    return {
        "broken": count_link(place, counts["broken"], bucket="broken"),
        "day": count_link(place, counts["day"], bucket="day"),
        "until": edges["day"],
        "person": count_link(place, needing.total(), needs="person"),
        "most_for": [names.get(kind, kind) for kind in most[:2]],
    }


# Tables


def _integrations(cells, counts, names, place):
    by_kind = {}
    for cell in cells:
        by_kind.setdefault(cell.integration, Counter())[cell.bucket] += cell.count

    def urgency(kind):
        sizes = by_kind[kind]
        urgent = [-sizes[name] for name in ("broken", "day", "week", "month")]
        return *urgent, -sizes.total(), names.get(kind, "")

    kinds = sorted(by_kind, key=urgency)
    largest = {
        name: max((row[name] for row in by_kind.values()), default=0) for name in deadlines.BUCKETS
    }

    def heat(count, bucket):
        return min(ceil(HEAT_LEVELS * count / (largest[bucket] or 1)), HEAT_LEVELS)

    def row(name, sizes, **params):
        return {
            "name": name,
            "cells": [
                {
                    **count_link(place, sizes[bucket], **params, bucket=bucket),
                    "bucket": bucket,
                    "heat": heat(sizes[bucket], bucket),
                }
                for bucket in deadlines.BUCKETS
            ],
            "total": count_link(place, sizes.total(), **params),
        }

    named, rest = kinds[:MAX_INTEGRATIONS], kinds[MAX_INTEGRATIONS:]
    others = sum((by_kind[kind] for kind in rest), Counter())
    title = ngettext("%d other", "%d others", len(rest)) % len(rest)
    return {
        "rows": [
            row(
                names.get(kind, _("No integration")),
                by_kind[kind],
                integration=kind or NO_INTEGRATION,
            )
            for kind in named
        ],
        "others": row(title, others, other_than=other_than_param(named)) if rest else None,
        "totals": row(_("All"), counts),
        "count": len(names),
    }


def _needing_person(queryset, now, names):
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
    found = sorted(halves[0].union(halves[1], all=True), key=lambda one: abs(one.breaks_at - now))
    return [_needing_person_row(record, now, names) for record in found[:MAX_NEEDING_PERSON]]


def _needing_person_row(record, now, names):
    bucket = record.bucket(now)
    return {
        "record": record,
        "bucket": bucket,
        "label": STATUS_LABELS[bucket],
        "breaks_at": record.breaks_at,
        "breaks_at_text": wording.format_datetime(record.breaks_at),
        "when": wording.relative_time(record.breaks_at, now),
        "integration": names.get(record.integration_id, ""),
        "step": NEXT_STEPS[record.auth_kind],
    }


# How old the data are, and the keys


def _imports(user):
    runs = ImportRun.objects.visible_to(user)
    finished = runs.exclude(finished_at=None).exclude(status=ImportRun.Status.FAILED)
    last = finished.order_by("-finished_at").values("pk")[:1]
    found = list(
        runs.filter(Q(status=ImportRun.Status.RUNNING) | Q(pk__in=last))
        .defer("result")  # with up to 20,000 issues
        .annotate(**{name: F(f"result__{name}") for name in ("created", "updated", "rejected")})
    )
    return {
        "running": next((run for run in found if run.finished_at is None), None),
        "last": next((run for run in found if run.finished_at), None),
    }


def _last_export(user):
    if not log.may_read(user):
        return None
    entry = AccessEvent.objects.filter(action="export", result="done").order_by("-id").first()
    return entry and {
        "at": entry.at,
        "count": entry.count,
        "has_secrets": entry.reason.endswith("secrets: include"),
    }


def _keys(user, cells, place):
    if not keys.may_view(user):
        return None
    return {
        "since": stored_keys.newest_key_since(),
        "old": count_link(place, _count_flagged(cells, "is_under_old_key"), old_key=1),
        "missing": count_link(
            place, _count_flagged(cells, "is_under_missing_key"), old_key="missing"
        ),
    }
