"""The charts of the dashboard: what their bars count and say, and their geometry. No queries.

Heights and y are pixels; x and width are percentages of the width.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import groupby

from django.utils.timezone import get_current_timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.console import wording
from connections.console.list_url import LinkedCount, breaks_param, linked_count, list_url
from connections.expiry import deadlines
from connections.records.counts import Fact, sum_by

DAY_COUNT = 30
MONTH_COUNT = 12

# Pixels. The figure of a bar is above it, so the plot has room at its top.
PLOT_HEIGHT = 120
PLOT_TOP = 20
CHART_HEIGHT = PLOT_TOP + PLOT_HEIGHT
MIN_BAR_HEIGHT = 2


@dataclass(frozen=True, kw_only=True)
class Bar(LinkedCount):
    """The connections that break within one step of a chart."""

    label: str  # a whole sentence
    bucket: str
    end: datetime  # inclusive
    name: str  # such as "Nov" or "24 Nov"
    person: LinkedCount  # those that need a person
    machine: LinkedCount  # those that a machine can renew
    x: str
    width: str
    y: int  # also of its upper part, `machine`
    person_y: int
    person_height: int
    machine_height: int
    is_peak: bool  # its figure is shown even where room is scarce


@dataclass(frozen=True, kw_only=True)
class BucketSpan:
    """The part of the axis that lies in one bucket."""

    bucket: str
    x: str
    width: str


@dataclass(frozen=True, kw_only=True)
class Tick:
    x: str
    anchor: str  # of the text: start, middle or end
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    total: LinkedCount  # what the bars count
    beyond: LinkedCount  # what breaks after the last bar
    height: int  # of the plot with the room above it; the base line is there
    bucket_spans: list[BucketSpan]
    ticks: list[Tick]
    bars: list[Bar]


def day_edges(now):
    """The ends of the next 30 times 24 hours."""
    return [now + timedelta(days=step) for step in range(1, DAY_COUNT + 1)]


def month_edges(now):
    """The last moments (to the microsecond) of this month and the 11 after it, in UTC."""
    zone = get_current_timezone()
    today = now.astimezone(zone)
    edges = []
    for months in range(1, MONTH_COUNT + 1):
        years, month = divmod(today.month - 1 + months, 12)
        begin = datetime(today.year + years, month + 1, 1, tzinfo=zone)
        edges.append(begin.astimezone(timezone.utc) - timedelta(microseconds=1))
    return edges


def daily_chart(groups, now, connection_filter):
    """The next 30 times 24 hours. Its bars add up to the tiles day, week and month."""
    bars = _bars(
        groups, now, connection_filter, day_edges(now), wording.SHORT_DATE_FORMAT, _day_span
    )
    return _chart(groups, now, connection_filter, bars, _day_ticks(bars))


def monthly_chart(groups, now, connection_filter):
    """The rest of this calendar month in the current time zone, and the 11 months after it."""
    bars = _bars(groups, now, connection_filter, month_edges(now), "M", _month_span)
    return _chart(groups, now, connection_filter, bars, _month_ticks(bars))


def _chart(groups, now, connection_filter, bars, ticks):
    end = bars[-1].end
    total = sum(bar.count for bar in bars)
    coming = sum(group.count for group in groups if group.bucket not in ("broken", "no_end"))
    return Chart(
        total=linked_count(connection_filter, total, breaks=breaks_param(now, end)),
        beyond=linked_count(connection_filter, coming - total, breaks=breaks_param(end)),
        height=CHART_HEIGHT,
        bucket_spans=_bucket_spans(bars),
        ticks=ticks,
        bars=bars,
    )


def _bars(groups, now, connection_filter, ends, name_format, format_span):
    steps = [[] for _end in ends]
    for group in groups:
        if group.bucket != "broken" and group.until is not None and group.until <= ends[-1]:
            steps[bisect_left(ends, group.until)].append(group)
    counts = [sum(group.count for group in step) for step in steps]
    largest = max(counts) or 1
    first = next((position for position, count in enumerate(counts) if count), None)
    bars = []
    for position, (step, start, end) in enumerate(
        zip(steps, [now, *ends[:-1]], ends, strict=True)
    ):
        breaks = breaks_param(start, end)
        by_renewable = sum_by(step, lambda group: Fact.RENEWABLE in group.facts)
        person, machine = by_renewable[False], by_renewable[True]
        person_height, machine_height = (
            _bar_height(count, largest) for count in (person, machine)
        )
        bars.append(
            Bar(
                count=counts[position],
                url=list_url(connection_filter, breaks=breaks),
                label=_bar_label(person, machine, format_span(start, end)),
                bucket=_bar_bucket(step, end, now),
                end=end,
                name=wording.format_datetime(end, name_format),
                person=linked_count(connection_filter, person, breaks=breaks, renewable=0),
                machine=linked_count(connection_filter, machine, breaks=breaks, renewable=1),
                x=wording.percent(position * 100 / len(ends)),
                width=wording.percent(100 / len(ends)),
                y=CHART_HEIGHT - person_height - machine_height,
                person_y=CHART_HEIGHT - person_height,
                person_height=person_height,
                machine_height=machine_height,
                is_peak=position == first or counts[position] == largest,
            )
        )
    return bars


def _bar_height(count, largest):
    """Pixels for one part of a bar. None is too low to be seen, and both fit into the plot."""
    if not count:
        return 0
    return max(MIN_BAR_HEIGHT, round(count / largest * (PLOT_HEIGHT - 2 * MIN_BAR_HEIGHT)))


def _bar_bucket(groups, end, now):
    """The commonest bucket, the sooner of two; where nothing breaks, that of the end."""
    by_bucket = sum_by(sorted(groups, key=lambda group: group.until), lambda group: group.bucket)
    return max(by_bucket, key=by_bucket.get) if by_bucket else deadlines.bucket_of(end, now)


def _bar_label(person, machine, when):
    count = person + machine
    if not count:
        return _("Nothing breaks %(when)s.") % {"when": when}
    parts = []
    if person:
        parts.append(ngettext("%d needs a person", "%d need a person", person) % person)
    if machine:
        parts.append(_("a machine can renew %d") % machine)
    whole = ngettext(
        "%(count)d breaks %(when)s: %(parts)s.", "%(count)d break %(when)s: %(parts)s.", count
    )
    return whole % {"count": count, "when": when, "parts": ", ".join(parts)}


def _day_span(start, end):
    return _("in the 24 hours to %s") % wording.format_datetime(end, wording.SHORT_DATETIME_FORMAT)


def _month_span(start, end):
    # The months after the first begin a microsecond after `start`.
    is_rest = wording.format_datetime(start, "Y m") == wording.format_datetime(end, "Y m")
    month = wording.format_datetime(end, "F Y")
    return (_("in the rest of %s") if is_rest else _("in %s")) % month


def _bucket_spans(bars):
    step, position, spans = 100 / len(bars), 0, []
    for bucket, run in groupby(bar.bucket for bar in bars):
        length = len(list(run))
        x, width = wording.percent(position * step), wording.percent(length * step)
        spans.append(BucketSpan(bucket=bucket, x=x, width=width))
        position += length
    return spans


def _day_ticks(bars):
    """Marks for now and for each week."""
    ticks = [Tick(x="0%", anchor="start", text=_("Now"))]
    for days in (7, 14, 21, len(bars)):
        label = _("%s d") % days
        ticks.append(
            Tick(
                x=wording.percent(days * 100 / len(bars)),
                anchor="end" if days == len(bars) else "middle",
                text=f"{label} · {bars[days - 1].name}",
            )
        )
    return ticks


def _month_ticks(bars):
    """A mark under each bar."""
    step = 100 / len(bars)
    return [
        Tick(x=wording.percent((position + 0.5) * step), anchor="middle", text=bar.name)
        for position, bar in enumerate(bars)
    ]
