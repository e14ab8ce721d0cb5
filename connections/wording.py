"""Pure: moments and sizes in words, for every date that can be stored, years 1 and 9999 too."""

import re
from datetime import datetime, timezone

from django.utils import timezone as django_timezone
from django.utils.dateformat import format as format_date

UNITS = (
    ("year", 365 * 24 * 3600),
    ("day", 24 * 3600),
    ("hour", 3600),
    ("minute", 60),
)


# Control characters other than blanks, and those that turn the direction of the text after them.
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text):
    """Stored text for a page: what would be invisible or turn the page round is spelled out."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found.group()):04x}", str(text))


def csv_cell(value):
    """A cell of a CSV file: text that a spreadsheet does not take for a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def place(issue):
    """Where in a record an issue is, such as `line 7 expiryDate`; of an issue as JSON."""
    line = f"line {issue['line']} " if issue["line"] else ""
    return visible(line + issue["path"]).strip()


def local(moment):
    """`moment` in the current time zone; in UTC where that would leave the calendar."""
    try:
        return django_timezone.localtime(moment)
    except (OverflowError, ValueError):
        return moment.astimezone(timezone.utc)


def exact(moment, pattern="D j M Y, H:i"):
    """`Thu 26 Nov 2026, 14:20` in the current time zone; "" for None."""
    return "" if moment is None else format_date(local(moment), pattern)


def relative(moment, now=None):
    """`in 3 days`, `2 hours ago`, `now`; "" for None. Rounded down to the largest unit."""
    if moment is None:
        return ""
    seconds = (moment - (now or datetime.now(timezone.utc))).total_seconds()
    for name, length in UNITS:
        if abs(seconds) >= length:
            count = int(abs(seconds) // length)
            words = f"{count:,} {name}" + ("" if count == 1 else "s")
            return f"in {words}" if seconds > 0 else f"{words} ago"
    return "now"


def duration(seconds):
    """`12 s`, `1 min 40 s`, `2 h 5 min`."""
    seconds = int(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def size(count):
    """`about 1.2 KB`; below 100 bytes a rough step, so that the length of a key stays private."""
    if count < 100:
        return "under 0.1 KB"
    if count < 1000 * 1000:
        return f"about {count / 1000:.1f} KB"
    return f"about {count / 1000 / 1000:.1f} MB"
