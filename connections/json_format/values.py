"""The rules about a single value of an entry: a reader for each kind of schema.AUTH_FIELDS and
schema.CONNECTION_FIELDS.

A reader takes `(entry, value, path)`. It returns the value to store, or None where there is none,
and adds an issue to the entry for each fault.
"""

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from connections.json_format.serialize import MASK, normalize_number
from connections.json_format.urls import url_issues

MAX_TEXT = 128 * 1024  # bytes of UTF-8
MAX_SHORT_TEXT = 255  # characters of a text that is indexed or listed
MAX_KEYS = 10_000  # of an object of any content; more are an attack and not a credential
MAX_DEPTH = 200  # levels of objects and arrays in a file
MAX_SECONDS = 1e11
LONG_LIFETIME = 50 * 365.25 * 24 * 3600  # seconds
MAX_REPORTED_KEYS = 20  # of one object, and as many addresses of one array
SURROGATE = re.compile("[\ud800-\udfff]")
MASK_PATTERN = re.compile(r"[*•]+|REDACTED")


class IssueCollector(Protocol):
    """What readers report to: an Entry."""

    def add_issue(self, key: str, path: str = "", **params: Any) -> None: ...


class ConflictingKeys(dict[str, Any]):
    """An object of a file that has keys (`names`) twice, with different values."""

    names: list[str]


class OversizedNumber:
    """Stands for a number literal with more digits than are read."""


class Masked:
    """Stands for a masked value, which keeps what is stored."""

    def __repr__(self) -> str:
        return "<masked>"

    def __reduce__(self) -> str:  # unpickled in another process, it is MASKED again
        return "MASKED"


MASKED = Masked()


def nesting_depth(value: Any) -> int:
    """How many levels of objects and arrays a decoded value has; 0 for a scalar. No recursion."""
    depth, level = 0, [value]
    while level := [inner for inner in level if isinstance(inner, (dict, list))]:
        depth += 1
        level = [
            item
            for inner in level
            for item in (inner.values() if isinstance(inner, dict) else inner)
        ]
    return depth


def check_value(entry: IssueCollector, value: Any, path: str) -> bool:
    """Check a value of any content for what cannot be stored without loss; False after an issue.

    Stops at the first fault and never names an inner key, which is part of a sealed value.
    """
    if isinstance(value, str):
        return check_text(entry, value, path, MAX_TEXT)
    fault = ""
    if isinstance(value, float) and not math.isfinite(value):
        fault = "bad_number"
    elif isinstance(value, OversizedNumber):
        fault = "bad_number.too_long"
    elif isinstance(value, ConflictingKeys):
        fault = "conflicting_keys.inside"
    elif isinstance(value, dict) and len(value) > MAX_KEYS:
        fault = "too_many_keys"
    if fault:
        entry.add_issue(fault, path)
        return False
    if isinstance(value, dict):
        return all(
            check_text(entry, key, path, MAX_TEXT) and check_value(entry, inner, path)
            for key, inner in value.items()
        )
    if isinstance(value, list):
        return all(check_value(entry, inner, path) for inner in value)
    return True


def _is_short_ascii(value: Any) -> bool:
    """Whether a value is a text as most are, with which nothing can be wrong."""
    return (
        isinstance(value, str)
        and len(value) <= MAX_SHORT_TEXT
        and value.isascii()
        and "\0" not in value
    )


def check_text(entry: IssueCollector, value: Any, path: str, limit: int) -> bool:
    """Check a text of up to MAX_TEXT bytes or MAX_SHORT_TEXT characters; False after an issue."""
    if _is_short_ascii(value):
        return True
    params = {}
    if not isinstance(value, str):
        fault = "wrong_type.text"
    elif SURROGATE.search(value):
        fault = "bad_text.surrogate"
    elif "\0" in value:
        fault = "bad_text.null_character"
    elif limit == MAX_SHORT_TEXT and len(value) > limit:
        fault, params = "too_long.characters", {"limit": limit}
    elif len(value.encode()) > MAX_TEXT:
        fault = "too_long.bytes"
    else:
        return True
    entry.add_issue(fault, path, **params)
    return False


def _read_text(entry: IssueCollector, value: Any, path: str) -> str | None:
    return value if check_text(entry, value, path, MAX_TEXT) else None


def _read_short_text(entry: IssueCollector, value: Any, path: str) -> str | None:
    return value if check_text(entry, value, path, MAX_SHORT_TEXT) else None


def _read_id(entry: IssueCollector, value: Any, path: str) -> str | None:
    value = _read_short_text(entry, value, path)
    if value == "":
        entry.add_issue("blank_id", path)
    return value or None


def _read_type(entry: IssueCollector, value: Any, path: str) -> str | None:
    return _read_short_text(entry, value, path) or None


def _read_sealed_text(entry: IssueCollector, value: Any, path: str) -> str | Masked | None:
    text = _read_text(entry, value, path)
    return MASKED if text and MASK_PATTERN.fullmatch(text) else text


