"""Pure: the bars of a chart, what they count and say, and where they and their marks stand."""

from bisect import bisect_left
from datetime import datetime, timedelta, timezone
from itertools import groupby

from django.utils.timezone import get_current_timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.console import wording
from connections.console.list_url import breaks_param, count_link
from connections.console.wording import percent
from connections.expiry import deadlines
from connections.records.counts import sum_by

DAY_COUNT = 30
MONTH_COUNT = 12

# Pixels. The figure of a bar stands above it, so the plot has room at its top.
PLOT_HEIGHT = 120
PLOT_TOP = 20
CHART_HEIGHT = PLOT_TOP + PLOT_HEIGHT
MIN_BAR_HEIGHT = 2


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


def daily_chart(cells, now, place):
    """The chart of the next 30 days of a list of Cells (see dashboard.context)."""
    return _build_chart(cells, now, place, day_edges(now), _day_name, _day_span, day_ticks)


def monthly_chart(cells, now, place):
    """The chart of this month, from now on, and the 11 after it, likewise."""
    return _build_chart(cells, now, place, month_edges(now), _month_name, _month_span, month_ticks)


def _build_chart(cells, now, place, ends, name_of, span_of, ticks_of):
    starts = [now, *ends[:-1]]
    coming = [cell for cell in cells if cell.bucket not in ("broken", "no_end")]
    steps = [[] for _ in ends]
    after = 0
    for cell in coming:
        if cell.until is None or cell.until > ends[-1]:
            after += cell.count
        else:
            steps[bisect_left(ends, cell.until)].append(cell)
    bars = [
        _bar(inside, now, place, start, end, name_of(end), span_of(start, end))
        for inside, start, end in zip(steps, starts, ends, strict=True)
    ]
    _add_geometry(bars)
    return {
        "total": count_link(
            place, sum(bar["count"] for bar in bars), breaks=breaks_param(now, ends[-1])
        ),
        "after": count_link(place, after, breaks=breaks_param(ends[-1])),
        "height": CHART_HEIGHT,
        "horizon": bucket_spans(bars),
        "ticks": ticks_of(bars),
        "bars": bars,
    }


def _bar(cells, now, place, start, end, name, when):
    breaks = breaks_param(start, end)
    split = sum_by(cells, lambda cell: cell.renewable)
    sizes = sum_by(sorted(cells, key=lambda cell: cell.until), lambda cell: cell.bucket)
    person, machine = split[False], split[True]
    return {
        **count_link(place, person + machine, breaks=breaks),
        "label": _bar_label(person, machine, when),
        # The commonest bucket, the sooner of two; where nothing breaks, that of the end.
        "bucket": max(sizes, key=sizes.get) if sizes else deadlines.bucket_of(end, now),
        "start": start,
        "end": end,
        "name": name,
        "person": count_link(place, person, breaks=breaks, renewable=0),
        "machine": count_link(place, machine, breaks=breaks, renewable=1),
    }


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


def _day_name(end):
    return wording.format_datetime(end, wording.SHORT_DATE_FORMAT)


def _day_span(start, end):
    return _("in the 24 hours to %s") % wording.format_datetime(end, wording.SHORT_DATETIME_FORMAT)


def _month_name(end):
    return wording.format_datetime(end, "M")


def _month_span(start, end):
    # The months after the first begin a microsecond after `start`.
    is_rest = wording.format_datetime(start, "Y m") == wording.format_datetime(end, "Y m")
    month = wording.format_datetime(end, "F Y")
    return (_("in the rest of %s") if is_rest else _("in %s")) % month


# Geometry


def _add_geometry(bars):
    """Add the geometry to the bars of a chart (see dashboard.context)."""
    largest = max(bar["count"] for bar in bars) or 1
    step = 100 / len(bars)
    first = next((bar for bar in bars if bar["count"]), None)
    for position, bar in enumerate(bars):
        person, machine = (
            _bar_height(bar[part]["count"], largest) for part in ("person", "machine")
        )
        bar.update(
            x=percent(position * step),
            width=percent(step),
            y=CHART_HEIGHT - person - machine,
            person_y=CHART_HEIGHT - person,
            person_height=person,
            machine_y=CHART_HEIGHT - person - machine,
            machine_height=machine,
            is_peak=bar is first or bar["count"] == largest,
        )


def bucket_spans(bars):
    """Neighbouring bars of one bucket, as dicts `bucket`, `x`, `width` (stretches)."""
    step, position, runs = 100 / len(bars), 0, []
    for bucket, run in groupby(bar["bucket"] for bar in bars):
        length = len(list(run))
        x, width = percent(position * step), percent(length * step)
        runs.append({"bucket": bucket, "x": x, "width": width})
        position += length
    return runs


def day_ticks(bars):
    """Marks for now and each week under bars of a day: dicts `x` (stretch), `anchor`, `text`."""
    ticks = [{"x": "0%", "anchor": "start", "text": _("Now")}]
    for days in (7, 14, 21, len(bars)):
        ticks.append(
            {
                "x": percent(days * 100 / len(bars)),
                "anchor": "end" if days == len(bars) else "middle",
                "text": f"{_days_label(days)} · {bars[days - 1]['name']}",
            }
        )
    return ticks


def _days_label(count):
    return _("%s d") % count


def month_ticks(bars):
    """A mark under each bar, in the same form."""
    step = 100 / len(bars)
    return [
        {"x": percent((position + 0.5) * step), "anchor": "middle", "text": bar["name"]}
        for position, bar in enumerate(bars)
    ]


def _bar_height(count, largest):
    """Pixels for one part of a bar. What is there is seen, and both parts fit into the plot."""
    if not count:
        return 0
    return max(MIN_BAR_HEIGHT, round(count / largest * (PLOT_HEIGHT - 2 * MIN_BAR_HEIGHT)))
