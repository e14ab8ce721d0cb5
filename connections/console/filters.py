"""The filters of the list of connections. Their query parameters are also what exports take."""

from urllib.parse import unquote

from django.contrib.admin import SimpleListFilter
from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from connections.console import wording
from connections.console.labels import STATUS_LABELS
from connections.encryption import ring
from connections.expiry import deadlines
from connections.models import PRODUCTION, ConnectionAuth, Integration, scope_of
from connections.records.counts import NO_INTEGRATION, ConnectionFilter, parse_breaks_param


def needs_filter_choices(request):
    """Whether the filters are to be shown; otherwise they only narrow, which needs no queries."""
    return not hasattr(request, "skip_filter_choices")


class BucketFilter(SimpleListFilter):
    title = _("status")
    parameter_name = "bucket"
    value_labels = {name: STATUS_LABELS[name] for name in (*deadlines.BUCKETS, "stale")}

    def lookups(self, request, model_admin):
        return self.value_labels.items()

    def queryset(self, request, queryset):
        if self.value() in dict(self.lookup_choices):
            return queryset.in_bucket(self.value())
        return queryset


class IntegrationFilter(SimpleListFilter):
    title = _("integration")
    parameter_name = "integration"
    value_labels = {NO_INTEGRATION: _("None")}

    def lookups(self, request, model_admin):
        if not needs_filter_choices(request):
            return [(self.value(), "")]
        known = [
            (kind, name or kind)
            for kind, name in Integration.objects.visible_to(request.user).values_list(
                "type", "name"
            )
        ]
        return (
            known if scope_of(request.user).integrations else [*known, *self.value_labels.items()]
        )

    def queryset(self, request, queryset):
        return ConnectionFilter(integration=self.value() or None).of(queryset)


class OtherIntegrationsFilter(SimpleListFilter):
    """`other_than=<type>,<type>`: what the dashboard sums up as others. Shown only in use."""

    title = _("integration")
    parameter_name = "other_than"

    def lookups(self, request, model_admin):
        return [(self.value(), _("others"))] if self.value() else []

    def queryset(self, request, queryset):
        named = {unquote(kind) for kind in (self.value() or "").split(",") if kind}
        if not named:
            return queryset
        others = Q(integration__isnull=False) & ~Q(integration__in=named)
        if NO_INTEGRATION not in named:
            others |= Q(integration=None)
        return queryset.filter(others)


class NeedsFilter(SimpleListFilter):
    """`needs=person`: what the dashboard says needs one. Shown only in use."""

    title = _("needs")
    parameter_name = "needs"
    value_labels = {"person": _("a person within 7 days")}

    def lookups(self, request, model_admin):
        return list(self.value_labels.items())

    def has_output(self):
        return self.value() is not None

    def queryset(self, request, queryset):
        return queryset.needing_person() if self.value() == "person" else queryset


