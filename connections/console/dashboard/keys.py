"""How the encryption keys are used, for the dashboard and the page about keys. Opens nothing."""

from connections.audit import log
from connections.console.list_url import linked_count, query_string
from connections.encryption import ring, stored_keys
from connections.models import AccessEvent, ConnectionAuth
from connections.records.counts import UNFILTERED


def may_view(user):
    """Whether a user may see how keys are used: those who reveal, or read the audit log."""
    return user.has_perm("connections.reveal_secrets") or log.may_read(user)


def get_health(user, groups, connection_filter):
    """What the dashboard says of the keys of CountGroups; None where the user may not see it."""
    if not may_view(user):
        return None
    old = sum(group.count for group in groups if group.is_under_old_key)
    missing = sum(group.count for group in groups if group.is_under_missing_key)
    return {
        "since": stored_keys.newest_key_since(),  # None until a rotation brings it in
        "old": linked_count(connection_filter, old, old_key=1),
        "missing": linked_count(connection_filter, missing, old_key="missing"),
    }


def get_usage(user):
    """What the page about keys says, of the connections in use that the user may see."""
    counts = ConnectionAuth.objects.visible_to(user).counts_by_key()
    counts.pop(None, None)  # connections without a sealed value
    keys = [_counted_key(counts.pop(name, 0), name, name) for name in ring.key_ids()]
    rotations = AccessEvent.objects.filter(action="rotate").order_by("-id")
    return {
        # Those of FERNET_KEYS, newest first. A connection counts for the oldest key that it needs.
        "keys": keys,
        "since": stored_keys.newest_key_since(),
        "old": _counted_key(sum(key["count"] for key in keys[1:]), "1"),
        "missing": _counted_key(sum(counts.values()), "missing"),
        "missing_names": sorted(filter(None, counts)),  # as far as they are known
        # The last one, for readers of the audit log.
        "rotation": rotations.first() if log.may_read(user) else None,
    }


def _counted_key(count, old_key, name=""):
    """A count of connections, and the query string of the list of them."""
    return {"name": name, "count": count, "query": query_string(UNFILTERED, old_key=old_key)}
