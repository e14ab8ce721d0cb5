"""Secrets that several records share, found by their fingerprints. Nothing is opened."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, QuerySet

from connections.json_format import schema
from connections.models import ConnectionAuth, SecretFingerprint
from connections.records import secret_search

MAX_RECORDS_PER_SECRET = 5  # that a SharedSecret names


@dataclass(frozen=True)
class SharedSecret:
    """A secret that several records hold: how many, in which fields, and some of the records."""

    count: int
    fields: list[str]  # as the API spells them
    records: list[ConnectionAuth]

    @property
    def others(self) -> int:
        return self.count - len(self.records)


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
    records, fields = {}, {}
    numbers = [row["number"] for row in rows]
    fingerprints = _visible_fingerprints(user, field).filter(number__in=numbers).order_by("record")
    for number, pk, name in fingerprints.values_list("number", "record", "field"):
        records.setdefault(number, {})[pk] = None
        fields.setdefault(number, set()).add(schema.to_camel_case(name))
    named = {number: list(pks)[:MAX_RECORDS_PER_SECRET] for number, pks in records.items()}
    visible = secret_search.visible_records(user).defer_sealed()
    by_id = visible.in_bulk({pk for pks in named.values() for pk in pks})
    return [
        SharedSecret(
            row["records"],
            sorted(fields[row["number"]]),
            [by_id[pk] for pk in named[row["number"]]],
        )
        for row in rows
    ]


def iter_shared_holders(field: str | None = None) -> Iterator[list[secret_search.Holder]]:
    """The holders of each secret that several records share, those with most records first."""
    fingerprints = _visible_fingerprints(None, field)
    for number in shared_numbers(field=field).values_list("number", flat=True).iterator():
        yield secret_search.holders_of(
            fingerprints.filter(number=number).values_list("record", "field")
        )


def _visible_fingerprints(user, field):
    fingerprints = secret_search.of_visible_records(SecretFingerprint.objects.all(), user)
    return fingerprints.filter(field=field) if field else fingerprints
