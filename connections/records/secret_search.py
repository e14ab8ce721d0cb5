"""Searching a leaked secret, and secrets that several records share. No value is shown.

Each search is in the audit log before there is an answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, Exists, OuterRef, QuerySet

from connections.audit import log
from connections.encryption import keyring
from connections.encryption.digests import fingerprint, fingerprints_of
from connections.encryption.keyring import SealError
from connections.json_format import schema
from connections.json_format.values import MAX_TEXT
from connections.lib import database, processes
from connections.models import ConnectionAuth, FormerVersion, SecretFingerprint

MAX_SECRET_BYTES = MAX_TEXT  # no stored text is longer
CHUNK_SIZE = 500  # former versions that are opened at a time
MAX_RECORDS_PER_SECRET = 5  # that a SharedSecret names


@dataclass(frozen=True)
class Holder:
    """A record that holds a secret, and in which field (as the API spells it).

    One that held it in a former version has the number of that, and when it was replaced.
    """

    record: ConnectionAuth
    field: str
    version: int | None = None
    replaced_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        former = {}
        if self.replaced_at:
            former = {"version": self.version, "replaced_at": self.replaced_at.isoformat()}
        return {
            "id": str(self.record.pk),
            "connection_id": self.record.connection_id,
            "name": self.record.name,
            "integration": self.record.integration_id,
            "field": self.field,
            **former,
        }


@dataclass
class SearchResult:
    """Where a secret is; `former` (newest first) where former versions were searched as well."""

    holders: list[Holder]
    former: list[Holder] = field(default_factory=list)
    unopened: int = 0  # former versions with a value that does not open

    def __len__(self) -> int:
        return len(self.holders) + len(self.former)

    @property
    def record_count(self) -> int:
        return len({holder.record.pk for holder in (*self.holders, *self.former)})


@dataclass(frozen=True)
class SharedSecret:
    """A secret that several records hold: how many, in which fields, and some of the records."""

    count: int
    fields: list[str]  # as the API spells them
    records: list[ConnectionAuth]

    @property
    def others(self) -> int:
        return self.count - len(self.records)


def search(
    secret: str, *, user: User | None = None, former: bool = False, jobs: int = 1
) -> SearchResult:
    """Search a secret among the records that a user may see (None: all).

    Opens nothing, unless `former` asks for former versions: `jobs` processes open those.
    """
    # A secret of several lines may come with other line endings than it is stored with.
    lines = secret.replace("\r\n", "\n")
    key = keyring.fingerprint_key()
    numbers = {fingerprint(text, key) for text in (secret, lines, lines.replace("\n", "\r\n"))}
    found = SecretFingerprint.objects.filter(number__in=numbers).values_list("record", "field")
    result = SearchResult(_holders(sorted({*found}), user))
    if former:
        _search_former_versions(numbers, key, user, result, jobs)
    names = {holder.field for holder in (*result.holders, *result.former)}
    log.log_event(
        "find",
        user=user,
        count=len(result),
        fields={schema.AUTH_NAMES_BY_KEY.get(name, name) for name in names},  # as other entries
        reason="former versions too" if former else "",
    )
    return result


def searchable_former_versions(user: User | None = None) -> QuerySet:
    """The former versions that search() looks through for a user (None: all)."""
    return _of_visible_records(FormerVersion.objects.unexpired(), user)


def shared_numbers(user: User | None = None, field: str | None = None) -> QuerySet:
    """The fingerprints that several records have, among those that a user may see (None: all).

    Dicts of `number` and `records` (how many have it), those with most records first. `field`
    (wire name) looks at one field alone.
    """
    # The index alone tells which numbers occur again; few of them need a look at their records.
    repeated = (
        SecretFingerprint.objects.values("number")
        .annotate(times=Count("*"))
        .filter(times__gt=1)
        .values("number")
    )
    return (
        _visible_fingerprints(user, field)
        .filter(number__in=repeated)
        .values("number")
        .annotate(records=Count("record", distinct=True))
        .filter(records__gt=1)
        .order_by("-records", "number")
    )


def shared_secrets(
    rows: Iterable[dict[str, Any]], user: User | None = None, field: str | None = None
) -> list[SharedSecret]:
    """Some rows of shared_numbers() as SharedSecrets, in their order."""
    records, fields = defaultdict(dict), defaultdict(set)
    numbers = [row["number"] for row in rows]
    fingerprints = _visible_fingerprints(user, field).filter(number__in=numbers).order_by("record")
    for number, pk, name in fingerprints.values_list("number", "record", "field"):
        records[number][pk] = None
        fields[number].add(schema.to_camel_case(name))
    named = {number: list(pks)[:MAX_RECORDS_PER_SECRET] for number, pks in records.items()}
    by_id = _records_by_id({pk for pks in named.values() for pk in pks}, user)
    return [
        SharedSecret(
            row["records"],
            sorted(fields[row["number"]]),
            [by_id[pk] for pk in named[row["number"]]],
        )
        for row in rows
    ]


def iter_shared_holders(field: str | None = None) -> Iterator[list[Holder]]:
    """The holders of each secret that several records share, those with most records first."""
    fingerprints = _visible_fingerprints(None, field)
    for number in shared_numbers(field=field).values_list("number", flat=True).iterator():
        found = fingerprints.filter(number=number).values_list("record", "field")
        yield _holders(sorted(found), None)


def _of_visible_records(rows, user):
    """The rows of a queryset whose `record` a user may see.

    For a join, or an IN, SQLite would begin with all records.
    """
    visible = ConnectionAuth.objects.visible_to(user)
    return rows.filter(Exists(visible.filter(pk=OuterRef("record_id"))))


def _visible_fingerprints(user, field):
    fingerprints = _of_visible_records(SecretFingerprint.objects.all(), user)
    return fingerprints.filter(field=field) if field else fingerprints


def _records_by_id(ids, user):
    return ConnectionAuth.objects.visible_to(user).defer_sealed().in_bulk(ids)


def _holders(found, user):
    """Tuples of the id of a record, the name of a field, and perhaps the version and when it was
    replaced, as Holders, without what the user may not see.
    """
    records = _records_by_id([pk for pk, *_ in found], user)
    return [
        Holder(records[pk], schema.to_camel_case(name), *former)
        for pk, name, *former in found
        if pk in records
    ]


def _search_former_versions(numbers, key, user, result, jobs):
    searcher = _FormerVersionSearcher(searchable_former_versions(user), numbers, key)
    rows, found = searcher.former_versions, []
    with processes.workers(searcher, processes.worker_count(jobs, rows.count())) as in_order:
        for some, unopened in in_order(database.id_ranges(rows, CHUNK_SIZE)):
            found += some
            result.unopened += unopened
    result.former = _holders(found[::-1], user)


class _FormerVersionSearcher:
    """Opens the former versions of a range of ids.

    Returns where the secret is, as `(id of the record, field, version, when that was replaced)`,
    and how many versions have a value that does not open.
    """

    def __init__(self, former_versions, numbers, key):
        self.former_versions, self.numbers, self.key = former_versions, numbers, key

    def __call__(self, ids):
        found, unopened = [], 0
        for former in database.filter_id_range(self.former_versions, *ids):
            try:
                content = former.open_content()
            except SealError:
                unopened += 1
                continue
            unopened += bool(content.get("closed"))
            found += [
                (former.record_id, name, former.version, former.replaced_at)
                for name, number in sorted(fingerprints_of(content.get("auth", {}), self.key))
                if number in self.numbers
            ]
        return found, unopened
