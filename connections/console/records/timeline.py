"""Pure: the two clocks of a connection on one time line, with now on it. No HTML."""

import math
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.console import wording
from connections.console.wording import percent
from connections.expiry import token_facts

# The scale is even near now and logarithmic beyond: hours and a year fit on one line.
NOW_X = 44  # per cent of the width
MAX_OFFSET = timedelta(days=365)  # where the line ends
LINEAR_SPAN = timedelta(hours=2)
LOG_SCALE = (100 - NOW_X) / math.log1p(MAX_OFFSET / LINEAR_SPAN)
MIN_BAR_WIDTH = 0.5  # per cent: what has ended long ago is still seen
MIN_LABEL_WIDTH = 24  # per cent that a text inside a bar needs
BREAK_LABEL_WIDTH = 38  # per cent of a wide line: the whole of what is said of the break
FIRST_BAR_Y, ROW_HEIGHT = 50, 44  # pixels: where the first bar is, and from one to the next
BREAK_LABEL_HEIGHT = 24  # the line that says when it breaks
FOOTER_HEIGHT = 52  # from the last clock to the horizon, that line included

TICKS = (
    (timedelta(days=-30), gettext_lazy("30 days ago")),
    (timedelta(days=-7), gettext_lazy("7 days ago")),
    (timedelta(days=-1), gettext_lazy("24 hours ago")),
    (timedelta(days=1), gettext_lazy("In 24 hours")),
    (timedelta(days=7), gettext_lazy("7 days")),
    (timedelta(days=30), gettext_lazy("30 days")),
    (MAX_OFFSET, gettext_lazy("1 year")),
)
NARROW_SCREEN_TICKS = {
    timedelta(days=-7),
    timedelta(days=1),
    MAX_OFFSET,
}  # the others need a wide screen
BUCKET_SPANS = (
    ("day", timedelta(0), timedelta(days=1)),
    ("week", timedelta(days=1), timedelta(days=7)),
    ("month", timedelta(days=7), timedelta(days=30)),
    ("later", timedelta(days=30), MAX_OFFSET),
)


def build(record, now):
    """The time line of a record; None where it has no clock.

    A dict: `clocks` (dicts `name`, `says`, `short`, `begins`, `ends`, `bar`, `is_over`, `y`),
    `machine` (the time in which a machine can renew it) and `breaks` (dicts of places, or None),
    `now` (its place and text), `ticks`, `horizon`, `text` (the whole in sentences), `foot` and
    `height`.
    Places are per cent; what is from top to bottom is pixels.
    """
    clocks = _clocks(record, now)
    if not clocks:
        return None
    breaks = _break_mark(record, now)
    for number, clock in enumerate(clocks):
        clock["y"] = FIRST_BAR_Y + number * ROW_HEIGHT
    foot = len(clocks) * ROW_HEIGHT + (
        FOOTER_HEIGHT if breaks else FOOTER_HEIGHT - BREAK_LABEL_HEIGHT
    )
    spoken = [f"{clock['name']} {clock['says']}." for clock in clocks]
    if breaks:
        spoken.append(f"{breaks['says']}, {breaks['then']}.")
    return {
        "clocks": clocks,
        "machine": _renewal_window(record, now),
        "breaks": breaks,
        "now": {"x": percent(NOW_X), "says": _("Now, %s") % wording.format_datetime(now, "H:i")},
        "ticks": [
            {
                "x": percent(_x_position(offset)),
                "text": text,
                "anchor": "end" if offset == MAX_OFFSET else "middle",
                "is_wide": offset not in NARROW_SCREEN_TICKS,
            }
            for offset, text in TICKS
        ],
        "horizon": [
            {"bucket": bucket, **_x_span(_x_position(begins), _x_position(ends))}
            for bucket, begins, ends in BUCKET_SPANS
        ],
        "text": " ".join(spoken),
        "foot": foot,
        "height": foot + 26,
    }


