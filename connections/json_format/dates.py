"""The dates of the API's JSON, read and written."""

import re
from datetime import datetime, timezone

DATE_PATTERN = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[Tt ]((?:[01]\d|2[0-3]):\d\d(?::\d\d(?:[.,]\d{1,9})?)?)"
    r"\s?([Zz]|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?",
    re.ASCII,
)


def parse_date(text: str) -> tuple[datetime, bool]:
    """Read an ISO 8601 / RFC 3339 date-time: `(aware datetime, had a zone)`. Raises ValueError.

    The separators are required: people read 01/02/2026 and 20260102 in different ways.
    """
    if len(text) == 24 and text[10] == "T" and text[19] == "." and text[23] == "Z":
        return datetime.fromisoformat(text), True  # as the API writes it; this is fast
    match = DATE_PATTERN.fullmatch(text)
    if not match:
        raise ValueError
    date, time, zone = match.groups()
    moment = datetime.fromisoformat(f"{date}T{time or '00:00'}{(zone or 'Z').upper()}")
    try:
        return moment.astimezone(timezone.utc), bool(zone)
    except OverflowError:  # before the year 1 or after 9999
        raise ValueError from None


def iso(moment: datetime) -> str:
    """Write an aware datetime as the API does: `2027-01-01T00:00:00.000Z`."""
    if moment.tzinfo is not timezone.utc:  # most are in UTC
        moment = moment.astimezone(timezone.utc)
    return moment.isoformat("T", "milliseconds")[:-6] + "Z"
