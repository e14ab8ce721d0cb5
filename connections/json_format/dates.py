"""The dates of the API's JSON, read and written."""

import re
from datetime import datetime, timedelta, timezone

DATE_PATTERN = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"\s?(Z|z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)


def parse_date(text: str) -> tuple[datetime, bool]:
    """Read an ISO 8601 / RFC 3339 date-time: `(aware datetime, had a zone)`. Raises ValueError.

    The separators are required: people read 01/02/2026 and 20260102 in different ways.
    """
    if len(text) == 24 and text[10] == "T" and text[19] == "." and text[23] == "Z":
        # As the API writes it. fromisoformat is strict about the rest, and fast.
        return datetime.fromisoformat(text), True
    match = DATE_PATTERN.fullmatch(text)
    if not match:
        raise ValueError
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    moment = datetime(
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "0").ljust(6, "0")[:6]),
        tzinfo=timezone.utc,
    )
    if zone and zone not in "Zz":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        hours, minutes = int(digits[:2]), int(digits[2:])
        if hours > 23 or minutes > 59:
            raise ValueError
        offset = timedelta(hours=hours, minutes=minutes)
        try:
            moment = moment - offset if zone[0] == "+" else moment + offset
        except OverflowError:
            raise ValueError from None
    return moment, bool(zone)


def iso(moment: datetime) -> str:
    """Write an aware datetime as the API does: `2027-01-01T00:00:00.000Z`."""
    if moment.tzinfo is not timezone.utc:
        moment = moment.astimezone(timezone.utc)
    return moment.isoformat("T", "milliseconds")[:-6] + "Z"
