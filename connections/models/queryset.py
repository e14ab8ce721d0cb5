"""The queryset of connections, and the conditions that it shares with other queries."""

import json
from itertools import pairwise

from django.db import models
from django.db.models import Count, Lookup, Q
from django.utils import timezone

from connections.encryption import ring
from connections.encryption.fields import SealedTextField
from connections.expiry import deadlines
from connections.models.user_scope import in_environments, scope_of


class ConnectionAuthQuerySet(models.QuerySet):
    """Questions that the dashboard, the lists and the commands ask.

    As everywhere in Django, update() writes columns and nothing else: whoever calls it for many
    records sets `version`, `updated_at` and the derived columns as well. One record is written by
    save_version().
    """

    def in_use(self):
        return self.filter(binned_at=None)

    def binned(self):
        return self.filter(binned_at__isnull=False)

    def in_bucket(self, bucket, now=None):
        """Those in one of expiry.BUCKETS at `now`, or the `stale` ones."""
        return self.filter(stale_at(now) if bucket == "stale" else in_bucket(bucket, now))

    def in_environment(self, name):
        """Those of an environment; absent counts as Production, as it is shown."""
        return self.filter(in_environments([name]))

    def visible_to(self, user):
        """Those inside the scope of a user: all that pages may count, show or change."""
        return self.filter(scope_of(user).condition())

    def filtered_by(self, integration=None, environment=None, bucket=None):
        """The part that an export or a list asks for; None means any."""
        chosen = self
        if integration is not None:
            chosen = chosen.filter(integration=integration)
        if environment is not None:
            chosen = chosen.in_environment(environment)
        return chosen.in_bucket(bucket) if bucket is not None else chosen

    def breaking_within(self, period, now=None):
        """The broken and those that break within a timedelta, soonest first."""
        now = now or timezone.now()
        return self.filter(breaks_at__lte=now + period).order_by("breaks_at", "id")

    def needing_person(self, now=None):
        """The broken, and what breaks within 7 days without a machine that can renew it."""
        now = now or timezone.now()
        soon = Q(breaks_at__lte=deadlines.bucket_edges(now)["week"], renewable=False)
        return self.filter(soon | Q(breaks_at__lte=now))

    def bucket_counts(self, now=None):
        """`{bucket: count}` over expiry.BUCKETS plus `stale` and `total`, in one query."""
        now = now or timezone.now()
        counts = {name: Count("pk", filter=in_bucket(name, now)) for name in deadlines.BUCKETS}
        return self.aggregate(**counts, stale=Count("pk", filter=stale_at(now)), total=Count("pk"))

    def unreadable(self):
        return self.filter(unreadable_fields__isnull=False)

    def under_old_key(self):
        """Those with a value under a key that is not the newest, but there."""
        return self.filter(sealed_under__in=ring.key_ids()[1:])

    def under_missing_key(self):
        """Those where no key that we have made a value. Asked as ranges, which an index has."""
        names = sorted(ring.key_ids())
        condition = Q(sealed_under__lt=names[0]) | Q(sealed_under__gt=names[-1])
        for name, following in pairwise(names):
            condition |= Q(sealed_under__gt=name, sealed_under__lt=following)
        return self.filter(condition)

    def counts_by_key(self):
        """How many are sealed under which key: name of the key -> count."""
        return dict(self.order_by().values_list("sealed_under").annotate(Count("pk")))

    def defer_sealed(self):
        """Without the sealed columns: what lists need."""
        return self.defer(*sealed_columns(self.model)).select_related("integration")


@models.CharField.register_lookup
class AnyOf(Lookup):
    """`name__any_of=texts`: what `in` asks, with one parameter, however many texts there are."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler, connection):
        column, parameters = self.process_lhs(compiler, connection)
        return column + " = ANY(%s)", [*parameters, list(self.rhs)]

    def as_sqlite(self, compiler, connection):
        column, parameters = self.process_lhs(compiler, connection)
        any_of = " IN (SELECT value FROM json_each(%s))"
        return column + any_of, [*parameters, json.dumps(list(self.rhs))]


def in_bucket(bucket, now=None):
    """The condition (Q) that `expiry.bucket_of` states for one value."""
    if bucket == "no_end":
        return Q(breaks_at=None)
    edges = deadlines.bucket_edges(now or timezone.now())
    names = list(edges)
    if bucket == "later":
        return Q(breaks_at__gt=edges[names[-1]])
    condition = Q(breaks_at__lte=edges[bucket])
    position = names.index(bucket)
    return condition & Q(breaks_at__gt=edges[names[position - 1]]) if position else condition


def stale_at(now=None):
    """Renewable, not broken, and the access token has ended: a machine's work."""
    now = now or timezone.now()
    return Q(renewable=True, access_expires_at__lte=now) & (
        Q(breaks_at=None) | Q(breaks_at__gt=now)
    )


class InUseManager(models.Manager.from_queryset(ConnectionAuthQuerySet)):
    def get_queryset(self):
        return super().get_queryset().in_use()


def sealed_columns(model):
    """The names of the sealed fields of a model."""
    return tuple(
        field.name for field in model._meta.concrete_fields if isinstance(field, SealedTextField)
    )