def _clocks(record, now):
    issued = record.source_updated_at or record.source_created_at or record.received_at
    access, refresh = record.access_expires_at, record.refresh_expires_at
    clocks = []
    if access:
        name = _("Certificate") if record.expiry_source == "certificate" else _("Access")
        clocks.append(_clock(name, min(_valid_since(record) or issued, access), access, now))
    if refresh:
        clocks.append(_clock(_("Refresh token"), min(issued, refresh), refresh, now))
    elif record.renewable and access:
        clocks.append(_clock(_("Renewal"), None, None, now))
    return clocks


def _valid_since(record):
    """Since when the token or certificate that ends has been valid, where it says so."""
    told = record.facts or {}
    if record.expiry_source == "certificate" and "not_before" in told.get("pem", ()):
        return datetime.fromisoformat(told["pem"]["not_before"])
    if record.expiry_source == "jwt":
        for token in (told[name] for name in ("access_token", "token") if name in told):
            if "exp" in token:
                return token_facts.parse_numeric_date(token.get("iat"))
    return None


def _clock(name, begins, ends, now):
    if ends is None:
        says = short = _("has no known end")
        is_over = False
        bar = _x_span(NOW_X, 100)
    else:
        is_over = ends <= now
        pattern = _("ended %(when)s, %(ago)s") if is_over else _("ends %(when)s, %(ago)s")
        ago = wording.relative_time(ends, now)
        says = pattern % {"when": wording.format_datetime(ends), "ago": ago}
        short = (_("ended %s") if is_over else _("ends %s")) % ago
        bar = _x_span(_x_position(begins - now), _x_position(ends - now))
    return {
        "name": name,
        "says": says,
        "short": short,  # on a phone, where the other would cross now
        "begins": begins,
        "ends": ends,
        "bar": bar,
        "is_over": is_over,
    }


def _renewal_window(record, now):
    """From the end of access to where only a person can help: a machine's time."""
    access, breaks = record.access_expires_at, record.breaks_at
    if not record.renewable or not access or (breaks and breaks <= access):
        return None
    left, right = _x_position(access - now), _x_position(breaks - now) if breaks else 100
    span = _x_span(left, right)
    left = max(left, NOW_X)  # the text does not stand across now
    return {
        **span,
        "middle": percent((left + right) / 2),
        "has_room": right - left >= MIN_LABEL_WIDTH,
    }


def _break_mark(record, now):
    """The moment after which only a person can help, the place of its mark and of its text."""
    if record.breaks_at is None:
        return None
    place, bucket = _x_position(record.breaks_at - now), record.bucket(now)
    is_refresh = record.breaks_at == record.refresh_expires_at != record.access_expires_at
    anchor = "start" if place < 30 else "end" if place > 60 else "middle"
    begins = (
        place - {"start": 0, "middle": BREAK_LABEL_WIDTH / 2, "end": BREAK_LABEL_WIDTH}[anchor]
    )
    says = _("Broke %s") if bucket == "broken" else _("Breaks %s")
    then = _("no machine can renew it")
    if record.renewable:
        then = _("after that only the customer can help")
    return {
        "x": percent(place),
        "anchor": anchor,
        "dx": {"start": 12, "end": -12}.get(anchor, 0),  # beside the mark
        "bucket": bucket,
        "y": FIRST_BAR_Y + ROW_HEIGHT * is_refresh + 7,
        "says": says % wording.format_datetime(record.breaks_at),
        # On a phone it has its side of now to itself, and no room for more.
        "short": says % wording.format_datetime(record.breaks_at, "j M Y"),
        "middle": percent(NOW_X / 2 if place < NOW_X else (NOW_X + 100) / 2),
        "then": then,
        "has_room": not begins < NOW_X < begins + BREAK_LABEL_WIDTH,
    }


def _x_position(offset):
    """Where a moment stands, in per cent; what is off the line, at its end."""
    distance = LOG_SCALE * math.log1p(abs(offset) / LINEAR_SPAN)
    return min(max(NOW_X + math.copysign(distance, offset.total_seconds()), 0), 100)


def _x_span(left, right):
    return {"x": percent(left), "width": percent(max(right - left, MIN_BAR_WIDTH))}
