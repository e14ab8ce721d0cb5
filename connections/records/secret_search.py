"""Looking for a leaked secret: which records hold it, which held it lately, and which share one.

Nothing here shows a value, and each look is in the audit log before there is an answer.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Exists, OuterRef

from connections import fingerprints
from connections.audit import log
from connections.encryption import keyring
from connections.encryption.digests import fingerprint, fingerprints_of
from connections.encryption.keyring import SealError
from connections.fingerprints import Holder
from connections.json_format import schema
from connections.lib import processes
from connections.models import ConnectionAuth, ReplacedAuth, SecretFingerprint
from connections.records import versions

CHUNK = 500  # former versions that are opened at a time
NAMED = 5  # records that a Group names


@dataclass(frozen=True)
class Former:
    """A former version of a record that holds a secret, and in which field (API spelling)."""

    record: ConnectionAuth
    field: str
    version: int
    replaced_at: datetime

    def as_json(self):
        written = {"version": self.version, "replaced_at": self.replaced_at.isoformat()}
        return {**Holder(self.record, self.field).as_json(), **written}


@dataclass
class Found:
    """Where a secret is: Holders, and the Formers where those were asked for, newest first."""

    holders: list
    former: list = field(default_factory=list)
    unopened: int = 0  # former versions with a value that does not open

    def __len__(self):
        return len(self.holders) + len(self.former)

    def records(self):
        """How many records that are."""
        return len({place.record.pk for place in (*self.holders, *self.former)})


def look(secret, *, user=None, former=False, jobs=1):
    """Look for a secret among the records that `user` may see (None: all), as a Found.

    Opens nothing; with `former` it opens what is kept of former versions, in `jobs` processes.
    """
    spelled = _spellings(secret)
    holders = {
        (holder.record.pk, holder.field): holder
        for text in spelled
        for holder in fingerprints.find(text, _in_reach(user))
    }
    found = Found([holders[place] for place in sorted(holders)])
    if former:
        _look_back(spelled, user, found, jobs)
    places = {place.field for place in (*found.holders, *found.former)}
    log.record(
        "find",
        user=user,
        count=len(found),
        fields={schema.AUTH_SPELLINGS.get(name, name) for name in places},  # as other entries
        reason="former versions too" if former else "",
    )
    return found


def _in_reach(user):
    records = ConnectionAuth.objects.all()
    return records.visible_to(user) if user else records


def _of_records(rows, user):
    """Those whose record a user may see. SQLite would begin a join, or an IN, with all records."""
    return rows.filter(Exists(_in_reach(user).filter(pk=OuterRef("record_id"))))


def _spellings(secret):
    """A secret of several lines may have come with other line ends than it is stored with."""
    lines = secret.replace("\r\n", "\n")
    return {secret, lines, lines.replace("\n", "\r\n")}


# Former versions


def former_versions(user=None):
    """What is kept of the records that a user may see (None: all)."""
    return _of_records(ReplacedAuth.objects, user)


def _look_back(spelled, user, found, jobs):
    key = keyring.fingerprint_key()
    numbers = {fingerprint(text, key) for text in spelled}
    kept = former_versions(user)
    places = []
    look_into = _Opener(kept, numbers, key)
    with processes.workers(look_into, processes.processes(jobs, kept.count())) as in_order:
        for some, unopened in in_order(processes.id_ranges(kept, CHUNK)):
            places += some
            found.unopened += unopened
    by_id = _in_reach(user).listed().in_bulk([record for record, *_ in places])
    found.former = [
        Former(by_id[record], schema.camel(name), version, replaced_at)
        for record, name, version, replaced_at in reversed(places)
    ]


class _Opener:
    """Opens a range of former versions: `(after, until)` in; out come the places (id of the
    record, field, version, when it was replaced) that hold the secret, and how many versions
    have a value that does not open.
    """

    def __init__(self, kept, numbers, key):
        self.kept, self.numbers, self.key = kept, numbers, key

    def __call__(self, ids):
        places, unopened = [], 0
        for held in processes.in_range(self.kept, *ids):
            try:
                content = versions.content_of(held)
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
class Group:
    """A secret that several records hold: how many, in which fields, and NAMED of the records."""

    count: int
    fields: list
    records: list

    @property
    def others(self):
        return self.count - len(self.records)


def shared(user=None, field=None):
    """The secrets that several records share, those with most holders first: a queryset of their
    numbers and counts, for groups(). `field` (wire name) looks at one field alone.
    """
    return fingerprints.shared_numbers(_fingerprints(user, field))


def groups(found, user=None, field=None):
    """The Groups of some of what shared() found."""
    held = {}
    chosen = _fingerprints(user, field).filter(number__in=[row["number"] for row in found])
    for number, record, name in chosen.order_by("record").values_list("number", "record", "field"):
        records, fields = held.setdefault(number, ({}, set()))
        records[record] = None
        fields.add(schema.camel(name))
    named = {number: list(records)[:NAMED] for number, (records, _) in held.items()}
    by_id = _in_reach(user).listed().in_bulk({pk for pks in named.values() for pk in pks})
    return [
        Group(
            row["records"],
            sorted(held[row["number"]][1]),
            [by_id[pk] for pk in named[row["number"]]],
        )
        for row in found
    ]


def _fingerprints(user, field):
    chosen = _of_records(SecretFingerprint.objects, user)
    return chosen.filter(field=field) if field else chosen
