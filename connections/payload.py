"""Pure: an entry of the API's JSON in, a checked auth object out, and back. No database.

Every rule about odd input is here (docs/json-format.md lists them). Issues name places by the
spelling of the file and never hold a value.
"""

import ipaddress
import json
import math
import re
import socket
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from urllib.parse import urlsplit

from .issues import CODES, Issue, printable

MAX_TEXT = 128 * 1024  # bytes of UTF-8
MAX_SHORT_TEXT = 255  # characters of what is indexed or listed
MAX_KEYS = 10_000  # of one object of any content: what has more is no credential but a bomb
MAX_SECONDS = 1e11
LONG_LIFETIME = 50 * 365.25 * 24 * 3600
MAX_NAMED_KEYS = 20
MASK = "********"
LONELY_MASK = "A mask stands for the whole object: nothing else can be beside it."
MASK_TEXT = re.compile(r"[*•]+|REDACTED")

# The auth object (API reference, PropertyConnectionAuth, and four fields added later), in the
# order in which it is written. "secret" and what follows in SEALED_KINDS is stored sealed.
AUTH_FIELDS = {
    "access_token": "secret",
    "api_url": "url",
    "app_id": "text",
    "audience": "text",
    "authorize_url": "url",
    "client_id": "text",
    "client_secret": "secret",
    "consumer_key": "secret",
    "consumer_secret": "secret",
    "dev_api_key": "secret",
    "emails": "emails",
    "expires_in": "number",
    "expiry_date": "date",
    "key": "secret",
    "meta": "object",
    "name": "short",
    "other_auth_info": "strings",
    "pem": "pem",
    "refresh_token": "secret",
    "refresh_token_expires_date": "date",
    "refresh_token_expires_in": "number",
    "refresh_url": "url",
    "state": "state",
    "token": "secret",
    "token_url": "url",
    "user_id": "text",
}
SEALED_KINDS = {"secret", "state", "pem", "emails", "strings", "object"}
SEALED_FIELDS = tuple(name for name, kind in AUTH_FIELDS.items() if kind in SEALED_KINDS)
PLAIN_FIELDS = tuple(name for name, kind in AUTH_FIELDS.items() if kind not in SEALED_KINDS)
ENDPOINTS = tuple(name for name, kind in AUTH_FIELDS.items() if kind == "url")

# What surrounds the auth object: JSON name -> (column, kind).
CONNECTION_FIELDS = {
    "id": ("connection_id", "id"),
    "created_at": ("source_created_at", "date"),
    "updated_at": ("source_updated_at", "date"),
    "workspace_id": ("workspace_id", "text"),
    "integration_type": ("integration_id", "type"),
    "integration_name": ("integration_name", "text"),
    "external_xref": ("external_xref", "short"),
    "permissions": ("permissions", "names"),
    "categories": ("categories", "names"),
    "is_paused": ("is_paused", "bool"),
    "environment": ("environment", "short"),
    "last_healthy_at": ("last_healthy_at", "date"),
    "last_unhealthy_at": ("last_unhealthy_at", "date"),
    "last_unhealthy_code": ("last_unhealthy_code", "text"),
    "secretsmanager_id": ("secretsmanager_id", "text"),
    "secretsmanager_key": ("secretsmanager_key", "text"),
}
CONNECTION_COLUMNS = tuple(column for column, _ in CONNECTION_FIELDS.values())


