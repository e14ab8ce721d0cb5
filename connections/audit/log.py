"""The audit log: who did what, when, from where, to which record and fields. Never a value.

Each entry carries an HMAC over itself and the entry before it. The key of that is stored sealed
under FERNET_KEYS, so who can write to the database but does not have them can't forge an entry.
"""

import getpass
import hmac
import logging
import os
from collections.abc import Iterable
from typing import TextIO

from allauth.core import context
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone

from connections.encryption import keyring
from connections.lib.database import AUDIT_LOCK, take_lock
from connections.lib.text import in_one_line, printable
from connections.models import AccessEvent, scope_of
from connections.models.access_event import record_type_of

SECOND_FACTOR_FIELDS = ("second_factor",)  # what the entries call TOTP, passkeys, recovery codes

logger = logging.getLogger("connections.audit")  # each entry is a line of JSON, too


def log_event(
    action: str,
    *,
    request: HttpRequest | None = None,
    user: AbstractBaseUser | str | None = None,
    record: Model | str | None = None,
    fields: Iterable[str] = (),
    count: int | None = None,
    reason: str = "",
    result: str = "done",
) -> AccessEvent:
    """Append an entry and return it. Raises an error if it can't be written.

    `action` and `result` are keys of AccessEvent.ACTIONS and RESULTS. `user` is a user or a name;
    by default it is the user of `request`, which also gives the address. `request` is by default
    the current one. In a command, which has none, the user is the account that runs it.
    `record` is a model instance, or a word for what has no model. `fields` are names.

    Call it at the end of a transaction: until that ends, no other one can append.
    """
    if action not in AccessEvent.ACTIONS or result not in AccessEvent.RESULTS:
        raise ValueError(f"The audit log knows no {action!r} with the result {result!r}.")
    request = request or context.request
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
        take_lock(AUDIT_LOCK)  # one transaction at a time appends
        last = AccessEvent.objects.order_by("-id").values_list("id", "mac").first()
        entry.id, entry.previous = (last[0] + 1, last[1]) if last else (1, "")
        now = timezone.now()
        # dumpdata writes milliseconds, and loaddata must restore the same entry.
        entry.at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        entry.mac = compute_mac(entry, key)
        entry.save()
        # The entry is what counts: if its line can't be written, that stops nothing.
        transaction.on_commit(
            lambda: logger.info("audit", extra={"entry": entry.as_dict()}), robust=True
        )
    return entry


def compute_mac(entry: AccessEvent, key: bytes) -> str:
    """What the `mac` of an entry has to be (hex), under keyring.audit_key()."""
    return hmac.digest(key, entry.mac_content(), "sha256").hex()


def _user_name(user, request):
    if user is None and request:
        user = getattr(request, "user", "")
    if user is None:
        try:
            user = f"command: {getpass.getuser()}"
        except (KeyError, OSError):  # an account without a name, as in some containers
            user = f"command: {os.getuid()}"
    return in_one_line(user if isinstance(user, str) else user.get_username())


def _record_columns(record):
    if record is None or isinstance(record, str):
        return {"record_type": (record or "")[:32]}
    return {
        "record_type": record_type_of(record),
        "record_id": str(record.pk),
        "record_name": in_one_line(str(record)),
    }


def may_read(user: AbstractBaseUser) -> bool:
    """Whether a user may read the log. It covers everything, so users with a limit may not."""
    return user.has_perm("connections.view_audit") and not scope_of(user).is_limited


def log_to(stream: TextIO) -> None:
    """Write the line of JSON for each entry to this stream: the handler `audit` of LOGGING."""
    logger.setLevel(logging.INFO)
    for handler in logger.handlers:
        if handler.name == "audit":
            handler.stream = stream  # setStream() would flush the old one, which may be closed
