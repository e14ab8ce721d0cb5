"""How the encryption keys are used, for the dashboard and the page about keys. Opens nothing."""

from dataclasses import dataclass
from datetime import datetime

from connections.audit import log
from connections.console.list_url import LinkedCount, linked_count
from connections.encryption import keyring
from connections.models import AccessEvent, ConnectionAuth
from connections.records.counts import UNFILTERED, Fact


@dataclass(frozen=True, kw_only=True)
class KeyHealth:
    """What the dashboard says of the keys."""

    since: datetime | None  # when the newest came into use; None until a rotation brings it in
    old: LinkedCount  # connections with a value under a key that is not the newest
    missing: LinkedCount  # connections with a value under a key that we do not have


@dataclass(frozen=True, kw_only=True)
class KeyUsage(KeyHealth):
    """What the page about keys says, of the connections in use that the user may see."""

    # The names of FERNET_KEYS, newest first, and the connections whose oldest key it is.
    keys: list[tuple[str, LinkedCount]]
    missing_names: list[str]  # as far as they are known
    rotation: AccessEvent | None  # the last one; for readers of the audit log


def may_view(user):
    """Whether a user may see how keys are used: those who reveal, or read the audit log."""
    return user.has_perm("connections.reveal_secrets") or log.may_read(user)


def get_health(user, groups, connection_filter):
    """The KeyHealth of CountGroups, or None where the user may not see it."""
    if not may_view(user):
        return None
    old = sum(group.count for group in groups if Fact.UNDER_OLD_KEY in group.facts)
    missing = sum(group.count for group in groups if Fact.UNDER_MISSING_KEY in group.facts)
    return KeyHealth(
        since=keyring.newest_key_since(),
        old=linked_count(connection_filter, old, old_key=1),
        missing=linked_count(connection_filter, missing, old_key="missing"),
    )


def get_usage(user):
    """The KeyUsage that a user may see."""
    counts = ConnectionAuth.objects.visible_to(user).counts_by_key()
    counts.pop(None, None)  # connections without a sealed value
    keys = [
        (name, linked_count(UNFILTERED, counts.pop(name, 0), old_key=name))
        for name in keyring.key_ids()
    ]
    rotations = AccessEvent.objects.filter(action="rotate").order_by("-id")
    return KeyUsage(
        keys=keys,
        since=keyring.newest_key_since(),
        old=linked_count(UNFILTERED, sum(key.count for _name, key in keys[1:]), old_key=1),
        missing=linked_count(UNFILTERED, sum(counts.values()), old_key="missing"),
        missing_names=sorted(filter(None, counts)),
        rotation=rotations.first() if log.may_read(user) else None,
    )
