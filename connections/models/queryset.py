"""The queryset of connections, and the conditions that it shares with other queries."""

import json
from datetime import datetime
from itertools import pairwise
from typing import Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Count, Lookup, Q
from django.utils import timezone

from connections.encryption import keyring
from connections.encryption.fields import SealedTextField
from connections.expiry import deadlines
from connections.models.user_scope import in_environments, scope_of


class ConnectionAuthQuerySet(models.QuerySet):
    """Queries of the dashboard, the lists and the commands.

    As everywhere in Django, update(), bulk_update() and bulk_create() write columns and nothing
    else: who calls them for many records has to set `version`, `updated_at` and the derived
    columns as well. A single record is written by save() (a new one) or save_version().
    """

    def binned(self) -> Self:
        return self.filter(binned_at__isnull=False)

    def in_bucket(self, bucket: str) -> Self:
        """Those in one of deadlines.BUCKETS now, or the `stale` ones."""
        now = timezone.now()
        return self.filter(stale_at(now) if bucket == "stale" else in_bucket(bucket, now))

    def in_environment(self, name: str) -> Self:
        """Those of an environment; an absent one counts as Production, as it is shown."""
        return self.filter(in_environments([name]))

    def visible_to(self, user: User | None) -> Self:
        """Those inside the scope of a user: all that pages may count, show or change.

        Without a user, as for a command, all.
        """
        return self.filter(scope_of(user).condition())

    def needing_person(self, now: datetime | None = None) -> Self:
        """The broken, and those that break within 7 days and that no machine can renew."""
        now = now or timezone.now()
        soon = Q(breaks_at__lte=deadlines.bucket_edges(now)["week"], renewable=False)
        return self.filter(soon | Q(breaks_at__lte=now))

    def bucket_counts(self, now: datetime | None = None) -> dict[str, int]:
        """`{bucket: count}` over deadlines.BUCKETS plus `stale` and `total`, in one query."""
        now = now or timezone.now()
        counts = {name: Count("pk", filter=in_bucket(name, now)) for name in deadlines.BUCKETS}
        return self.aggregate(**counts, stale=Count("pk", filter=stale_at(now)), total=Count("pk"))

    def unreadable(self) -> Self:
        return self.filter(unreadable_fields__isnull=False)

    def under_old_key(self) -> Self:
        """Those with a value under one of the keys but the newest."""
        return self.filter(sealed_under__in=keyring.key_ids()[1:])

    def under_missing_key(self) -> Self:
        """Those with a value under none of the keys, as ranges, for which an index serves."""
        names = sorted(keyring.key_ids())
        condition = Q(sealed_under__lt=names[0]) | Q(sealed_under__gt=names[-1])
        for name, following in pairwise(names):
            condition |= Q(sealed_under__gt=name, sealed_under__lt=following)
        return self.filter(condition)

    def counts_by_key(self) -> dict[str | None, int]:
        """How many are sealed under which key (see ConnectionAuth.sealed_under): id -> count."""
        return dict(self.order_by().values_list("sealed_under").annotate(Count("pk")))

    def defer_sealed(self) -> Self:
        """Those without their sealed columns, as lists need them."""
        return self.defer(*sealed_columns(self.model)).select_related("integration")


@models.CharField.register_lookup
class AnyOf(Lookup):
    """`name__any_of=texts`: the same as `in`, but with one parameter for all texts."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler, connection):
        column, parameters = self.process_lhs(compiler, connection)
        return column + " = ANY(%s)", [*parameters, list(self.rhs)]

    def as_sqlite(self, compiler, connection):
        column, parameters = self.process_lhs(compiler, connection)
        any_of = " IN (SELECT value FROM json_each(%s))"
        return column + any_of, [*parameters, json.dumps(list(self.rhs))]


def in_bucket(bucket: str, now: datetime) -> Q:
    """What deadlines.bucket_of() states of one value, as a condition."""
    if bucket == "no_end":
        return Q(breaks_at=None)
    edges = deadlines.bucket_edges(now)
    names = list(edges)
    if bucket == "later":
        return Q(breaks_at__gt=edges[names[-1]])
    condition = Q(breaks_at__lte=edges[bucket])
    position = names.index(bucket)
    return condition & Q(breaks_at__gt=edges[names[position - 1]]) if position else condition


def stale_at(now: datetime) -> Q:
    """Renewable, not broken, and the access token has ended: a machine can renew it."""
    return Q(renewable=True, access_expires_at__lte=now) & (
        Q(breaks_at=None) | Q(breaks_at__gt=now)
    )


class InUseManager(models.Manager.from_queryset(ConnectionAuthQuerySet)):
    def get_queryset(self):
        return super().get_queryset().filter(binned_at=None)


def sealed_columns(model: type[models.Model]) -> tuple[str, ...]:
    """The names of the sealed fields of a model."""
    return tuple(
        field.name for field in model._meta.concrete_fields if isinstance(field, SealedTextField)
    )
