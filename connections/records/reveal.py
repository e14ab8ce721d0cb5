"""Revealing a sealed value: the reason is in the audit log before the value is opened."""

import json

from django.db import DatabaseError, transaction

from connections.audit import log
from connections.encryption.keyring import KeyringError, SealError
from connections.models import ConnectionAuth


class NotAudited(Exception):
    """The entry of the audit log could not be written, so nothing is revealed."""


def reveal(record: ConnectionAuth, name: str, reason: str) -> str:
    """The text of a sealed field that is set; arrays and objects as indented JSON.

    Raises NotAudited, and SealError where the value does not open, which is audited as well. Must
    not be called inside a transaction, whose rollback could remove the entry.
    """
    entry = {"record": record, "fields": [name], "reason": reason}
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
        # Durable: it refuses to be part of another transaction, so that it is committed here.
        with transaction.atomic(durable=True):
            log.log_event("reveal", **entry)
    except (DatabaseError, KeyringError, SealError) as error:
        raise NotAudited("The audit log takes no entry.") from error