def _read_secret(entry: IssueCollector, value: Any, path: str) -> str | Masked | None:
    secret = _read_sealed_text(entry, value, path)
    if isinstance(secret, str) and "-----BEGIN" not in secret:
        if secret != secret.strip() or "\n" in secret or "\r" in secret:
            entry.add_issue("outer_blanks", path)
    return secret


def _read_pem(entry: IssueCollector, value: Any, path: str) -> str | Masked | None:
    pem = _read_sealed_text(entry, value, path)
    if isinstance(pem, str) and pem:
        # Each certificate of a chain has an END line; a chain that was cut off lacks the last.
        ends = re.findall(r"-----END [^-\n]+-----", pem)
        if len(ends) < max(1, pem.count("-----BEGIN ")):
            entry.add_issue("pem_without_end", path)
    return pem


def _read_url(entry: IssueCollector, value: Any, path: str) -> str | None:
    url = _read_text(entry, value, path)
    for key in url_issues(url) if url else ():
        entry.add_issue(key, path)
    return url


def _read_strings(entry: IssueCollector, value: Any, path: str) -> list[str] | None:
    if not isinstance(value, list):
        entry.add_issue("wrong_type.texts", path)
        return None
    for position, item in enumerate(value):
        if not _is_short_ascii(item) and not check_text(
            entry, item, f"{path}[{position}]", MAX_TEXT
        ):
            return None
    return value


def _read_sealed_strings(
    entry: IssueCollector, value: Any, path: str
) -> list[str | Masked] | Masked | None:
    strings = _read_strings(entry, value, path)
    if strings is None:
        return None
    items = [MASKED if MASK_PATTERN.fullmatch(item) else item for item in strings]
    return MASKED if items and all(item is MASKED for item in items) else items


def _read_emails(
    entry: IssueCollector, value: Any, path: str
) -> list[str | Masked] | Masked | None:
    emails = _read_sealed_strings(entry, value, path)
    if isinstance(emails, list):
        faults = [
            position
            for position, item in enumerate(emails)
            if isinstance(item, str) and not re.fullmatch(r"[^@\s]+@[^@\s]+", item)
        ]
        for position in faults[:MAX_REPORTED_KEYS]:
            entry.add_issue("no_email", f"{path}[{position}]")
        if len(faults) > MAX_REPORTED_KEYS:
            entry.add_issue("no_email.more", path, count=len(faults) - MAX_REPORTED_KEYS)
    return emails


def _read_object_value(
    entry: IssueCollector, value: Any, path: str
) -> dict[str, Any] | Masked | None:
    if not isinstance(value, dict):
        entry.add_issue("wrong_type.object", path)
        return None
    if value.get(MASK) is True:
        if len(value) > 1:
            entry.add_issue("wrong_type.mask_not_alone", path)
        return MASKED
    return value if check_value(entry, value, path) else None


def _read_bool(entry: IssueCollector, value: Any, path: str) -> bool | None:
    if not isinstance(value, bool):
        entry.add_issue("wrong_type.boolean", path)
        return None
    return value


NUMBER_PATTERN = re.compile(r"\s*[+-]?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?\s*")


def _read_number(entry: IssueCollector, value: Any, path: str) -> float | None:
    if isinstance(value, str) and NUMBER_PATTERN.fullmatch(value) and value.isascii():
        entry.add_issue("number_as_text", path)
        value = float(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float, OversizedNumber)):
        entry.add_issue("wrong_type.number", path)
        return None
    if isinstance(value, OversizedNumber) or not abs(value) <= MAX_SECONDS:
        entry.add_issue("bad_number.seconds", path)
        return None
    if value < 0:
        entry.add_issue("negative_number", path)
    elif value > LONG_LIFETIME:
        entry.add_issue("long_lifetime", path)
    return normalize_number(value)


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


def _read_date(entry: IssueCollector, value: Any, path: str) -> datetime | None:
    issue = "date_as_number"
    try:
        if isinstance(value, str):
            if not (text := value.strip()):
                entry.add_issue("empty_date", path)
                return None
            moment, has_zone = parse_date(text)
            issue = "" if has_zone else "date_without_zone"
        elif isinstance(value, OversizedNumber):
            raise ValueError
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            entry.add_issue("wrong_type.date", path)
            return None
        else:
            # Seconds below 1e11 (the year 5138), milliseconds above: no likely expiry can be both.
            seconds = value if abs(value) < 1e11 else value / 1000
            moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        entry.add_issue("bad_date", path)
        return None
    if issue:
        entry.add_issue(issue, path)
    return moment


Reader = Callable[[IssueCollector, Any, str], Any]
READERS: dict[str, Reader] = {
    "text": _read_text,
    "short": _read_short_text,
    "secret": _read_secret,
    "state": _read_sealed_text,
    "pem": _read_pem,
    "url": _read_url,
    "names": _read_strings,
    "strings": _read_sealed_strings,
    "emails": _read_emails,
    "object": _read_object_value,
    "bool": _read_bool,
    "number": _read_number,
    "date": _read_date,
    "id": _read_id,
    "type": _read_type,
}
