"""Pure: the rules about single values of an entry, by kind. Each reader gives what is kept.

A reader takes `(entry, value, path)`, tells the entry what is odd, and returns None where nothing
can be kept.
"""

import math
import re
from datetime import datetime, timedelta, timezone

from connections.json_format.dates import parse_date
from connections.json_format.issues import gettext_noop as _
from connections.json_format.serialize import MASK, plain_number
from connections.json_format.urls import url_faults

MAX_TEXT = 128 * 1024  # bytes of UTF-8
MAX_SHORT_TEXT = 255  # characters of what is indexed or listed
MAX_KEYS = 10_000  # of one object of any content: what has more is no credential but a bomb
MAX_SECONDS = 1e11
LONG_LIFETIME = 50 * 365.25 * 24 * 3600
MAX_NAMED_KEYS = 20
LONELY_MASK = _("A mask stands for the whole object: nothing else can be beside it.")
MASK_TEXT = re.compile(r"[*•]+|REDACTED")


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
        return is_good_text(entry, value, path, MAX_TEXT)
    if isinstance(value, float) and not math.isfinite(value):
        entry.say("bad_number", path)
        return False
    if isinstance(value, OversizedNumber):
        entry.say("bad_number", path, _("A number with too many digits."))
        return False
    if isinstance(value, ConflictingKeys):
        entry.say(
            "conflicting_keys", path, _("Inside it, a key is there twice with other values.")
        )
        return False
    if isinstance(value, dict):
        if len(value) > MAX_KEYS:
            entry.say("too_many_keys", path)
            return False
        return all(
            is_good_text(entry, key, path, MAX_TEXT) and check_value(entry, inner, path)
            for key, inner in value.items()
        )
    if isinstance(value, list):
        return all(check_value(entry, inner, path) for inner in value)
    return True


def _is_plain(value):
    """Whether a text is short and ASCII, as most are: nothing can be wrong with it."""
    return len(value) <= MAX_SHORT_TEXT and value.isascii() and "\0" not in value


def is_good_text(entry, value, path, limit):
    if not isinstance(value, str):
        entry.say("wrong_type", path, _("Text belongs here."))
        return False
    if _is_plain(value):
        return True
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        entry.say("bad_text", path, _("The text holds half a surrogate pair."))
        return False
    if "\0" in value:
        entry.say("bad_text", path, _("The text holds U+0000."))
        return False
    if limit == MAX_SHORT_TEXT and len(value) > limit:
        entry.say("too_long", path, _("Over {} characters.").format(limit))
        return False
    if size > MAX_TEXT:
        entry.say("too_long", path, _("Over 128 KiB."))
        return False
    return True


def _read_text(entry, value, path):
    return value if is_good_text(entry, value, path, MAX_TEXT) else None


def _read_short(entry, value, path):
    return value if is_good_text(entry, value, path, MAX_SHORT_TEXT) else None


def _read_id(entry, value, path):
    value = _read_short(entry, value, path)
    if value == "":
        entry.say("blank_id", path)
    return value or None


def _read_type(entry, value, path):
    value = _read_short(entry, value, path)
    if value == "":
        entry.connection_extra["integration_type"] = ""  # no integration, but not absent either
    return value or None


def _read_auth(entry, value, path):
    """The auth object of a Connection is read after what surrounds it."""


def _read_sealed_text(entry, value, path):
    if not is_good_text(entry, value, path, MAX_TEXT):
        return None
    return MASKED if MASK_TEXT.fullmatch(value) else value


def _read_secret(entry, value, path):
    value = _read_sealed_text(entry, value, path)
    if isinstance(value, str) and value and "-----BEGIN" not in value:
        if value != value.strip() or "\n" in value or "\r" in value:
            entry.say("outer_blanks", path)
    return value


