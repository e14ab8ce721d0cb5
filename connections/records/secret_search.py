"""Searching a leaked secret: which records hold it, and which held it lately.

No value is shown, and each search is in the audit log before there is an answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet

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


@dataclass(frozen=True)
class Holder:
    """A record that holds a secret, and in which field (as the API spells it)."""

    record: ConnectionAuth
    field: str

    def as_json(self) -> dict[str, Any]:
        return {
            "id": str(self.record.pk),
            "connection_id": self.record.connection_id,
            "name": self.record.name,
            "integration": self.record.integration_id,
            "field": self.field,
        }


@dataclass(frozen=True)
class FormerHolder(Holder):
    """A record that held a secret in a former version."""

    version: int
    replaced_at: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            **super().as_json(),
            "version": self.version,
            "replaced_at": self.replaced_at.isoformat(),
        }


@dataclass
class SearchResult:
    """Where a secret is; `former` (newest first) where former versions were searched as well."""

    holders: list[Holder]
    former: list[FormerHolder] = field(default_factory=list)
    unopened: int = 0  # former versions with a value that does not open

    def __len__(self) -> int:
        return len(self.holders) + len(self.former)

    @property
    def record_count(self) -> int:
        return len({holder.record.pk for holder in (*self.holders, *self.former)})


def search(
    secret: str, *, user: User | None = None, former: bool = False, jobs: int = 1
) -> SearchResult:
    """Search a secret among the records that a user may see (None: all).

    Opens nothing, unless `former` asks for former versions: `jobs` processes open those.
    """
    texts = _line_ending_variants(secret)
    holders = {
        (holder.record.pk, holder.field): holder
        for text in texts
        for holder in find_holders(text, user)
    }
    result = SearchResult([holders[place] for place in sorted(holders)])
    if former:
        _search_former_versions(texts, user, result, jobs)
    names = {holder.field for holder in (*result.holders, *result.former)}
    log.log_event(
        "find",
        user=user,
        count=len(result),
        fields={schema.AUTH_NAMES_BY_KEY.get(name, name) for name in names},  # as other entries
        reason="former versions too" if former else "",
    )
    return result


def find_holders(secret: str, user: User | None = None) -> list[Holder]:
    """The holders of exactly this text, in the order of the records. Opens and audits nothing."""
    number = fingerprint(secret, keyring.fingerprint_key())
    found = SecretFingerprint.objects.filter(number=number).values_list("record", "field")
    return holders_of(found, user)


def holders_of(found: Iterable[tuple[Any, str]], user: User | None = None) -> list[Holder]:
    """Pairs of the id of a record and the name of a field as Holders, without what the user may
    not see.
    """
    found = sorted(found)
    records = visible_records(user).defer_sealed().in_bulk([pk for pk, _name in found])
    return [Holder(records[pk], schema.to_camel_case(name)) for pk, name in found if pk in records]


def visible_records(user: User | None) -> QuerySet:
    """The records in use that a user may see (None: all)."""
    records = ConnectionAuth.objects.all()
    return records.visible_to(user) if user else records


def of_visible_records(rows: QuerySet, user: User | None) -> QuerySet:
    """The rows of a queryset whose `record` a user may see.

    For a join, or an IN, SQLite would begin with all records.
    """
    return rows.filter(Exists(visible_records(user).filter(pk=OuterRef("record_id"))))


def searchable_former_versions(user: User | None = None) -> QuerySet:
    """The former versions that search() looks through for a user (None: all)."""
    return of_visible_records(FormerVersion.objects.unexpired(), user)


def _line_ending_variants(secret):
    """A secret of several lines may come with other line endings than it is stored with."""
    lines = secret.replace("\r\n", "\n")
    return {secret, lines, lines.replace("\n", "\r\n")}


def _search_former_versions(texts, user, result, jobs):
    key = keyring.fingerprint_key()
    searcher = _FormerVersionSearcher(
        searchable_former_versions(user), {fingerprint(text, key) for text in texts}, key
    )
    rows, found = searcher.former_versions, []
    with processes.workers(searcher, processes.worker_count(jobs, rows.count())) as in_order:
        for some, unopened in in_order(database.id_ranges(rows, CHUNK_SIZE)):
            found += some
            result.unopened += unopened
    records = visible_records(user).defer_sealed().in_bulk([pk for pk, *_ in found])
    result.former = [
        FormerHolder(records[pk], schema.to_camel_case(name), version, replaced_at)
        for pk, name, version, replaced_at in reversed(found)
        if pk in records
    ]


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
