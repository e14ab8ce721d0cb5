"""Fills the facts (see facts) of what was stored before there was a column for them."""

from django.db.models import Q

from connections.encryption.keyring import SealError
from connections.expiry.token_facts import TOKENS, facts_of
from connections.models import ConnectionAuth

FIELDS = (*TOKENS, "pem")
BATCH = 500


def fill(on_progress=None):
    """Open the tokens and certificates without facts, also in the bin, and store those.

    Returns how many records were looked at and how many have facts now. Can be interrupted and
    begun again; what is saved meanwhile is left, it has its facts. What does not open has none.
    """
    holds_any = Q(*((f"{name}__isnull", False) for name in FIELDS), _connector=Q.OR)
    rows = ConnectionAuth.all_objects.filter(holds_any, facts__isnull=True).order_by("pk")
    checked = filled = 0
    batch = list(rows.only("version", *FIELDS)[:BATCH])
    while batch:
        for record in batch:
            if told := facts_of(_opened(record)):
                same = ConnectionAuth.all_objects.filter(pk=record.pk, version=record.version)
                filled += same.update(facts=told)
        checked += len(batch)
        if on_progress:
            on_progress(len(batch))
        batch = list(rows.only("version", *FIELDS).filter(pk__gt=batch[-1].pk)[:BATCH])
    return checked, filled


def _opened(record):
    auth = {}
    for name in FIELDS:
        if (sealed := getattr(record, name)) is not None:
            try:
                auth[name] = sealed.reveal()
            except SealError:
                continue
    return auth
