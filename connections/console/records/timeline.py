"""The time line of a connection: its access, its renewal, now, and when it breaks. No queries.

Positions and widths are percentages of the width, y and heights are pixels.
"""

import math
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.console import wording
from connections.expiry import token_facts

# The scale is linear near now and logarithmic beyond, so that hours and a year fit on one line.
NOW_X = 44  # per cent of the width
MAX_OFFSET = timedelta(days=365)  # the end of the line
LINEAR_SPAN = timedelta(hours=2)
LOG_SCALE = (100 - NOW_X) / math.log1p(MAX_OFFSET / LINEAR_SPAN)
MIN_BAR_WIDTH = 0.5  # per cent, so that what ended long ago is still seen
MIN_LABEL_WIDTH = 24  # per cent that a text inside a bar needs
BREAK_LABEL_WIDTH = 38  # per cent of a wide line that the whole text of the break mark takes
FIRST_BAR_Y, ROW_HEIGHT = 50, 44
BREAK_LABEL_HEIGHT = 24
FOOTER_HEIGHT = 52  # from the last bar to the axis, with the label of the break mark
AXIS_HEIGHT = 26  # the axis and the labels of its ticks

TICKS = (
    (timedelta(days=-30), gettext_lazy("30 days ago")),
    (timedelta(days=-7), gettext_lazy("7 days ago")),
    (timedelta(days=-1), gettext_lazy("24 hours ago")),
    (timedelta(days=1), gettext_lazy("In 24 hours")),
    (timedelta(days=7), gettext_lazy("7 days")),
    (timedelta(days=30), gettext_lazy("30 days")),
    (MAX_OFFSET, gettext_lazy("1 year")),
)
NARROW_SCREEN_TICKS = {timedelta(days=-7), timedelta(days=1), MAX_OFFSET}
BUCKET_SPANS = (
    ("day", timedelta(0), timedelta(days=1)),
    ("week", timedelta(days=1), timedelta(days=7)),
    ("month", timedelta(days=7), timedelta(days=30)),
    ("later", timedelta(days=30), MAX_OFFSET),
)


def build_timeline(record, now):
    """What the template of the time line shows, or None where no lifetime is known."""
    clocks = _clocks(record, now)
    if not clocks:
        return None
    break_mark = _break_mark(record, now)
    sentences = ["{name} {label}.".format_map(clock) for clock in clocks]
    axis_y = len(clocks) * ROW_HEIGHT + FOOTER_HEIGHT
    if break_mark:
        sentences.append("{label}, {consequence}.".format_map(break_mark))
    else:
        axis_y -= BREAK_LABEL_HEIGHT
    return {
        "clocks": clocks,  # one or two
        "renewal_window": _renewal_window(record, now),
        "break_mark": break_mark,
        "now_x": wording.percent(NOW_X),
        "now_label": _("Now, %s") % wording.format_datetime(now, "H:i"),
        "ticks": [
            {
                "x": wording.percent(_x_position(offset)),
                "text": text,
                "anchor": "end" if offset == MAX_OFFSET else "middle",
                "is_wide": offset not in NARROW_SCREEN_TICKS,  # shown on a wide screen only
            }
            for offset, text in TICKS
        ],
        "bucket_spans": [
            {"bucket": bucket, **_x_span(_x_position(begins), _x_position(ends))}
            for bucket, begins, ends in BUCKET_SPANS
        ],
        "text": " ".join(sentences),  # the whole, for screen readers
        "axis_y": axis_y,
        "height": axis_y + AXIS_HEIGHT,
    }


def _clocks(record, now):
    issued = record.source_updated_at or record.source_created_at or record.received_at
    access, refresh = record.access_expires_at, record.refresh_expires_at
    lifetimes = []
    if access:
        name = _("Certificate") if record.expiry_source == "certificate" else _("Access")
        lifetimes.append((name, min(_valid_since(record) or issued, access), access))
    if refresh:
        lifetimes.append((_("Refresh token"), min(issued, refresh), refresh))
    elif record.renewable and access:
        lifetimes.append((_("Renewal"), None, None))
    return [
        _clock(name, begins, ends, now, FIRST_BAR_Y + position * ROW_HEIGHT)
        for position, (name, begins, ends) in enumerate(lifetimes)
    ]