def camel(name):
    """`refresh_token_expires_date` -> `refreshTokenExpiresDate`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


AUTH_SPELLINGS = {spelling: n for n in AUTH_FIELDS for spelling in (n, camel(n))}
CONNECTION_SPELLINGS = {
    spelling: n for n in (*CONNECTION_FIELDS, "auth") for spelling in (n, camel(n))
}


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


@dataclass
class Entry:
    """A checked entry. With errors among its `issues` it is refused, and the rest is partial.

    `auth` maps wire names to values (datetimes aware, numbers int or float, MASKED for masks);
    None where the entry has no auth object. `connection` maps columns to values. The extras hold
    unknown keys: a dict or MASKED. `spelled` maps names to the paths that the file uses.
    """

    auth: dict | None = None
    connection: dict = field(default_factory=dict)
    auth_extra: dict | Masked = field(default_factory=dict)
    connection_extra: dict | Masked = field(default_factory=dict)
    issues: list = field(default_factory=list)
    spelled: dict = field(default_factory=dict)

    @property
    def is_refused(self):
        return any(issue.level == "error" for issue in self.issues)

    def say(self, code, path="", message=None):
        self.issues.append(Issue(code, message or CODES[code], path))


def read_entry(raw):
    """Judge one decoded entry of a file. Returns an Entry; never raises for odd input."""
    entry = Entry()
    if not isinstance(raw, dict):
        entry.say("not_an_object")
        return entry
    _check_conflicts(entry, raw, "")
    if is_connection(raw):
        _read_connection(entry, raw)
    else:
        entry.auth = {}
        _read_object(entry, raw, AUTH_KEYS, "", entry.auth)
    if not entry.is_refused and not entry.auth and not entry.connection:
        entry.say("no_known_field")
    return entry


def is_connection(raw):
    """Whether an entry is a Connection around an auth object, rather than an auth object."""
    return raw.get("auth") is not None or any(
        raw.get(spelling) is not None for spelling in ("integration_type", "integrationType")
    )


def _read_connection(entry, raw):
    _read_object(entry, raw, CONNECTION_KEYS, "", entry.connection)
    auth = raw.get("auth")
    if auth is None:
        return
    if not isinstance(auth, dict):
        entry.say("wrong_type", "auth", "An object belongs here.")
        return
    _check_conflicts(entry, auth, "auth")
    entry.auth = {}
    _read_object(entry, auth, NESTED_AUTH_KEYS, "auth", entry.auth)


def _read_object(entry, raw, keys, prefix, known):
    """Sort the keys of one object into known fields and extras."""
    spelled, extra = {}, {}
    for key, value in raw.items():
        if value is None:
            continue
        if key not in keys:
            extra[key] = value
            continue
        name, column, path, read = keys[key]
        if name not in spelled:
            spelled[name] = key
            entry.spelled[name] = path
            value = read(entry, value, path)
            if value is not None:
                known[column] = value
        elif not same(raw[spelled[name]], value):
            entry.say("conflicting_keys", path, "Both spellings are there and differ.")
    if extra:
        _read_extra(entry, extra, prefix)


def _read_extra(entry, extra, prefix):
    target = "auth_extra" if prefix or entry.auth is not None else "connection_extra"
    if extra.get(MASK) is True:
        entry.spelled[target] = f"{prefix}.{MASK}".lstrip(".")
        if len(extra) > 1:
            entry.say("wrong_type", entry.spelled[target], LONELY_MASK)
        setattr(entry, target, MASKED)
        return
    if len(extra) > MAX_KEYS:
        entry.say("too_many_keys", prefix)
        return
    faults = 0
    for position, (key, value) in enumerate(extra.items()):
        path = f"{prefix}.{printable(key, 100)}" if prefix else printable(key, 100)
        if not (_check_value(entry, key, path) and _check_value(entry, value, path)):
            faults += 1
            if faults == MAX_NAMED_KEYS:
                return
        if position < MAX_NAMED_KEYS:
            entry.say("unknown_key", path)
    if len(extra) > MAX_NAMED_KEYS:
        more = len(extra) - MAX_NAMED_KEYS
        entry.say("unknown_key", prefix, f"{more} more unknown keys, kept and sealed.")
    getattr(entry, target).update(extra)


def _check_conflicts(entry, raw, path):
    for name in getattr(raw, "names", [])[:MAX_NAMED_KEYS]:
        name = printable(name, 100)
        entry.say("conflicting_keys", f"{path}.{name}" if path else name)


def same(one, other):
    """Equality that tells 1, 1.0 and true apart."""
    return one == other and canonical(one) == canonical(other)


def _check_value(entry, value, path):
    """Refuse what can't be kept without loss, anywhere inside an object of any content.

    Stops at the first fault and never names an inner key: it is part of a sealed value.
    """
    if isinstance(value, str):
        return _is_good_text(entry, value, path, MAX_TEXT)
    if isinstance(value, float) and not math.isfinite(value):
        entry.say("bad_number", path)
        return False
    if isinstance(value, OversizedNumber):
        entry.say("bad_number", path, "A number with too many digits.")
        return False
    if isinstance(value, ConflictingKeys):
        entry.say("conflicting_keys", path, "Inside it, a key is there twice with other values.")
        return False
    if isinstance(value, dict):
        if len(value) > MAX_KEYS:
            entry.say("too_many_keys", path)
            return False
        return all(
            _is_good_text(entry, key, path, MAX_TEXT) and _check_value(entry, inner, path)
            for key, inner in value.items()
        )
    if isinstance(value, list):
        return all(_check_value(entry, inner, path) for inner in value)
    return True


def _is_plain(value):
    """Whether a text is short and ASCII, as most are: nothing can be wrong with it."""
    return len(value) <= MAX_SHORT_TEXT and value.isascii() and "\0" not in value


def _is_good_text(entry, value, path, limit):
    if not isinstance(value, str):
        entry.say("wrong_type", path, "Text belongs here.")
        return False
    if _is_plain(value):
        return True
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        entry.say("bad_text", path, "The text holds half a surrogate pair.")
        return False
    if "\0" in value:
        entry.say("bad_text", path, "The text holds U+0000.")
        return False
    if limit == MAX_SHORT_TEXT and len(value) > limit:
        entry.say("too_long", path, f"Over {limit} characters.")
        return False
    if size > MAX_TEXT:
        entry.say("too_long", path, "Over 128 KiB.")
        return False
    return True


def _read_text(entry, value, path):
    return value if _is_good_text(entry, value, path, MAX_TEXT) else None


def _read_short(entry, value, path):
    return value if _is_good_text(entry, value, path, MAX_SHORT_TEXT) else None


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
    if not _is_good_text(entry, value, path, MAX_TEXT):
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
    if isinstance(value, str) and value and not re.search(r"-----END [^-\n]+-----", value):
        entry.say("pem_without_end", path)
    return value


def _read_url(entry, value, path):
    if not _is_good_text(entry, value, path, MAX_TEXT):
        return None
    if value:
        for code, message in url_faults(value):
            entry.say(code, path, message)
    return value


SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
TEMPLATE = re.compile(r"[{}<>]|\$\(|%7B", re.IGNORECASE)
HOST_AND_PORT = re.compile(r"(localhost|[A-Za-z0-9\-]+(\.[A-Za-z0-9\-]+)+):\d{1,5}(?![^/?#])")


@lru_cache(maxsize=4096)  # the connections of one integration share their addresses
def url_faults(value):
    """What is odd or wrong about a URL: a list of `(code, sentence or None)`."""
    # Browsers and the WHATWG URL standard drop these, so "java\nscript:" is a scheme too.
    plain = re.sub(r"[\t\r\n]", "", value).lstrip("".join(map(chr, range(33))))
    scheme = None if HOST_AND_PORT.match(plain) else SCHEME.match(plain)
    if scheme and scheme.group(1).lower() not in ("http", "https"):
        return [("bad_url", None)]
    try:
        parts = urlsplit(plain)
        host = parts.hostname
    except ValueError:
        return [("bad_url", "Not a well-formed address.")]
    if "\\" in parts.netloc:  # some programs see the host before it, and some the one after
        return [("bad_url", "Not a well-formed address.")]
    faults = []
    if TEMPLATE.search(plain):
        faults.append(("url_template", None))
        if host and TEMPLATE.search(host):
            host = None  # what will stand there is not known
    elif not scheme:
        faults.append(("url_without_scheme", None))
    elif not host:
        return [("bad_url", "An address without a host.")]
    if parts.username is not None or parts.password is not None:
        faults.append(("url_with_user", None))
    if host and is_private_host(host):
        faults.append(("url_private_host", None))
    return faults


def is_private_host(host):
    """Whether a host name or address leads into a private network, judged by its text alone."""
    host = host.rstrip(".").lower()
    try:
        return not ipaddress.ip_address(host.split("%")[0]).is_global
    except ValueError:
        pass
    if re.fullmatch(r"[0-9a-fx.]+", host):
        try:  # the old spellings of IPv4 that resolvers take: 127.1, 0x7f000001
            return not ipaddress.IPv4Address(socket.inet_aton(host)).is_global
        except OSError:
            pass
    return "." not in host or host.endswith(
        (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".intranet", ".corp")
    )


def url_host(value):
    """The host (and port) that a URL leads to, as text; None for none. For comparing endpoints.

    What can't be taken apart is its own host, so that no change of it goes unseen.
    """
    value = (value or "").strip()
    if not value or re.match(r"/(?!/)|[?#]", value):  # a path has no host
        return None
    if "://" not in value and not value.startswith("//"):
        value = f"//{value}"
    try:
        parts = urlsplit(value)
        host = parts.netloc.rpartition("@")[2].lower().rstrip(".")
    except ValueError:
        return value
    return host.removesuffix({"https": ":443", "http": ":80"}.get(parts.scheme, ":")) or value


def _read_strings(entry, value, path):
    if not isinstance(value, list):
        entry.say("wrong_type", path, "An array of texts belongs here.")
        return None
    for position, item in enumerate(value):
        if isinstance(item, str) and _is_plain(item):
            continue
        if not _is_good_text(entry, item, f"{path}[{position}]", MAX_TEXT):
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
            entry.say("no_email", path, f"{more} more that are no e-mail addresses, kept.")
    return value


def _is_email(text):
    return re.fullmatch(r"[^@\s]+@[^@\s]+", text)


def _read_object_value(entry, value, path):
    if not isinstance(value, dict):
        entry.say("wrong_type", path, "An object belongs here.")
        return None
    if value.get(MASK) is True:
        if len(value) > 1:
            entry.say("wrong_type", path, LONELY_MASK)
        return MASKED
    return value if _check_value(entry, value, path) else None


def _read_bool(entry, value, path):
    if not isinstance(value, bool):
        entry.say("wrong_type", path, "true or false belongs here.")
        return None
    return value


NUMERIC_TEXT = re.compile(r"\s*[+-]?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?\s*")


def _read_number(entry, value, path):
    if isinstance(value, str) and NUMERIC_TEXT.fullmatch(value) and value.isascii():
        entry.say("number_as_text", path)
        value = float(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float, OversizedNumber)):
        entry.say("wrong_type", path, "A number of seconds belongs here.")
        return None
    if isinstance(value, OversizedNumber) or not abs(value) <= MAX_SECONDS:
        entry.say("bad_number", path, "Not a finite number of seconds up to 100000000000.")
        return None
    if value < 0:
        entry.say("negative_number", path)
    elif value > LONG_LIFETIME:
        entry.say("long_lifetime", path)
    return plain_number(value)


def plain_number(value):
    """3600.0 -> 3600; 3599.9 stays."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"\s?(Z|z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)


