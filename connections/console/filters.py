"""What a query string of the list of connections asks for: filters, a search, an order.

Exports, saved views and the links to the next and previous record take the same parameters.
"""

from urllib.parse import unquote

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.db.models import F, Q
from django.http import QueryDict
from django.utils.text import smart_split, unescape_string_literal
from django.utils.translation import gettext_lazy as _

from connections.console import wording
from connections.console.labels import STATUS_LABELS
from connections.console.list_url import parse_breaks_param
from connections.console.mixins import MAX_SEARCH_WORDS, clean_list_query
from connections.encryption import keyring
from connections.expiry import deadlines
from connections.models import PRODUCTION, ConnectionAuth, Integration, scope_of
from connections.records.counts import NO_INTEGRATION, ConnectionFilter

SOONEST_FIRST = F("breaks_at").asc(nulls_last=True)
DEFAULT_ORDER = (SOONEST_FIRST, F("id").asc())
# The columns of the list, each with what it is sorted by.
COLUMN_ORDERS = {
    "status": SOONEST_FIRST,
    "title": F("name").asc(),
    "integration_label": F("integration__name").asc(),
    "kind": F("auth_kind").asc(),
    "environment_label": F("environment").asc(),
    "breaks": SOONEST_FIRST,
    "renewed_by": F("renewable").asc(),
}
SEARCH_FIELDS = ("name", "connection_id", "external_xref", "client_id", "user_id")


class ListFilter(SimpleListFilter):
    """A filter whose condition depends on its value alone, so that `narrow` needs no request."""

    value_labels = {}
    only_in_use = False  # shown only while it is in use: a page links to it

    @classmethod
    def apply(cls, queryset, value):
        """The part of a queryset for a value (never ""); all of it for an unknown value."""
        raise NotImplementedError

    def lookups(self, request, model_admin):
        return self.value_labels.items()

    def has_output(self):
        return self.value() is not None if self.only_in_use else super().has_output()


class BucketFilter(ListFilter):
    title = _("status")
    parameter_name = "bucket"
    value_labels = {name: STATUS_LABELS[name] for name in (*deadlines.BUCKETS, "stale")}

    @classmethod
    def apply(cls, queryset, value):
        return queryset.in_bucket(value) if value in cls.value_labels else queryset


class IntegrationFilter(ListFilter):
    title = _("integration")
    parameter_name = "integration"
    value_labels = {NO_INTEGRATION: _("None")}

    def lookups(self, request, model_admin):
        visible = Integration.objects.visible_to(request.user).values_list("type", "name")
        choices = [(type_, name or type_) for type_, name in visible]
        if scope_of(request.user).integrations:
            return choices
        return [*choices, *self.value_labels.items()]

    @classmethod
    def apply(cls, queryset, value):
        return ConnectionFilter(integration=value).filter(queryset)


class OtherIntegrationsFilter(ListFilter):
    """`other_than=<type>,<type>`: the integrations that the dashboard sums up as others."""

    title = _("integration")
    parameter_name = "other_than"

    def lookups(self, request, model_admin):
        return [(self.value(), _("others"))] if self.value() else []

    @classmethod
    def apply(cls, queryset, value):
        named = {unquote(type_) for type_ in value.split(",") if type_}
        if not named:
            return queryset
        others = Q(integration__isnull=False) & ~Q(integration__in=named)
        if NO_INTEGRATION not in named:
            others |= Q(integration=None)
        return queryset.filter(others)


class NeedsFilter(ListFilter):
    """`needs=person`: the connections that the dashboard counts as needing a person."""

    title = _("needs")
    parameter_name = "needs"
    value_labels = {"person": _("a person within 7 days")}
    only_in_use = True

    @classmethod
    def apply(cls, queryset, value):
        return queryset.needing_person() if value == "person" else queryset


class KindFilter(ListFilter):
    title = _("kind")
    parameter_name = "kind"
    value_labels = dict(ConnectionAuth.AUTH_KINDS)

    @classmethod
    def apply(cls, queryset, value):
        return queryset.filter(auth_kind=value)


class EnvironmentFilter(ListFilter):
    title = _("environment")
    parameter_name = "environment"

    def lookups(self, request, model_admin):
        visible = ConnectionAuth.objects.visible_to(request.user).order_by()
        names = visible.values_list("environment", flat=True).distinct()
        others = {name for name in names if name} - {PRODUCTION}
        allowed = scope_of(request.user).environments or (PRODUCTION,)
        first = [PRODUCTION] if PRODUCTION in allowed else []
        return [(name, name) for name in (*first, *sorted(others))]

    @classmethod
    def apply(cls, queryset, value):
        return queryset.in_environment(value)


