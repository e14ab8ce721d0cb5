"""Looking for a leaked secret: which records hold it, which held it lately, and which share one.

Nothing here shows a value, and each look is in the audit log before there is an answer.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Exists, OuterRef

from connections.audit import log
from connections.encryption import stored_keys
from connections.encryption.digests import fingerprint, fingerprints_of
from connections.encryption.ring import SealError
from connections.json_format import schema
from connections.json_format.values import MAX_TEXT
from connections.lib import database, processes
from connections.models import ConnectionAuth, FormerVersion, SecretFingerprint

MAX_SECRET_BYTES = MAX_TEXT  # bytes: no stored text is longer

REBUILD_CHUNK_SIZE = 500  # records whose fingerprints are made anew at a time


SEARCH_CHUNK_SIZE = 500  # former versions that are opened at a time
MAX_RECORDS_PER_SECRET = 5  # records that a Group names


@dataclass(frozen=True)
class FormerHolder:
    """A former version of a record that holds a secret, and in which field (API spelling)."""

    record: ConnectionAuth
    field: str
    version: int
    replaced_at: datetime

    def as_json(self):
        written = {"version": self.version, "replaced_at": self.replaced_at.isoformat()}
        return {**Holder(self.record, self.field).as_json(), **written}


@dataclass
class SearchResult:
    """Where a secret is: Holders, and the Formers where those were asked for, newest first."""

    holders: list
    former: list = field(default_factory=list)
    unopened: int = 0  # former versions with a value that does not open

    def __len__(self):
        return len(self.holders) + len(self.former)

    def records(self):
        """How many records that are."""
        return len({place.record.pk for place in (*self.holders, *self.former)})


def search(secret, *, user=None, former=False, jobs=1):
    """Look for a secret among the records that `user` may see (None: all), as a Found.

    Opens nothing; with `former` it opens what is kept of former versions, in `jobs` processes.
    """
    spelled = _line_ending_variants(secret)
    holders = {
        (holder.record.pk, holder.field): holder
        for text in spelled
        for holder in find_holders(text, _visible_records(user))
    }
    found = SearchResult([holders[place] for place in sorted(holders)])
    if former:
        _search_former_versions(spelled, user, found, jobs)
    places = {place.field for place in (*found.holders, *found.former)}
    log.log_event(
        "find",
        user=user,
        count=len(found),
        fields={schema.AUTH_NAMES_BY_KEY.get(name, name) for name in places},  # as other entries
        reason="former versions too" if former else "",
    )
    return found


def _visible_records(user):
    records = ConnectionAuth.objects.all()
    return records.visible_to(user) if user else records


def _for_visible_records(rows, user):
    """Those whose record a user may see. SQLite would begin a join, or an IN, with all records."""
    return rows.filter(Exists(_visible_records(user).filter(pk=OuterRef("record_id"))))


def _line_ending_variants(secret):
    """A secret of several lines may have come with other line ends than it is stored with."""
    lines = secret.replace("\r\n", "\n")
    return {secret, lines, lines.replace("\n", "\r\n")}


# Former versions


def former_versions(user=None):
    """What is kept of the records that a user may see (None: all)."""
    return _for_visible_records(FormerVersion.objects.unexpired(), user)


def _search_former_versions(spelled, user, found, jobs):
    key = stored_keys.fingerprint_key()
    numbers = {fingerprint(text, key) for text in spelled}
    kept = former_versions(user)
    places = []
    look_into = _FormerVersionSearcher(kept, numbers, key)
    with processes.workers(look_into, processes.worker_count(jobs, kept.count())) as in_order:
        for some, unopened in in_order(database.id_ranges(kept, SEARCH_CHUNK_SIZE)):
            places += some
            found.unopened += unopened
    by_id = _visible_records(user).defer_sealed().in_bulk([record for record, *_ in places])
    found.former = [
        FormerHolder(by_id[record], schema.to_camel_case(name), version, replaced_at)
        for record, name, version, replaced_at in reversed(places)
    ]


class _FormerVersionSearcher:
    """Opens a range of former versions: `(after, until)` in; out come the places (id of the
    record, field, version, when it was replaced) that hold the secret, and how many versions
    have a value that does not open.
    """

    def __init__(self, kept, numbers, key):
        self.kept, self.numbers, self.key = kept, numbers, key

    def __call__(self, ids):
        places, unopened = [], 0
        for held in database.filter_id_range(self.kept, *ids):
            try:
                content = held.open_content()
            except SealError:
                unopened += 1
                continue
            unopened += bool(content.get("closed"))
            places += [
                (held.record_id, name, held.version, held.replaced_at)
                for name, number in sorted(fingerprints_of(content.get("auth", {}), self.key))
                if number in self.numbers
            ]
        return places, unopened


# Shared secrets


@dataclass(frozen=True)
class SharedSecret:
    """A secret that several records hold: how many, in which fields, and NAMED of the records."""

    count: int
    fields: list
    records: list

    @property
    def others(self):
        return self.count - len(self.records)


def shared_numbers_for_user(user=None, field=None):
    """The secrets that several records share, those with most holders first: a queryset of their
    numbers and counts, for groups(). `field` (wire name) looks at one field alone.
    """
    return shared_numbers(_visible_fingerprints(user, field))


def shared_secrets(found, user=None, field=None):
    """The Groups of some of what shared() found."""
    held = {}
    chosen = _visible_fingerprints(user, field).filter(number__in=[row["number"] for row in found])
    for number, record, name in chosen.order_by("record").values_list("number", "record", "field"):
        records, fields = held.setdefault(number, ({}, set()))
        records[record] = None
        fields.add(schema.to_camel_case(name))
    named = {
        number: list(records)[:MAX_RECORDS_PER_SECRET] for number, (records, _) in held.items()
    }
    by_id = (
        _visible_records(user).defer_sealed().in_bulk({pk for pks in named.values() for pk in pks})
    )
    return [
        SharedSecret(
            row["records"],
            sorted(held[row["number"]][1]),
            [by_id[pk] for pk in named[row["number"]]],
        )
        for row in found
    ]


def _visible_fingerprints(user, field):
    chosen = _for_visible_records(SecretFingerprint.objects, user)
    return chosen.filter(field=field) if field else chosen


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
    number = fingerprint(secret, stored_keys.fingerprint_key())
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
    key = stored_keys.fingerprint_key()
    done = 0
    for ids in database.id_ranges(ConnectionAuth.all_objects.all(), REBUILD_CHUNK_SIZE):
        with transaction.atomic():
            rows = ConnectionAuth.all_objects.select_for_update()
            opened = {
                record.pk: record.open_auth() for record in database.filter_id_range(rows, *ids)
            }
            SecretFingerprint.objects.replace(opened, key)
            done += len(opened)
        if on_progress:
            on_progress(done)
    return done
