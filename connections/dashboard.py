"""The numbers of the dashboard. No HTML, no geometry (see charts), and nothing sealed.

`context()` asks six questions of the database, whatever the number of records.
"""

from datetime import datetime, timedelta, timezone
from math import ceil
from urllib.parse import urlencode

from django.db.models import Case, Count, F, IntegerField, Value, When
from django.urls import reverse
from django.utils.timezone import get_current_timezone

from . import charts, expiry, wording
from .models import ImportRun, in_bucket

LABELS = {
    "broken": "Broken",
    "day": "24 hours",
    "week": "7 days",
    "month": "30 days",
    "later": "Later",
    "no_end": "No known end",
}
NEXT_STEPS = {
    "oauth2": "Ask them to reconnect",
    "oauth1": "Ask them to reconnect",
    "certificate": "Upload a new certificate",
    "api_key": "Paste a new API key",
    "other": "Enter new credentials",
    "empty": "Enter new credentials",
}
NO_INTEGRATION = "-"  # what the list's filter takes for records without one
DAYS = 30
MONTHS = 12
MOST_INTEGRATIONS = 8
MOST_NEXT = 20
HEAT_LEVELS = 4


def context(queryset, now, runs=None):
    """Everything that the dashboard shows of the records in `queryset` at `now`.

    Counts are int, moments aware datetimes in UTC, `url` leads to the list of what is counted
    (always the same records: its edges are those of the count). A *number* is a dict `count`,
    `url`. A *place* is a text such as "3.3333%", fit for an attribute of an SVG without viewBox;
    `y` and `height` are int pixels.

    `now`           moment of the count
    `total`         int, all records in use
    `buckets`       the six tiles in the order of expiry.BUCKETS, each a number with
                    `name`, `label`, `edge` (upper edge, a moment; None for later and no_end)
    `stale`         number: renewable, the access token has ended, not broken
    `unreadable`    number: records with a value that is known not to open
    `verdict`       pieces of the sentence on top:
                    `broken`   number
                    `day`      number: break within 24 hours, without the broken
                    `until`    moment, 24 hours from now
                    `week`     number: break within 7 days, the broken among them
                    `most_for` names of up to two integrations with most of `week`
    `days`          chart of 30 steps of 24 hours; its bars add up to the tiles day, week, month
    `months`        chart of 12 calendar months in the current time zone, the current one first
                    and only what of it is still to come
                    A chart is a dict:
                    `total`    number: what its bars count
                    `after`    number: what breaks after its last bar
                    `height`   px of the plot with the room above it; its base line is there too
                    `horizon`  runs of one bucket under the bars: `bucket`, `x`, `width` (places)
                    `ticks`    `x` (place), `anchor` (start, middle, end), `text`
                    `bars`     each a number with `label` (a whole sentence), `bucket`, `start`
                               and `end` (moments, start exclusive, end inclusive), `name` (such
                               as "Nov" or "24 Nov"), `person` and `machine` (int, the split of
                               count), `x`, `width` of the bar, `centre` of its figure, `slot_x`,
                               `slot_width` of the whole step (places), `y` (top of the bar),
                               `person_y`, `person_height`, `machine_y`, `machine_height`,
                               `is_peak` (its figure is worth showing where room is scarce)
    `integrations`  `rows`: the 8 most urgent, then largest, each a dict `type` (None for records
                    without one), `name`, `cells`, `total` (int), `url`;
                    `others`: None or a dict `count` (how many integrations), `cells`, `total`;
                    `totals`: a dict `cells`, `total`, `url`;
                    `count`: int, how many rows there were.
                    `cells` has a dict for each bucket in order: `bucket`, `count`, `url` (None
                    in `others`), `heat` (0 to 4, against the largest integration of the column;
                    of no use in `totals`)
    `next_to_break` the first 20 that still break, soonest first, each a dict `record` (sealed
                    columns deferred, integration loaded), `bucket`, `label`, `breaks_at`,
                    `breaks_at_text` (in the current time zone; safe for years 1 and 9999, where
                    the filters of templates fail), `seconds` (int until then),
                    `when` (the same in words, such as "in 2 hours"),
                    `integration` (its name or ""), `renewable`, `step` (what to do, a sentence)
    `last_import`   the latest finished ImportRun of `runs` (all of them), or None
    """
    now = now.astimezone(timezone.utc)  # so that + 24 hours is 24 hours, summer time or not
    counts = queryset.bucket_counts(now)
    edges = expiry.bucket_edges(now)
    days, months = _day_edges(now), _month_edges(now)
    slots = _count_slots(queryset, now, sorted({*days, *months}))
    rows = _integration_rows(queryset, now)
    return {
        "now": now,
        "total": counts["total"],
        "buckets": [
            {
                "name": name,
                "label": LABELS[name],
                "edge": edges.get(name),
                **_number(counts[name], bucket=name),
            }
            for name in expiry.BUCKETS
        ],
        "stale": _number(counts["stale"], bucket="stale"),
        "unreadable": _number(queryset.unreadable().count(), unreadable=1),
        "verdict": _verdict(counts, edges, rows),
        "days": _chart(slots, now, days, _day_name, _day_span, charts.day_ticks),
        "months": _chart(slots, now, months, _month_name, _month_span, charts.month_ticks),
        "integrations": _integrations(rows, counts),
        "next_to_break": _next_to_break(queryset, now),
        "last_import": (ImportRun.objects.all() if runs is None else runs)
        .exclude(finished_at=None)
        .defer("result")
        .order_by("-finished_at")
        .first(),
    }