class YesNoFilter(ListFilter):
    """A condition that is met or not; the subclass names the column."""

    value_labels = {"1": _("Yes"), "0": _("No")}

    @classmethod
    def apply(cls, queryset, value):
        if value == "1":
            return queryset.filter(**cls.condition)
        return queryset.exclude(**cls.condition) if value == "0" else queryset


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
    only_in_use = True


class OldKeyFilter(ListFilter):
    """The connections that a key rotation has still to reseal, or whose key is missing.

    Its value may also be the name of a key: the page about keys links to that. Shown while there
    is more than one key, or while one is missing. Opens nothing.
    """

    title = _("sealed under")
    parameter_name = "old_key"
    value_labels = {"1": _("An old key"), "0": _("The newest key"), "missing": _("A missing key")}

    def lookups(self, request, model_admin):
        choices = list(self.value_labels.items())
        named = [(name, _("Key %s") % name) for name in keyring.key_ids() if name == self.value()]
        visible = ConnectionAuth.objects.visible_to(request.user)
        if self.value() == "missing" or visible.under_missing_key().exists():
            return choices + named
        is_shown = self.value() is not None or len(keyring.key_ids()) > 1
        return choices[:2] + named if is_shown else []

    @classmethod
    def apply(cls, queryset, value):
        if value == "0":
            return queryset.filter(sealed_under=keyring.key_ids()[0])
        if value == "1":
            return queryset.under_old_key()
        if value in keyring.key_ids():
            return queryset.filter(sealed_under=value)
        return queryset.under_missing_key() if value == "missing" else queryset


class BreaksFilter(ListFilter):
    """`breaks=<from>..<to>`: the connections that a bar of the dashboard counts."""

    title = _("breaks")
    parameter_name = "breaks"

    def lookups(self, request, model_admin):
        after, until = parse_breaks_param(self.value() or "")
        if after is None and until is None:
            return []
        words = [_("after %s") % wording.format_datetime(after)] if after else []
        words += [_("until %s") % wording.format_datetime(until)] if until else []
        return [(self.value(), " ".join(words))]

    @classmethod
    def apply(cls, queryset, value):
        after, until = parse_breaks_param(value)
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
FILTER_PARAMS = tuple(list_filter.parameter_name for list_filter in LIST_FILTERS)


def clean_query(query):
    """A copy of a QueryDict with only what the list takes."""
    return clean_list_query(query, FILTER_PARAMS, len(COLUMN_ORDERS) + 1)


def narrow(queryset, query):
    """The part of a queryset that the list shows for a QueryDict, on all its pages, in its order.

    What the list does not take is ignored: it neither filters nor fails.
    """
    params = clean_query(query)
    for list_filter in LIST_FILTERS:
        if value := params.get(list_filter.parameter_name):
            queryset = list_filter.apply(queryset, value)
    return _search(queryset, params.get(SEARCH_VAR, "")).order_by(*_order(params.get(ORDER_VAR)))


def _search(queryset, text):
    """The records that hold each word (or quoted phrase) of a text in one of SEARCH_FIELDS."""
    if len(text.split()) > MAX_SEARCH_WORDS:
        return queryset.none()
    for word in smart_split(text):
        if word[0] in "'\"" and word[-1] == word[0]:
            word = unescape_string_literal(word)
        in_any_field = [(f"{field}__icontains", word) for field in SEARCH_FIELDS]
        queryset = queryset.filter(Q.create(in_any_field, connector=Q.OR))
    return queryset


def _order(text):
    """The order for a value such as "-3.1": columns counted from 1, 0 being the check boxes."""
    if text is None:
        return DEFAULT_ORDER
    columns = [None, *COLUMN_ORDERS.values()]
    order = []
    for part in text.split("."):
        if column := columns[abs(int(part))]:
            order.append(column.copy())
            if part.startswith("-"):
                order[-1].reverse_ordering()
    return [*order, F("pk").desc()]  # else equal rows could stand on two pages, or on none


def describe_filters(params, filters=LIST_FILTERS):
    """What the parameters of a list ask for, in words, by the name of the parameter.

    Such as `{"kind": "kind: OAuth 2", "q": "search: acme"}`. Filters that are instances have
    choices, whose labels are used.
    """
    labels = {}
    for list_filter in filters:
        if value := params.get(list_filter.parameter_name):
            choices = dict(getattr(list_filter, "lookup_choices", ()))
            value_label = {**list_filter.value_labels, **choices}.get(value, value)
            labels[list_filter.parameter_name] = f"{list_filter.title}: {value_label}"
    return {**labels, "q": _("search: %s") % params["q"]} if params.get("q") else labels


def describe_query(query):
    """The labels of describe_filters() for a query string."""
    return list(describe_filters(QueryDict(query)).values())