def _read_pem(entry, value, path):
    value = _read_sealed_text(entry, value, path)
    if isinstance(value, str) and value:
        # Each certificate of a chain has one: what is cut off is the last.
        ends = re.findall(r"-----END [^-\n]+-----", value)
        if len(ends) < max(1, value.count("-----BEGIN ")):
            entry.say("pem_without_end", path)
    return value


def _read_url(entry, value, path):
    if not is_good_text(entry, value, path, MAX_TEXT):
        return None
    if value:
        for code, message in url_faults(value):
            entry.say(code, path, message)
    return value


def _read_strings(entry, value, path):
    if not isinstance(value, list):
        entry.say("wrong_type", path, _("An array of texts belongs here."))
        return None
    for position, item in enumerate(value):
        if isinstance(item, str) and _is_plain(item):
            continue
        if not is_good_text(entry, item, f"{path}[{position}]", MAX_TEXT):
            return None
    return value


def _read_sealed_strings(entry, value, path):
    value = _read_strings(entry, value, path)
    if not value:
        return value
    masked = [MASKED if MASK_TEXT.fullmatch(item) else item for item in value]
    return MASKED if all(item is MASKED for item in masked) else masked


def _read_emails(entry, value, path):
    value = _read_sealed_strings(entry, value, path)
    if isinstance(value, list):
        others = [n for n, item in enumerate(value) if item is not MASKED and not _is_email(item)]
        for position in others[:MAX_NAMED_KEYS]:
            entry.say("no_email", f"{path}[{position}]")
        if len(others) > MAX_NAMED_KEYS:
            more = len(others) - MAX_NAMED_KEYS
            text = _("{} more that are no e-mail addresses, kept.")
            entry.say("no_email", path, text.format(more))
    return value


def _is_email(text):
    return re.fullmatch(r"[^@\s]+@[^@\s]+", text)


def _read_object_value(entry, value, path):
    if not isinstance(value, dict):
        entry.say("wrong_type", path, _("An object belongs here."))
        return None
    if value.get(MASK) is True:
        if len(value) > 1:
            entry.say("wrong_type", path, LONELY_MASK)
        return MASKED
    return value if check_value(entry, value, path) else None


def _read_bool(entry, value, path):
    if not isinstance(value, bool):
        entry.say("wrong_type", path, _("true or false belongs here."))
        return None
    return value


NUMERIC_TEXT = re.compile(r"\s*[+-]?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?\s*")


def _read_number(entry, value, path):
    if isinstance(value, str) and NUMERIC_TEXT.fullmatch(value) and value.isascii():
        entry.say("number_as_text", path)
        value = float(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float, OversizedNumber)):
        entry.say("wrong_type", path, _("A number of seconds belongs here."))
        return None
    if isinstance(value, OversizedNumber) or not abs(value) <= MAX_SECONDS:
        entry.say("bad_number", path, _("Not a finite number of seconds up to 100000000000."))
        return None
    if value < 0:
        entry.say("negative_number", path)
    elif value > LONG_LIFETIME:
        entry.say("long_lifetime", path)
    return plain_number(value)


def _read_date(entry, value, path):
    if isinstance(value, str):
        if not value.strip():
            entry.say("empty_date", path)
            return None
        try:
            moment, has_zone = parse_date(value.strip())
        except ValueError:
            entry.say("bad_date", path)
            return None
        if not has_zone:
            entry.say("date_without_zone", path)
        return moment
    if isinstance(value, bool) or not isinstance(value, (int, float, OversizedNumber)):
        entry.say("wrong_type", path, _("A date and time belongs here."))
        return None
    try:
        # Seconds until the year 5138, milliseconds above: no plausible expiry is in both ranges.
        seconds = value if abs(value) < 1e11 else value / 1000
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    except (OverflowError, ValueError, TypeError):
        entry.say("bad_date", path)
        return None
    entry.say("date_as_number", path)
    return moment


READERS = {
    "text": _read_text,
    "short": _read_short,
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
