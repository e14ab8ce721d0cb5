"""Pure: the two clocks of a connection on one time line, with now on it. No HTML."""

import math
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.console import wording
from connections.console.dashboard.charts import percent
from connections.expiry import token_facts

# The scale is even near now and logarithmic beyond: hours and a year fit on one line.
NOW_AT = 44  # per cent of the width
YEAR = timedelta(days=365)  # where the line ends
EVEN = timedelta(hours=2)
STEP = (100 - NOW_AT) / math.log1p(YEAR / EVEN)
LEAST_WIDTH = 0.5  # per cent: what has ended long ago is still seen
ROOM = 24  # per cent that a text inside a bar needs
LONG = 38  # per cent of a wide line: the whole of what is said of the break
BAR_Y, ROW = 50, 44  # pixels: where the first bar is, and from one to the next
TEXT = 24  # the line that says when it breaks
FOOT = 52  # from the last clock to the horizon, that line included

TICKS = (
    (timedelta(days=-30), gettext_lazy("30 days ago")),
    (timedelta(days=-7), gettext_lazy("7 days ago")),
    (timedelta(days=-1), gettext_lazy("24 hours ago")),
    (timedelta(days=1), gettext_lazy("In 24 hours")),
    (timedelta(days=7), gettext_lazy("7 days")),
    (timedelta(days=30), gettext_lazy("30 days")),
    (YEAR, gettext_lazy("1 year")),
)
ALWAYS = {timedelta(days=-7), timedelta(days=1), YEAR}  # the others need a wide screen
HORIZON = (
    ("day", timedelta(0), timedelta(days=1)),
    ("week", timedelta(days=1), timedelta(days=7)),
    ("month", timedelta(days=7), timedelta(days=30)),
    ("later", timedelta(days=30), YEAR),
)


def of(record, now):
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
    breaks = _breaks(record, now)
    for number, clock in enumerate(clocks):
        clock["y"] = BAR_Y + number * ROW
    foot = len(clocks) * ROW + (FOOT if breaks else FOOT - TEXT)
    spoken = [f"{clock['name']} {clock['says']}." for clock in clocks]
    if breaks:
        spoken.append(f"{breaks['says']}, {breaks['then']}.")
    return {
        "clocks": clocks,
        "machine": _machine(record, now),
        "breaks": breaks,
        "now": {"x": percent(NOW_AT), "says": _("Now, %s") % wording.exact(now, "H:i")},
        "ticks": [
            {
                "x": percent(_place(offset)),
                "text": text,
                "anchor": "end" if offset == YEAR else "middle",
                "is_wide": offset not in ALWAYS,
            }
            for offset, text in TICKS
        ],
        "horizon": [
            {"bucket": bucket, **_span(_place(begins), _place(ends))}
            for bucket, begins, ends in HORIZON
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
        clocks.append(_clock(name, min(_begins(record) or issued, access), access, now))
    if refresh:
        clocks.append(_clock(_("Refresh token"), min(issued, refresh), refresh, now))
    elif record.renewable and access:
        clocks.append(_clock(_("Renewal"), None, None, now))
    return clocks


def _begins(record):
    """Since when the token or certificate that ends has been valid, where it says so."""
    told = record.facts or {}
    if record.expiry_source == "certificate" and "not_before" in told.get("pem", ()):
        return datetime.fromisoformat(told["pem"]["not_before"])
    if record.expiry_source == "jwt":
        for token in (told[name] for name in ("access_token", "token") if name in told):
            if "exp" in token:
                return token_facts.moment(token.get("iat"))
    return None


def _clock(name, begins, ends, now):
    if ends is None:
        says = short = _("has no known end")
        is_over = False
        bar = _span(NOW_AT, 100)
    else:
        is_over = ends <= now
        pattern = _("ended %(when)s, %(ago)s") if is_over else _("ends %(when)s, %(ago)s")
        ago = wording.relative(ends, now)
        says = pattern % {"when": wording.exact(ends), "ago": ago}
        short = (_("ended %s") if is_over else _("ends %s")) % ago
        bar = _span(_place(begins - now), _place(ends - now))
    return {
        "name": name,
        "says": says,
        "short": short,  # on a phone, where the other would cross now
        "begins": begins,
        "ends": ends,
        "bar": bar,
        "is_over": is_over,
    }


def _machine(record, now):
    """From the end of access to where only a person can help: a machine's time."""
    access, breaks = record.access_expires_at, record.breaks_at
    if not record.renewable or not access or (breaks and breaks <= access):
        return None
    left, right = _place(access - now), _place(breaks - now) if breaks else 100
    span = _span(left, right)
    left = max(left, NOW_AT)  # the text does not stand across now
    return {**span, "middle": percent((left + right) / 2), "has_room": right - left >= ROOM}


def _breaks(record, now):
    """The moment after which only a person can help, the place of its mark and of its text."""
    if record.breaks_at is None:
        return None
    place, bucket = _place(record.breaks_at - now), record.bucket(now)
    is_refresh = record.breaks_at == record.refresh_expires_at != record.access_expires_at
    anchor = "start" if place < 30 else "end" if place > 60 else "middle"
    begins = place - {"start": 0, "middle": LONG / 2, "end": LONG}[anchor]
    says = _("Broke %s") if bucket == "broken" else _("Breaks %s")
    then = _("no machine can renew it")
    if record.renewable:
        then = _("after that only the customer can help")
    return {
        "x": percent(place),
        "anchor": anchor,
        "dx": {"start": 12, "end": -12}.get(anchor, 0),  # beside the mark
        "bucket": bucket,
        "y": BAR_Y + ROW * is_refresh + 7,
        "says": says % wording.exact(record.breaks_at),
        # On a phone it has its side of now to itself, and no room for more.
        "short": says % wording.exact(record.breaks_at, "j M Y"),
        "middle": percent(NOW_AT / 2 if place < NOW_AT else (NOW_AT + 100) / 2),
        "then": then,
        "has_room": not begins < NOW_AT < begins + LONG,
    }


def _place(offset):
    """Where a moment stands, in per cent; what is off the line, at its end."""
    distance = STEP * math.log1p(abs(offset) / EVEN)
    return min(max(NOW_AT + math.copysign(distance, offset.total_seconds()), 0), 100)


def _span(left, right):
    return {"x": percent(left), "width": percent(max(right - left, LEAST_WIDTH))}