class KindFilter(SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"
    value_labels = dict(ConnectionAuth.AUTH_KINDS)

    def lookups(self, request, model_admin):
        return self.value_labels.items()

    def queryset(self, request, queryset):
        return queryset.filter(auth_kind=self.value()) if self.value() else queryset


class EnvironmentFilter(SimpleListFilter):
    title = _("environment")
    parameter_name = "environment"

    def lookups(self, request, model_admin):
        if not needs_filter_choices(request):
            return [(self.value(), "")]
        visible = ConnectionAuth.objects.visible_to(request.user).order_by()
        names = visible.values_list("environment", flat=True).distinct()
        others = {name for name in names if name} - {PRODUCTION}
        allowed = scope_of(request.user).environments or (PRODUCTION,)
        first = [PRODUCTION] if PRODUCTION in allowed else []
        return [(name, name) for name in (*first, *sorted(others))]

    def queryset(self, request, queryset):
        return queryset.in_environment(self.value()) if self.value() else queryset


class YesNoFilter(SimpleListFilter):
    """A condition that is met or not; the subclass names the column."""

    value_labels = {"1": _("Yes"), "0": _("No")}

    def lookups(self, request, model_admin):
        return self.value_labels.items()

    def queryset(self, request, queryset):
        if self.value() == "1":
            return queryset.filter(**self.condition)
        return queryset.exclude(**self.condition) if self.value() == "0" else queryset


class PausedFilter(YesNoFilter):
    title = _("paused")
    parameter_name = "paused"
    condition = {"is_paused": True}


class RenewableFilter(YesNoFilter):
    title = _("renewed by")
    parameter_name = "renewable"
    condition = {"renewable": True}
    value_labels = {"1": _("Machine"), "0": _("Person")}


class UnreadableFilter(YesNoFilter):
    title = _("unreadable")
    parameter_name = "unreadable"
    condition = {"unreadable_fields__isnull": False}

    def has_output(self):
        return self.value() is not None  # the dashboard leads here; rarely of use otherwise


class OldKeyFilter(SimpleListFilter):
    """What a rotation of keys has still to do, and what was sealed under a key that is gone.

    The page about the keys asks by the name of one, too. Shown while there is more than one key,
    or where one is missing. Opens nothing.
    """

    title = _("sealed under")
    parameter_name = "old_key"
    value_labels = {"1": _("An old key"), "0": _("The newest key"), "missing": _("A missing key")}

    def lookups(self, request, model_admin):
        choices = list(self.value_labels.items())
        named = [(name, _("Key %s") % name) for name in ring.key_ids() if name == self.value()]
        if not needs_filter_choices(request):
            return choices + named
        visible = ConnectionAuth.objects.visible_to(request.user)
        if self.value() == "missing" or visible.under_missing_key().exists():
            return choices + named
        is_asked = self.value() is not None or len(ring.key_ids()) > 1
        return choices[:2] + named if is_asked else []

    def queryset(self, request, queryset):
        if self.value() == "0":
            return queryset.filter(sealed_under=ring.key_ids()[0])
        if self.value() == "1":
            return queryset.under_old_key()
        if self.value() in ring.key_ids():
            return queryset.filter(sealed_under=self.value())
        return queryset.under_missing_key() if self.value() == "missing" else queryset


class BreaksFilter(SimpleListFilter):
    """`breaks=<from>..<to>`: what a bar of the dashboard counts. Shown only where it is in use."""

    title = _("breaks")
    parameter_name = "breaks"

    def lookups(self, request, model_admin):
        after, until = parse_breaks_param(self.value() or "")
        if after is None and until is None:
            return []
        words = [_("after %s") % wording.format_datetime(after)] if after else []
        words += [_("until %s") % wording.format_datetime(until)] if until else []
        return [(self.value(), " ".join(words))]

    def queryset(self, request, queryset):
        after, until = parse_breaks_param(self.value() or "")
        if after is not None:
            queryset = queryset.filter(breaks_at__gt=after)
        return queryset.filter(breaks_at__lte=until) if until is not None else queryset


LIST_FILTERS = (
    BucketFilter,
    IntegrationFilter,
    KindFilter,
    EnvironmentFilter,
    PausedFilter,
    RenewableFilter,
    UnreadableFilter,
    OldKeyFilter,
    BreaksFilter,
    NeedsFilter,
    OtherIntegrationsFilter,
)


def describe_filters(asked, filters=LIST_FILTERS):
    """What the QueryDict of a list asks for: name of a parameter -> words.

    Such as `{"kind": "kind: OAuth 2", "q": "search: acme"}`. Of the filters of a list, each with
    its choices, what is chosen gets its name.
    """
    words = {}
    for found in filters:
        if value := asked.get(found.parameter_name):
            choices = dict(getattr(found, "lookup_choices", ()))
            known = {**getattr(found, "value_labels", {}), **choices}
            words[found.parameter_name] = f"{found.title}: {known.get(value, value)}"
    return {**words, "q": _("search: %s") % asked["q"]} if asked.get("q") else words


def describe_query(query):
    """The words of narrowings() for a query string."""
    return list(describe_filters(QueryDict(query)).values())
