"""Keyed fingerprints of secrets: which records hold a value, without opening any of them.

A fingerprint is the first 64 bits of an HMAC-SHA256 (RFC 2104) under a key of its own that is
stored sealed: the database alone lets nobody test guesses. It does show which records hold the
same secret.
"""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count

from connections.encryption import keyring
from connections.encryption.digests import fingerprint
from connections.json_format import schema
from connections.json_format.values import MAX_TEXT
from connections.lib import processes
from connections.models import ConnectionAuth, SecretFingerprint

MAX_SECRET_BYTES = MAX_TEXT  # bytes: no stored text is longer
REBUILD_CHUNK_SIZE = 500  # records whose fingerprints are made anew at a time


@dataclass(frozen=True)
class Holder:
    """A record that holds a secret, and in which field (API spelling)."""

    record: ConnectionAuth
    field: str

    def as_json(self):
        return {
            "id": str(self.record.pk),
            "connection_id": self.record.connection_id,
            "name": self.record.name,
            "integration": self.record.integration_id,
            "field": self.field,
        }


def find_holders(secret, records=None):
    """The Holders of a secret among `records` (all that are in use). Opens nothing."""
    number = fingerprint(secret, keyring.fingerprint_key())
    found = list(SecretFingerprint.objects.filter(number=number).values_list("record", "field"))
    records = ConnectionAuth.objects.all() if records is None else records
    by_id = records.defer_sealed().in_bulk([record for record, _ in found])
    holders = [
        Holder(by_id[record], schema.to_camel_case(field))
        for record, field in found
        if record in by_id
    ]
    return sorted(holders, key=lambda holder: (holder.record.pk, holder.field))


def iter_shared_holders(field=None, records=None):
    """Secrets that several records hold: an iterator of lists of Holders, most holders first.

    `field` (wire name) looks at one field alone. Names no value: what is shared stays closed.
    """
    records = ConnectionAuth.objects.all() if records is None else records
    chosen = SecretFingerprint.objects.filter(record__in=records)
    if field:
        chosen = chosen.filter(field=field)
    for number in shared_numbers(chosen).values_list("number", flat=True).iterator():
        found = list(chosen.filter(number=number).values_list("record", "field"))
        by_id = records.defer_sealed().in_bulk([record for record, _ in found])
        yield [Holder(by_id[record], schema.to_camel_case(name)) for record, name in sorted(found)]


def shared_numbers(chosen):
    """The numbers that several records have among some SecretFingerprints (a queryset).

    A queryset of dicts `number` and `records` (how many have it), those with most records first.
    """
    # The index alone tells which numbers come up again; few of them need a look at their records.
    again = (
        SecretFingerprint.objects.values("number")
        .annotate(times=Count("*"))
        .filter(times__gt=1)
        .values("number")
    )
    return (
        chosen.filter(number__in=again)
        .values("number")
        .annotate(records=Count("record", distinct=True))
        .filter(records__gt=1)
        .order_by("-records", "number")
    )


def rebuild_fingerprints(on_progress=None):
    """Make the fingerprints of all records anew, as after `loaddata`. Returns how many records.

    A field that does not open keeps those that it had.
    """
    key = keyring.fingerprint_key()
    done = 0
    for ids in processes.id_ranges(ConnectionAuth.all_objects.all(), REBUILD_CHUNK_SIZE):
        with transaction.atomic():
            rows = ConnectionAuth.all_objects.select_for_update()
            opened = {
                record.pk: record.open_auth() for record in processes.filter_id_range(rows, *ids)
            }
            SecretFingerprint.objects.replace(opened, key)
            done += len(opened)
        if on_progress:
            on_progress(done)
    return done
