"""How the encryption keys are used, for the dashboard and the page about keys. Opens nothing."""

from dataclasses import dataclass
from datetime import datetime

from connections.audit import log
from connections.console.list_url import LinkedCount, linked_count, query_string
from connections.encryption import keyring
from connections.models import AccessEvent, ConnectionAuth
from connections.records.counts import UNFILTERED


@dataclass(frozen=True, kw_only=True)
class KeyHealth:
    """What the dashboard says of the keys."""

    since: datetime | None  # when the newest came into use; None until a rotation brings it in
    old: LinkedCount  # connections with a value under a key that is not the newest
    missing: LinkedCount  # connections with a value under a key that we do not have


@dataclass(frozen=True, kw_only=True)
class CountedKey:
    """A count of connections, and the query string of the list of them."""

    name: str = ""  # 8 hex digits of the key's hash
    count: int
    query: str


@dataclass(frozen=True, kw_only=True)
class KeyUsage:
    """What the page about keys says, of the connections in use that the user may see."""

    # Those of FERNET_KEYS, newest first. A connection counts for the oldest key that it needs.
    keys: list[CountedKey]
    since: datetime | None
    old: CountedKey
    missing: CountedKey
    missing_names: list[str]  # as far as they are known
    rotation: AccessEvent | None  # the last one; for readers of the audit log


def may_view(user):
    """Whether a user may see how keys are used: those who reveal, or read the audit log."""
    return user.has_perm("connections.reveal_secrets") or log.may_read(user)


def get_health(user, groups, connection_filter):
    """The KeyHealth of CountGroups, or None where the user may not see it."""
    if not may_view(user):
        return None
    old = sum(group.count for group in groups if group.is_under_old_key)
    missing = sum(group.count for group in groups if group.is_under_missing_key)
    return KeyHealth(
        since=keyring.newest_key_since(),
        old=linked_count(connection_filter, old, old_key=1),
        missing=linked_count(connection_filter, missing, old_key="missing"),
    )


def get_usage(user):
    """The KeyUsage that a user may see."""
    counts = ConnectionAuth.objects.visible_to(user).counts_by_key()
    counts.pop(None, None)  # connections without a sealed value
    keys = [_counted_key(counts.pop(name, 0), name, name) for name in keyring.key_ids()]
    rotations = AccessEvent.objects.filter(action="rotate").order_by("-id")
    return KeyUsage(
        keys=keys,
        since=keyring.newest_key_since(),
        old=_counted_key(sum(key.count for key in keys[1:]), "1"),
        missing=_counted_key(sum(counts.values()), "missing"),
        missing_names=sorted(filter(None, counts)),
        rotation=rotations.first() if log.may_read(user) else None,
    )


def _counted_key(count, old_key, name=""):
    return CountedKey(name=name, count=count, query=query_string(UNFILTERED, old_key=old_key))
