"""A sealed value out to a person who says why: in the audit log first, and only then opened."""

import json

from django.db import DatabaseError, transaction

from connections.audit import log
from connections.encryption.ring import KeyringError, SealError


class NotAudited(Exception):
    """The audit log took no entry, so nothing is revealed."""


def reveal(record, name, *, request, reason):
    """The text of a sealed field that is set; arrays and objects as indented JSON.

    Raises NotAudited, and SealError where the value does not open, which is audited as well. Must
    not be called inside a transaction: that could take the entry back.
    """
    entry = {"request": request, "record": record, "fields": [name], "reason": reason}
    sealed = getattr(record, name)
    _audit(entry)
    try:
        value = sealed.reveal()
    except SealError:
        _audit({**entry, "result": "failed"})
        record.mark_unreadable([name])
        raise
    return json.dumps(value, indent=2, ensure_ascii=False) if sealed.is_json else value


def _audit(entry):
    try:
        # Durable: it raises inside another transaction, and is committed when it ends.
        with transaction.atomic(durable=True):
            log.log_event("reveal", **entry)
    except (DatabaseError, KeyringError, SealError) as error:
        raise NotAudited("The audit log takes no entry.") from error
