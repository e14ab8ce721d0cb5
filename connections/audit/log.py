"""The audit log: who did what, when, from where, to which record and fields. Never a value.

Each entry carries an HMAC over itself and the one before, under a key of its own that lies in the
database sealed under FERNET_KEYS: whoever can write to the database alone can't make an entry.
"""

import getpass
import hashlib
import hmac
import logging
import os
from contextvars import ContextVar

from django.db import transaction
from django.utils import timezone

from connections.encryption import stored_keys
from connections.lib.database import AUDIT_LOCK, take_lock
from connections.lib.text import in_one_line, printable
from connections.models import AccessEvent, scope_of
from connections.models.access_event import record_type_of

SECOND_FACTOR_FIELDS = ("second_factor",)  # what the entries call TOTP, passkeys, recovery codes

logger = logging.getLogger("connections.audit")  # each entry is a line of JSON, too
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
        key = stored_keys.audit_key()
        take_lock(AUDIT_LOCK)  # one transaction at a time appends
        last = AccessEvent.objects.order_by("-id").values_list("id", "mac").first()
        entry.id, entry.previous = (last[0] + 1, last[1]) if last else (1, "")
        now = timezone.now()
        # What dumpdata writes has no more digits, and loaddata must bring the same entry back.
        entry.at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        entry.mac = compute_mac(entry, key)
        entry.save()
        # The entry is what counts: if its line can't be written, that stops nothing.
        transaction.on_commit(
            lambda: logger.info("audit", extra={"entry": entry.shown()}), robust=True
        )
    return entry


def compute_mac(entry, key):
    """What the `mac` of an entry has to be (hexadecimal), under stored_keys.audit_key()."""
    return hmac.new(key, entry.content(), hashlib.sha256).hexdigest()


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
        "record_type": record_type_of(record),
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


def log_to(stream):
    """Write the line of JSON for each entry to this stream: the handler `audit` of LOGGING."""
    logger.setLevel(logging.INFO)
    for handler in logger.handlers:
        if handler.name == "audit":
            handler.setStream(stream)
