"""Pure: where the bars of a chart and the marks under them stand."""

from itertools import groupby

# Pixels. The figure of a bar stands above it, so the plot has room at its top.
PLOT_HEIGHT = 120
PLOT_TOP = 20
HEIGHT = PLOT_TOP + PLOT_HEIGHT
LEAST_BAR = 2
BAR_SHARE = 0.76  # of the space from one bar to the next


def place(bars):
    """Add the geometry to the bars of a chart (see dashboard.context)."""
    largest = max(bar["count"] for bar in bars) or 1
    step = 100 / len(bars)
    first = next((bar for bar in bars if bar["count"]), None)
    for position, bar in enumerate(bars):
        left = position * step
        person, machine = _height(bar["person"], largest), _height(bar["machine"], largest)
        bar.update(
            slot_x=percent(left),
            slot_width=percent(step),
            x=percent(left + step * (1 - BAR_SHARE) / 2),
            width=percent(step * BAR_SHARE),
            centre=percent(left + step / 2),
            y=HEIGHT - person - machine,
            person_y=HEIGHT - person,
            person_height=person,
            machine_y=HEIGHT - person - machine,
            machine_height=machine,
            is_peak=bar is first or bar["count"] == largest,
        )


def horizon(bars):
    """Neighbouring bars of one bucket, as dicts `bucket`, `x`, `width` (places)."""
    step, position, runs = 100 / len(bars), 0, []
    for bucket, run in groupby(bar["bucket"] for bar in bars):
        length = len(list(run))
        x, width = percent(position * step), percent(length * step)
        runs.append({"bucket": bucket, "x": x, "width": width})
        position += length
    return runs


def day_ticks(bars):
    """Marks for now and each week under bars of a day: dicts `x` (place), `anchor`, `text`."""
    ticks = [{"x": "0%", "anchor": "start", "text": "Now"}]
    for days in (7, 14, 21, len(bars)):
        ticks.append(
            {
                "x": percent(days * 100 / len(bars)),
                "anchor": "end" if days == len(bars) else "middle",
                "text": f"{days} d · {bars[days - 1]['name']}",
            }
        )
    return ticks


def month_ticks(bars):
    """A mark under each bar, in the same form."""
    return [{"x": bar["centre"], "anchor": "middle", "text": bar["name"]} for bar in bars]


def _height(count, largest):
    """Pixels for one part of a bar. What is there is seen, and both parts fit into the plot."""
    if not count:
        return 0
    return max(LEAST_BAR, round(count / largest * (PLOT_HEIGHT - 2 * LEAST_BAR)))


def percent(number):
    return f"{number:.4f}".rstrip("0").rstrip(".") + "%"