def _valid_since(record):
    """The start of the lifetime that the token or certificate itself states, or None."""
    stored_facts = record.facts or {}
    if record.expiry_source == "certificate" and "not_before" in stored_facts.get("pem", ()):
        return datetime.fromisoformat(stored_facts["pem"]["not_before"])
    if record.expiry_source == "jwt":
        for name in ("access_token", "token"):
            if "exp" in stored_facts.get(name, ()):
                return token_facts.parse_numeric_date(stored_facts[name].get("iat"))
    return None


def _clock(name, begins, ends, now, y):
    """One lifetime: of access, of the refresh token, or of a renewal without an end."""
    is_over = False
    if ends is None:
        label = short_label = _("has no known end")
        bar = _x_span(NOW_X, 100)
    else:
        is_over = ends <= now
        text = _("ended %(when)s, %(ago)s") if is_over else _("ends %(when)s, %(ago)s")
        ago = wording.relative_time(ends, now)
        label = text % {"when": wording.format_datetime(ends), "ago": ago}
        short_label = (_("ended %s") if is_over else _("ends %s")) % ago
        bar = _x_span(_x_position(begins - now), _x_position(ends - now))
    return {
        "name": name,
        "label": label,
        "short_label": short_label,  # on a narrow screen: label would cross the line of now
        "begins": begins,
        "ends": ends,
        "is_over": is_over,
        "y": y,
        **bar,
    }


def _renewal_window(record, now):
    """From the end of access to the moment after which only a person can help."""
    access, breaks = record.access_expires_at, record.breaks_at
    if not record.renewable or not access or (breaks and breaks <= access):
        return None
    left, right = _x_position(access - now), _x_position(breaks - now) if breaks else 100
    label_left = max(left, NOW_X)  # the label does not cross the line of now
    return {
        **_x_span(left, right),
        "middle": wording.percent((label_left + right) / 2),
        "has_room": right - label_left >= MIN_LABEL_WIDTH,  # for the label
    }


def _break_mark(record, now):
    """The moment after which only a person can help."""
    if record.breaks_at is None:
        return None
    x, bucket = _x_position(record.breaks_at - now), record.bucket(now)
    is_refresh = record.breaks_at == record.refresh_expires_at != record.access_expires_at
    anchor = "start" if x < 30 else "end" if x > 60 else "middle"
    before_mark = {"start": 0, "middle": BREAK_LABEL_WIDTH / 2, "end": BREAK_LABEL_WIDTH}
    label_left = x - before_mark[anchor]
    text = _("Broke %s") if bucket == "broken" else _("Breaks %s")
    consequence = _("no machine can renew it")
    if record.renewable:
        consequence = _("after that only the customer can help")
    return {
        "x": wording.percent(x),
        "y": FIRST_BAR_Y + ROW_HEIGHT * is_refresh + 7,
        "anchor": anchor,
        "dx": {"start": 12, "end": -12}.get(anchor, 0),  # pixels from the mark to the label
        "bucket": bucket,
        "label": text % wording.format_datetime(record.breaks_at),
        "consequence": consequence,  # follows the label
        "has_room": not label_left < NOW_X < label_left + BREAK_LABEL_WIDTH,  # for it
        # On a narrow screen, where the label is in the middle of its side of now:
        "short_label": text % wording.format_datetime(record.breaks_at, "j M Y"),
        "middle": wording.percent(NOW_X / 2 if x < NOW_X else (NOW_X + 100) / 2),
    }


def _x_position(offset):
    """The percentage for a time before or after now; off the line, that of its nearer end."""
    distance = LOG_SCALE * math.log1p(abs(offset) / LINEAR_SPAN)
    return min(max(NOW_X + math.copysign(distance, offset.total_seconds()), 0), 100)


def _x_span(left, right):
    return {"x": wording.percent(left), "width": wording.percent(max(right - left, MIN_BAR_WIDTH))}
