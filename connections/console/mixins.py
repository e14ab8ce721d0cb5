"""Mixins of the model admins: an allow-list of query parameters, and the audit log as history.

Django's admin filters by any column of the model, so that `?access_token__startswith=` and
`?content_digest=` could be used to try guesses. Here every parameter that is not allowed is
removed before Django sees it: it neither filters nor fails.
"""

import re

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IS_POPUP_VAR, TO_FIELD_VAR
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.forms import BooleanField, Media
from django.http import Http404
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from connections.audit import log
from connections.models import AccessEvent

# Django's; the query string of the list that led to a page.
PRESERVED_FILTERS_VAR = "_changelist_filters"
HISTORY_PAGE_SIZE = 100  # audit entries
MAX_SEARCH_WORDS = 50  # SQLite refuses a condition of hundreds
ORDER_PATTERN = re.compile(r"-?\d{1,2}(\.-?\d{1,2})*", re.ASCII)


def keep_only(query, names):
    """A copy of a QueryDict with only these names, without values that hold U+0000.

    PostgreSQL has no such text.
    """
    allowed = query.copy()
    for name in query:
        if name not in names or any("\0" in value for value in query.getlist(name)):
            del allowed[name]
    return allowed


def clean_list_query(query, lookups, column_count):
    """A copy of a QueryDict with only what a list takes: its filters, a search, an order, a page.

    `column_count` includes the column of check boxes.
    """
    allowed = keep_only(query, {SEARCH_VAR, PAGE_VAR, ORDER_VAR, ALL_VAR, *lookups})
    order = allowed.get(ORDER_VAR, "0")
    is_order = ORDER_PATTERN.fullmatch(order) and all(
        abs(int(column)) < column_count for column in order.split(".")
    )
    if not is_order:
        del allowed[ORDER_VAR]
    return allowed


def column(description, attribute, show=str):
    """A column of a list that shows an attribute, and is sorted by it."""
    display = admin.display(description=description, ordering=attribute)
    return display(lambda _admin, obj: show(getattr(obj, attribute)))


class AllowedLookupsMixin:
    """For a ModelAdmin: `allowed_lookups` names the query parameters of its filters."""

    allowed_lookups = ()
    media = Media()  # Django's scripts are for pop-ups and filter_horizontal, which are not used

    def clean_query(self, query):
        """A copy of a QueryDict with only what the list takes."""
        columns = len(self.list_display) + bool(self.actions)
        return clean_list_query(query, self.allowed_lookups, columns)

    def lookup_allowed(self, lookup, value, request=None):
        return lookup in self.allowed_lookups

    def get_search_results(self, request, queryset, search_term):
        """Django's results, or none for a search of too many words."""
        if len(search_term.split()) > MAX_SEARCH_WORDS:
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def changelist_view(self, request, extra_context=None):
        request.GET = self.clean_query(request.GET)
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        selects_all = BooleanField().to_python(request.POST.get("select_across"))
        # Django fails on ids that are not valid, except where it ignores them.
        if not selects_all and not all(map(self._is_valid_pk, selected)):
            request.POST = request.POST.copy()
            request.POST.setlist(ACTION_CHECKBOX_NAME, [*filter(self._is_valid_pk, selected)])
        return super().changelist_view(request, extra_context)

    def _is_valid_pk(self, text):
        try:
            pk = self.opts.pk.to_python(text)
        except ValidationError:
            return False
        return not isinstance(pk, int) or pk < 2**63

    def changeform_view(self, request, *args, **kwargs):
        self._drop_popup_params(request)
        return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request, *args, **kwargs):
        self._drop_popup_params(request)
        return super().delete_view(request, *args, **kwargs)

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        """Django's field without the icons that open pop-ups."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(getattr(field, "widget", None), RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def _drop_popup_params(self, request):
        """Pages of one object take neither pop-ups nor initial values."""
        request.GET = keep_only(request.GET, {PRESERVED_FILTERS_VAR})
        if {TO_FIELD_VAR, IS_POPUP_VAR} & request.POST.keys():
            request.POST = keep_only(
                request.POST, request.POST.keys() - {TO_FIELD_VAR, IS_POPUP_VAR}
            )

    def _get_obj_does_not_exist_redirect(self, request, opts, object_id):
        raise Http404  # Django would redirect to the dashboard with a message that repeats the id


class AuditLogMixin:
    """For a ModelAdmin: the audit log is the only history. Django's LogEntry is not written.

    This writes nothing either: for models whose signals write the audit log.
    """

    def log_addition(self, request, obj, message):
        pass

    log_change = log_addition

    def log_deletions(self, request, queryset):
        pass

    def history_view(self, request, object_id, extra_context=None):
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        return self.get_history_response(request, obj)

    def get_history_response(self, request, obj):
        """The page with the audit entries of an object, newest first."""
        events = AccessEvent.objects.about(obj).order_by("-id")
        context = {
            **self.admin_site.each_context(request),
            "title": _("History"),
            "module_name": self.opts.verbose_name_plural,
            "page": Paginator(events, HISTORY_PAGE_SIZE).get_page(request.GET.get("page")),
            "object": obj,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/object_history.html", context)


class AuditedAdmin(AuditLogMixin, admin.ModelAdmin):
    """Audits what is added and changed; whatever deletes writes its own audit entry."""

    def construct_change_message(self, request, form, formsets, add=False):
        """The names of the changed fields, which Django hands to log_addition and log_change."""
        return getattr(form, "changed_field_names", form.changed_data)

    def log_addition(self, request, obj, message):
        log.log_event("add", request=request, record=obj, fields=message)

    def log_change(self, request, obj, message):
        if message:
            log.log_event("change", request=request, record=obj, fields=message)