def parse_date(text):
    """An ISO 8601 / RFC 3339 date-time as `(aware datetime, had a zone)`. Raises ValueError.

    The separators must be there: 01/02/2026 and 20260102 are read differently by different
    people, so they are no dates here.
    """
    if len(text) == 24 and text[10] == "T" and text[19] == "." and text[23] == "Z":
        return datetime.fromisoformat(text), True  # as the API writes them; strict about the rest
    found = DATE.fullmatch(text)
    if not found:
        raise ValueError
    year, month, day, hour, minute, second, fraction, zone = found.groups()
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
        entry.say("wrong_type", path, "A date and time belongs here.")
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


def _keys(fields, prefix=""):
    """How each key is read, in both spellings: `(name, column, path, reader)`.

    `fields` maps names to `(column, kind)`.
    """
    return {
        spelling: (name, column, prefix + spelling, READERS[kind])
        for name, (column, kind) in fields.items()
        for spelling in (name, camel(name))
    }


AUTH_KEYS = _keys({name: (name, kind) for name, kind in AUTH_FIELDS.items()})
NESTED_AUTH_KEYS = _keys({name: (name, kind) for name, kind in AUTH_FIELDS.items()}, "auth.")
CONNECTION_KEYS = _keys({**CONNECTION_FIELDS, "auth": ("auth", "auth")})


