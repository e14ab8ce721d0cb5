"""Pure: the rules about single values of an entry, by kind. Each reader gives what is kept.

A reader takes `(entry, value, path)`, tells the entry what is odd, and returns None where nothing
can be kept.
"""

import math
import re
from datetime import datetime, timedelta, timezone

from connections.json_format.dates import parse_date
from connections.json_format.serialize import MASK, normalize_number
from connections.json_format.urls import url_issues

MAX_TEXT = 128 * 1024  # bytes of UTF-8
MAX_SHORT_TEXT = 255  # characters of what is indexed or listed
MAX_KEYS = 10_000  # of one object of any content: what has more is no credential but a bomb
MAX_SECONDS = 1e11
LONG_LIFETIME = 50 * 365.25 * 24 * 3600
MAX_REPORTED_KEYS = 20
MASK_PATTERN = re.compile(r"[*•]+|REDACTED")


class ConflictingKeys(dict):
    """An object of the file in which one key stood twice with different values."""

    names = []


class OversizedNumber:
    """Stands for a number literal that is too long to be read."""


class Masked:
    """Stands for a masked value: whatever is stored is kept."""

    def __repr__(self):
        return "<masked>"

    def __reduce__(self):  # there is one, also in another process
        return "MASKED"


MASKED = Masked()


def check_value(entry, value, path):
    """Refuse what can't be kept without loss, anywhere inside an object of any content.

    Stops at the first fault and never names an inner key: it is part of a sealed value.
    """
    if isinstance(value, str):
        return check_text(entry, value, path, MAX_TEXT)
    if isinstance(value, float) and not math.isfinite(value):
        entry.add_issue("bad_number", path)
        return False
    if isinstance(value, OversizedNumber):
        entry.add_issue("bad_number.too_long", path)
        return False
    if isinstance(value, ConflictingKeys):
        entry.add_issue("conflicting_keys.inside", path)
        return False
    if isinstance(value, dict):
        if len(value) > MAX_KEYS:
            entry.add_issue("too_many_keys", path)
            return False
        return all(
            check_text(entry, key, path, MAX_TEXT) and check_value(entry, inner, path)
            for key, inner in value.items()
        )
    if isinstance(value, list):
        return all(check_value(entry, inner, path) for inner in value)
    return True


def _is_short_ascii(value):
    """Whether a text is short and ASCII, as most are: nothing can be wrong with it."""
    return len(value) <= MAX_SHORT_TEXT and value.isascii() and "\0" not in value


def check_text(entry, value, path, limit):
    if not isinstance(value, str):
        entry.add_issue("wrong_type.text", path)
        return False
    if _is_short_ascii(value):
        return True
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        entry.add_issue("bad_text.surrogate", path)
        return False
    if "\0" in value:
        entry.add_issue("bad_text.null_character", path)
        return False
    if limit == MAX_SHORT_TEXT and len(value) > limit:
        entry.add_issue("too_long.characters", path, limit=limit)
        return False
    if size > MAX_TEXT:
        entry.add_issue("too_long.bytes", path)
        return False
    return True


def _read_text(entry, value, path):
    return value if check_text(entry, value, path, MAX_TEXT) else None


def _read_short_text(entry, value, path):
    return value if check_text(entry, value, path, MAX_SHORT_TEXT) else None


def _read_id(entry, value, path):
    value = _read_short_text(entry, value, path)
    if value == "":
        entry.add_issue("blank_id", path)
    return value or None


def _read_type(entry, value, path):
    value = _read_short_text(entry, value, path)
    if value == "":
        entry.connection_extra["integration_type"] = ""  # no integration, but not absent either
    return value or None


def _read_auth(entry, value, path):
    """The auth object of a Connection is read after what surrounds it."""


def _read_sealed_text(entry, value, path):
    if not check_text(entry, value, path, MAX_TEXT):
        return None
    return MASKED if MASK_PATTERN.fullmatch(value) else value


def _read_secret(entry, value, path):
    value = _read_sealed_text(entry, value, path)
    if isinstance(value, str) and value and "-----BEGIN" not in value:
        if value != value.strip() or "\n" in value or "\r" in value:
            entry.add_issue("outer_blanks", path)
    return value


def _read_pem(entry, value, path):
    value = _read_sealed_text(entry, value, path)
    if isinstance(value, str) and value:
        # Each certificate of a chain has one: what is cut off is the last.
        ends = re.findall(r"-----END [^-\n]+-----", value)
        if len(ends) < max(1, value.count("-----BEGIN ")):
            entry.add_issue("pem_without_end", path)
    return value


def _read_url(entry, value, path):
    if not check_text(entry, value, path, MAX_TEXT):
        return None
    if value:
        for key in url_issues(value):
            entry.add_issue(key, path)
    return value


def _read_strings(entry, value, path):
    if not isinstance(value, list):
        entry.add_issue("wrong_type.texts", path)
        return None
    for position, item in enumerate(value):
        if isinstance(item, str) and _is_short_ascii(item):
            continue
        if not check_text(entry, item, f"{path}[{position}]", MAX_TEXT):
            return None
    return value


def _read_sealed_strings(entry, value, path):
    value = _read_strings(entry, value, path)
    if not value:
        return value
    masked = [MASKED if MASK_PATTERN.fullmatch(item) else item for item in value]
    return MASKED if all(item is MASKED for item in masked) else masked


def _read_emails(entry, value, path):
    value = _read_sealed_strings(entry, value, path)
    if isinstance(value, list):
        others = [n for n, item in enumerate(value) if item is not MASKED and not _is_email(item)]
        for position in others[:MAX_REPORTED_KEYS]:
            entry.add_issue("no_email", f"{path}[{position}]")
        if len(others) > MAX_REPORTED_KEYS:
            more = len(others) - MAX_REPORTED_KEYS
            entry.add_issue("no_email.more", path, count=more)
    return value


def _is_email(text):
    return re.fullmatch(r"[^@\s]+@[^@\s]+", text)


def _read_object_value(entry, value, path):
    if not isinstance(value, dict):
        entry.add_issue("wrong_type.object", path)
        return None
    if value.get(MASK) is True:
        if len(value) > 1:
            entry.add_issue("wrong_type.mask_not_alone", path)
        return MASKED
    return value if check_value(entry, value, path) else None


def _read_bool(entry, value, path):
    if not isinstance(value, bool):
        entry.add_issue("wrong_type.boolean", path)
        return None
    return value


NUMBER_PATTERN = re.compile(r"\s*[+-]?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?\s*")


def _read_number(entry, value, path):
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


def _read_date(entry, value, path):
    if isinstance(value, str):
        if not value.strip():
            entry.add_issue("empty_date", path)
            return None
        try:
            moment, has_zone = parse_date(value.strip())
        except ValueError:
            entry.add_issue("bad_date", path)
            return None
        if not has_zone:
            entry.add_issue("date_without_zone", path)
        return moment
    if isinstance(value, bool) or not isinstance(value, (int, float, OversizedNumber)):
        entry.add_issue("wrong_type.date", path)
        return None
    try:
        # Seconds until the year 5138, milliseconds above: no plausible expiry is in both ranges.
        seconds = value if abs(value) < 1e11 else value / 1000
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    except (OverflowError, ValueError, TypeError):
        entry.add_issue("bad_date", path)
        return None
    entry.add_issue("date_as_number", path)
    return moment


READERS = {
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
    "auth": _read_auth,
}