def list_url(**params):
    """The address of the list of connections, narrowed by its query parameters."""
    address = reverse("admin:connections_connectionauth_changelist")
    return f"{address}?{urlencode(params)}" if params else address


def span(after=None, until=None):
    """The value of the list's `breaks`: `after` exclusive, `until` inclusive, None is open."""
    return f"{_utc(after)}..{_utc(until)}"


def _utc(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else ""


def _number(count, **params):
    return {"count": count, "url": list_url(**params)}


def _verdict(counts, edges, rows):
    urgent = ("broken", "day", "week")
    named = [row for row in rows if row["type"] is not None]
    most = sorted(named, key=lambda row: -sum(row[name] for name in urgent))[:2]
    return {
        "broken": _number(counts["broken"], bucket="broken"),
        "day": _number(counts["day"], bucket="day"),
        "until": edges["day"],
        "week": _number(sum(counts[name] for name in urgent), breaks=span(until=edges["week"])),
        "most_for": [row["name"] for row in most if any(row[name] for name in urgent)],
    }


# Charts


def _day_edges(now):
    return [now + timedelta(days=step) for step in range(1, DAYS + 1)]


def _month_edges(now):
    """The last moments (to the microsecond) of this month and the 11 after it, in UTC."""
    zone = get_current_timezone()
    today = now.astimezone(zone)
    edges = []
    for months in range(1, MONTHS + 1):
        years, month = divmod(today.month - 1 + months, 12)
        begin = datetime(today.year + years, month + 1, 1, tzinfo=zone)
        edges.append(begin.astimezone(timezone.utc) - timedelta(microseconds=1))
    return edges


def _count_slots(queryset, now, edges):
    """Count what breaks after `now` between any two neighbouring edges.

    Returns `[(edge, person, machine), ...]` with a last one whose edge is None. Both charts and
    the buckets have their edges among `edges`, so one grouping serves them all.
    """
    slot = Case(
        *[When(breaks_at__lte=edge, then=Value(number)) for number, edge in enumerate(edges)],
        default=Value(len(edges)),
        output_field=IntegerField(),
    )
    found = (
        queryset.filter(breaks_at__gt=now)
        .order_by()
        .annotate(slot=slot)
        .values_list("slot", "renewable")
        .annotate(count=Count("pk"))
    )
    counts = {(number, renewable): count for number, renewable, count in found}
    return [
        (edge, counts.get((number, False), 0), counts.get((number, True), 0))
        for number, edge in enumerate([*edges, None])
    ]


def _chart(slots, now, ends, name_of, span_of, ticks_of):
    starts = [now, *ends[:-1]]
    bars = [
        _bar(slots, now, start, end, name_of(end), span_of(start, end))
        for start, end in zip(starts, ends, strict=True)
    ]
    charts.place(bars)
    after = sum(
        person + machine for edge, person, machine in slots if edge is None or edge > ends[-1]
    )
    return {
        "total": _number(sum(bar["count"] for bar in bars), breaks=span(now, ends[-1])),
        "after": _number(after, breaks=span(ends[-1])),
        "height": charts.HEIGHT,
        "horizon": charts.horizon(bars),
        "ticks": ticks_of(bars),
        "bars": bars,
    }


def _bar(slots, now, start, end, name, when):
    inside = [slot for slot in slots if slot[0] is not None and start < slot[0] <= end]
    person = sum(slot[1] for slot in inside)
    machine = sum(slot[2] for slot in inside)
    sizes = {}
    for edge, *split in inside:
        bucket = expiry.bucket_of(edge, now)
        sizes[bucket] = sizes.get(bucket, 0) + sum(split)
    return {
        **_number(person + machine, breaks=span(start, end)),
        "label": _sentence(person, machine, when),
        # The commonest bucket, the sooner of two; where nothing breaks, that of the end.
        "bucket": max(sizes, key=sizes.get) if any(sizes.values()) else expiry.bucket_of(end, now),
        "start": start,
        "end": end,
        "name": name,
        "person": person,
        "machine": machine,
    }


def _sentence(person, machine, when):
    count = person + machine
    if not count:
        return f"Nothing breaks {when}."
    parts = []
    if person:
        parts.append(f"{person} need{'s' if person == 1 else ''} a person")
    if machine:
        parts.append(f"a machine can renew {machine} before then")
    return f"{count} break{'s' if count == 1 else ''} {when}: {', '.join(parts)}."


def _day_name(end):
    return wording.exact(end, "j M")


def _day_span(start, end):
    return f"between {wording.exact(start, 'D j M, H:i')} and {wording.exact(end, 'D j M, H:i')}"


def _month_name(end):
    return wording.exact(end, "M")


def _month_span(start, end):
    # The months after the first begin a microsecond after `start`.
    rest = wording.exact(start, "Y m") == wording.exact(end, "Y m")
    return f"in {'the rest of ' if rest else ''}{wording.exact(end, 'F Y')}"


# Tables


def _integration_rows(queryset, now):
    """A dict for each integration: `type`, `name`, a count for each bucket, `total`.

    The most urgent first, then the largest.
    """
    counts = {name: Count("pk", filter=in_bucket(name, now)) for name in expiry.BUCKETS}
    found = (
        queryset.order_by()
        .values(type=F("integration_id"), name_=F("integration__name"))
        .annotate(**counts, total=Count("pk"))
    )
    rows = [{**row, "name": row["name_"] or row["type"] or "No integration"} for row in found]
    return sorted(
        rows,
        key=lambda row: (
            *(-row[name] for name in ("broken", "day", "week", "month", "total")),
            row["name"],
        ),
    )


def _integrations(rows, counts):
    largest = {name: max((row[name] for row in rows), default=0) for name in expiry.BUCKETS}
    rest = rows[MOST_INTEGRATIONS:]
    others = {name: sum(row[name] for row in rest) for name in (*expiry.BUCKETS, "total")}
    return {
        "rows": [
            {
                "type": row["type"],
                "name": row["name"],
                "cells": _cells(row, largest, _of_integration(row["type"])),
                "total": row["total"],
                "url": list_url(**_of_integration(row["type"])),
            }
            for row in rows[:MOST_INTEGRATIONS]
        ],
        "others": {
            "count": len(rest),
            "cells": _cells(others, largest),
            "total": others["total"],
        }
        if rest
        else None,
        "totals": {
            "cells": _cells(counts, largest, {}),
            "total": counts["total"],
            "url": list_url(),
        },
        "count": len(rows),
    }


def _of_integration(slug):
    return {"integration": NO_INTEGRATION if slug is None else slug}


def _cells(row, largest, params=None):
    return [
        {
            "bucket": name,
            "count": row[name],
            "url": None if params is None else list_url(bucket=name, **params),
            "heat": min(HEAT_LEVELS, ceil(HEAT_LEVELS * row[name] / (largest[name] or 1))),
        }
        for name in expiry.BUCKETS
    ]


def _next_to_break(queryset, now):
    records = queryset.filter(breaks_at__gt=now).listed().order_by("breaks_at", "id")
    return [_next_row(record, now) for record in records[:MOST_NEXT]]


def _next_row(record, now):
    bucket = record.bucket(now)
    return {
        "record": record,
        "bucket": bucket,
        "label": LABELS[bucket],
        "breaks_at": record.breaks_at,
        "breaks_at_text": wording.exact(record.breaks_at),
        "seconds": int((record.breaks_at - now).total_seconds()),
        "when": wording.relative(record.breaks_at, now),
        "integration": str(record.integration or ""),
        "renewable": record.renewable,
        "step": NEXT_STEPS[record.auth_kind],
    }
