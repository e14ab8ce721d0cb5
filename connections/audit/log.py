"""The audit log: who did what, when, from where, to which record and fields. Never a value.

Each entry carries an HMAC over itself and the one before, under a key of its own that lies in the
database sealed under FERNET_KEYS: whoever can write to the database alone can't make an entry.
"""

import getpass
import hashlib
import hmac
import os
import sys
from contextvars import ContextVar
from dataclasses import dataclass, field

import structlog
from django.db import connection, transaction
from django.utils import timezone

from connections.encryption import keyring
from connections.import_export.rows import tolerate_invalid_utf8
from connections.json_format.issues import printable
from connections.models import AccessEvent, StoredKey, in_one_line, scope_of

# Any number that nobody else takes for an advisory lock of PostgreSQL.
AUDIT_LOCK = 0x1A7C4_A0D17

_request = ContextVar("request", default=None)


def log_event(
    action,
    *,
    request=None,
    user=None,
    record=None,
    fields=(),
    count=None,
    reason="",
    result="done",
):
    """Append an entry and return it; raises where it can't be written.

    `user` is a user or a name; without one it is that of `request`, which also tells the address.
    Without either it is the request under way or, in a command, the account that runs it.
    `record` is a model instance, or a word for what has none. `fields` are names. Call it at the
    end of a transaction: until that ends, nobody else can append.
    """
    if action not in AccessEvent.ACTIONS or result not in AccessEvent.RESULTS:
        raise ValueError(f"The audit log knows no {action!r} with the result {result!r}.")
    request = request or _request.get()
    entry = AccessEvent(
        action=action,
        user=_user_name(user, request),
        address=request.META.get("REMOTE_ADDR", "")[:45] if request else "",
        fields=sorted(fields),
        count=count,
        reason=printable(reason, 1000),
        result=result,
        **_record_columns(record),
    )
    with transaction.atomic():
        key = keyring.audit_key()
        _acquire_append_lock()
        last = AccessEvent.objects.order_by("-id").values_list("id", "mac").first()
        entry.id, entry.previous = (last[0] + 1, last[1]) if last else (1, "")
        now = timezone.now()
        # What dumpdata writes has no more digits, and loaddata must bring the same entry back.
        entry.at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        entry.mac = compute_mac(entry, key)
        entry.save()
        # The entry counts; a log that nobody can read any more stops nothing.
        transaction.on_commit(lambda: _emit(entry), robust=True)
    return entry


def compute_mac(entry, key):
    """What the `mac` of an entry has to be (hexadecimal), under keyring.audit_key()."""
    return hmac.new(key, entry.content(), hashlib.sha256).hexdigest()


def _acquire_append_lock():
    """Let one transaction at a time append. SQLite's are IMMEDIATE, which does the same."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AUDIT_LOCK])


def _user_name(user, request):
    if user is None and request:
        user = getattr(request, "user", "")
    if user is None:
        return command_user()
    name = user if isinstance(user, str) else user.get_username()
    return in_one_line(name)[:255]


def _record_columns(record):
    if record is None or isinstance(record, str):
        return {"record_type": (record or "")[:32]}
    return {
        "record_type": record._meta.verbose_name_raw[:32],  # whatever the language
        "record_id": str(record.pk),
        "record_name": in_one_line(str(record))[:255],
    }


def command_user():
    """Who runs a command, as the log names them: `command: alice`."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        account = str(os.getuid())
    return in_one_line(f"command: {account}")[:255]


def may_read(user):
    """Whether a user reads the log. It is about everything: not for who is limited."""
    return user.has_perm("connections.view_audit") and not scope_of(user).is_limited


def middleware(get_response):
    """Let what is recorded deep inside a request know whose it is."""

    def remember(request):
        token = _request.set(request)
        try:
            return get_response(request)
        finally:
            _request.reset(token)

    return remember


# Verifying


@dataclass
class VerifyResult:
    """What verify() has seen: how many entries, and the last of them."""

    checked: int = 0
    head: dict = field(default_factory=lambda: {"entry": 0, "mac": ""})


def verify(tally, anchor=None, on_progress=None):
    """Yield whatever is wrong with the log: dicts `entry`, `until`, `code`, `message`.

    `anchor` is the `head` of an earlier tally, kept elsewhere: it shows that a tail was cut off,
    which the entries that are left can't. Raises KeyringError where the key of the log is gone.
    """
    key = _verification_key()
    last, last_is_sound = AccessEvent(id=0, mac=""), True
    for entry in _all_entries():
        is_next = entry.id == last.id + 1
        if not is_next:
            yield _fault("missing", last.id + 1, entry.id - 1)
        is_sound = _has_valid_mac(entry, key)
        if not is_sound:
            yield _fault("edited", entry.id)
        elif is_next and last_is_sound and entry.previous != last.mac:
            yield _fault("unlinked", entry.id)
        elif anchor and entry.id == anchor["entry"] and entry.mac != anchor["mac"]:
            yield _fault("rewritten", entry.id)
        last, last_is_sound = entry, is_sound
        tally.checked += 1
        tally.head = {"entry": entry.id, "mac": entry.mac}
        if on_progress:
            on_progress(1)
    # The key is made with the first entry.
    expected = anchor["entry"] if anchor else int(key is not None)
    if last.id < expected:
        yield _fault("cut", last.id + 1, expected)


def _all_entries():
    with tolerate_invalid_utf8():
        yield from AccessEvent.objects.order_by("id").iterator(chunk_size=1000)


def _has_valid_mac(entry, key):
    try:
        return hmac.compare_digest(entry.mac.encode(), compute_mac(entry, key).encode())
    except (AttributeError, TypeError, ValueError):  # in SQLite, any column may hold anything
        return False


FAULT_MESSAGES = {
    "missing": "Removed.",
    "edited": "Not as it was written: changed, swapped with another, or put in.",
    "unlinked": "Does not follow on the entry before it.",
    "rewritten": "Not the entry of the anchor: the log was cut off before it and went on anew.",
    "cut": "Cut off from the end.",
}


def _fault(code, entry, until=None):
    return {"entry": entry, "until": until or entry, "code": code, "message": FAULT_MESSAGES[code]}


def _verification_key():
    """The key of the log, or None where there is neither a key nor an entry."""
    if StoredKey.objects.filter(name="audit").exists():
        return keyring.audit_key()
    if AccessEvent.objects.exists():
        raise keyring.KeyringError(
            "The key of the audit log is gone from the database, so nothing can be verified",
            "bring back the row `audit` of connections_storedkey from a backup",
        )
    return None


# The log as lines of JSON


def log_to(stream):
    """Write each entry to a stream as well, one JSON object a line."""
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(stream),
    )


def _emit(entry):
    structlog.get_logger().info("audit", **entry.shown())


# Stdout is for what a command prints; a server moves it there. At a terminal nobody reads JSON.
log_to(open(os.devnull, "w") if sys.stderr.isatty() else sys.stderr)
