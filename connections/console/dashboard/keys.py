"""The numbers of the page about the keys: which key seals how many connections. Opens nothing."""

from connections.audit import log
from connections.console.list_url import query_string
from connections.encryption import ring, stored_keys
from connections.models import AccessEvent, ConnectionAuth
from connections.records.counts import UNFILTERED


def may_view(user):
    """Whether a user is told about the keys: who may reveal, and readers of the audit log."""
    return user.has_perm("connections.reveal_secrets") or log.may_read(user)


def get_context(user):
    """What the page shows a user, of the connections in use that the user may see.

    A *number* is a dict `count`, `query` (of the list of what is counted).

    `keys`      those of FERNET_KEYS, newest first, each a number with `name` (8 hex digits): the
                connections with a value under it and none under an older one
    `since`     when the newest came into use (aware datetime); None until a rotation brings it in
    `old`       number: those with a value under a key that is not the newest
    `missing`   number: those with a value under a key that is not there
    `missing_names` names of such keys, as far as they are known
    `rotation`  the AccessEvent of the last one, for readers of the audit log; else None
    """
    counts = ConnectionAuth.objects.visible_to(user).counts_by_key()
    counts.pop(None, None)  # with nothing sealed
    keys = [{"name": name, **_linked_count(counts.pop(name, 0), name)} for name in ring.key_ids()]
    rotations = AccessEvent.objects.filter(action="rotate").order_by("-id")
    return {
        "keys": keys,
        "since": stored_keys.newest_key_since(),
        "old": _linked_count(sum(key["count"] for key in keys[1:]), "1"),
        "missing": _linked_count(sum(counts.values()), "missing"),
        "missing_names": sorted(filter(None, counts)),
        "rotation": rotations.first() if log.may_read(user) else None,
    }


def _linked_count(count, key):
    return {"count": count, "query": query_string(UNFILTERED, old_key=key)}
