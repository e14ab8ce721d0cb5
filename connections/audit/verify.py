"""Verifying the audit log: its chain of MACs, and that no entry is missing."""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from connections.audit.log import compute_mac
from connections.encryption import keyring
from connections.lib.database import tolerate_invalid_utf8
from connections.models import AccessEvent, StoredKey

FAULT_MESSAGES = {
    "missing": "Removed.",
    "edited": "Not as it was written: changed, swapped with another, or put in.",
    "unlinked": "Does not follow on the entry before it.",
    "rewritten": "Not the entry of the anchor: the log was cut off before it and went on anew.",
    "cut": "Cut off from the end.",
}


@dataclass
class VerifyResult:
    """How many entries verify() has checked, and the last of them."""

    checked: int = 0
    head: dict[str, Any] = field(default_factory=lambda: {"entry": 0, "mac": ""})


def verify(
    result: VerifyResult,
    anchor: dict[str, Any] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the faults of the log, dicts with `entry`, `until`, `code`, `message`; fill `result`.

    `anchor` is the `head` of an earlier result, kept elsewhere. It shows that the end of the log
    was cut off, which the remaining entries can't. `on_progress` is called with the number of
    entries checked since the last call. Raises KeyringError if the key of the log is gone.
    """
    key = _verification_key()
    last, last_is_sound = AccessEvent(id=0, mac=""), True
    with tolerate_invalid_utf8():
        for entry in AccessEvent.objects.order_by("id").iterator(chunk_size=1000):
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
            result.checked += 1
            result.head = {"entry": entry.id, "mac": entry.mac}
            if on_progress:
                on_progress(1)
    # The key is made with the first entry.
    expected = anchor["entry"] if anchor else int(key is not None)
    if last.id < expected:
        yield _fault("cut", last.id + 1, expected)


def _has_valid_mac(entry, key):
    try:
        return hmac.compare_digest(entry.mac.encode(), compute_mac(entry, key).encode())
    except (AttributeError, TypeError, ValueError):  # SQLite's columns may hold any type
        return False


def _fault(code, entry, until=None):
    return {"entry": entry, "until": until or entry, "code": code, "message": FAULT_MESSAGES[code]}


def _verification_key():
    """The key of the log; None if there is neither a key nor an entry."""
    if StoredKey.objects.filter(name="audit").exists():
        return keyring.audit_key()
    if AccessEvent.objects.exists():
        raise keyring.KeyringError(
            "The key of the audit log is gone from the database, so nothing can be verified",
            "bring back the row `audit` of connections_storedkey from a backup",
        )
    return None