def iso(moment):
    """An aware datetime as the API writes it: `2027-01-01T00:00:00.000Z`."""
    if moment.tzinfo is not timezone.utc:
        moment = moment.astimezone(timezone.utc)
    return moment.isoformat("T", "milliseconds")[:-6] + "Z"


def canonical(value):
    """The canonical JSON (bytes) of any value here: sorted keys, dates to the millisecond."""
    return _encode(value).encode()


def _canonical_default(value):
    return iso(value) if isinstance(value, datetime) else repr(value)


_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), default=_canonical_default
).encode


def auth_json(auth, extra=None, naming="camel"):
    """An auth object (wire names to plain values) as the dict to write, in the API's order."""
    return _written(auth, WRITTEN_AUTH[naming], extra)


def connection_json(columns, auth, extra=None, naming="camel"):
    """A Connection around `auth` (what auth_json made, or None) as the dict to write."""
    written = _written(columns, WRITTEN_CONNECTION[naming], {})
    if auth or "integration_id" not in columns or columns["integration_id"] is None:
        written["auth"] = auth or {}  # an `auth` or an integration makes it a Connection
    return {**written, **(extra or {})}


def _written(values, table, extra):
    written = {
        spelled: convert(value) if convert else value
        for column, spelled, convert in table
        if (value := values.get(column)) is not None
    }
    return {**written, **extra} if extra else written


def _table(columns):
    """How to write `(name, column, kind)`, by naming: lists of (column, spelling, converter)."""
    converters = {"date": iso, "number": plain_number}
    return {
        naming: [(column, spell(name), converters.get(kind)) for name, column, kind in columns]
        for naming, spell in (("camel", camel), ("snake", str))
    }


WRITTEN_AUTH = _table([(name, name, kind) for name, kind in AUTH_FIELDS.items()])
WRITTEN_CONNECTION = _table([(name, *rest) for name, rest in CONNECTION_FIELDS.items()])


def mask(name, value):
    """What stands for a sealed value in a masked export: arrays keep their length."""
    kind = AUTH_FIELDS.get(name, "object")
    if kind in ("emails", "strings"):
        return [MASK] * len(value)
    return {MASK: True} if kind == "object" else MASK
