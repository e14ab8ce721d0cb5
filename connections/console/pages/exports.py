"""The page with the options of an export, and the exported file."""

import time

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.accounts import reauthentication
from connections.accounts.sign_in import StaffBackend
from connections.console.filters import narrow
from connections.console.pages import download, page_response
from connections.import_export import exporter
from connections.models import ConnectionAuth, scope_of

# The posted form, in the session while the user reauthenticates; and the URL parameter on return.
SELECTION_KEY = "export"
# Longer than the ids of a full page, and than any filter.
MAX_SELECTION_LENGTH = 10_000
PERMISSION_CHECK_SECONDS = 1


def _radio_field(label, choices):
    widget = forms.RadioSelect
    return forms.ChoiceField(label=label, choices=choices, initial=choices[0][0], widget=widget)


class ExportForm(forms.Form):
    shape = _radio_field(
        _("Shape"),
        [("connection", _("Connections, nothing lost")), ("auth", _("Auth objects only"))],
    )
    naming = _radio_field(
        _("Spelling of the keys"), [("camel", "camelCase"), ("snake", "snake_case")]
    )
    format = _radio_field(
        _("Format"), [("json", _("JSON, one array")), ("ndjson", _("NDJSON, a line each"))]
    )
    secrets = _radio_field(
        _("Secrets"),
        [("mask", _("Masked")), ("omit", _("Left out")), ("include", _("Included, in clear"))],
    )
    query = forms.CharField(
        required=False, max_length=MAX_SELECTION_LENGTH, widget=forms.HiddenInput
    )
    ids = forms.CharField(
        required=False, max_length=MAX_SELECTION_LENGTH, widget=forms.HiddenInput
    )

    def __init__(self, data=None, *, user, **kwargs):
        super().__init__(data, **kwargs)
        if not user.has_perm("connections.export_secrets"):
            self.fields["secrets"].choices = self.fields["secrets"].choices[:2]

    def get_selection(self, user):
        """The queryset of an export: the records with the ids, or those that the list shows."""
        visible = ConnectionAuth.objects.visible_to(user)
        if ids := self["ids"].value():
            try:
                return visible.filter(pk__in=ids.split(","))
            except (ValueError, forms.ValidationError):
                raise Http404 from None
        # Without an order: it is read range by range, by id.
        return narrow(visible, QueryDict(self["query"].value())).order_by()


def export_page(request, **initial):
    """The page with the options; an action of the list responds with it, too.

    `query` is a query string of the list, `ids` are separated by commas.
    """
    return _render(request, ExportForm(user=request.user, initial=initial))


def _render(request, form):
    queryset = form.get_selection(request.user)
    return page_response(
        request,
        "exports/export",
        _("Export"),
        form=form,
        count=queryset.count(),
        is_part=bool(form["ids"].value() or form["query"].value()),
        unreadable=queryset.unreadable().count(),
    )


def export(request):
    """GET shows the options (the query string is one of the list), POST sends the file."""
    if request.method == "GET":
        if SELECTION_KEY in request.GET:
            return export_page(request, **request.session.get(SELECTION_KEY, {}))
        return export_page(request, query=request.GET.urlencode())
    form = ExportForm(request.POST, user=request.user)
    if not form.is_valid():
        return _render(request, form)
    includes_secrets = form.cleaned_data["secrets"] == "include"
    if includes_secrets and not reauthentication.is_reauthenticated(request):
        request.session[SELECTION_KEY] = form.cleaned_data
        return reauthentication.redirect_to_reauthentication(
            request, f"{reverse('admin:connections_export')}?{SELECTION_KEY}"
        )
    options = exporter.ExportOptions(
        **{name: form.cleaned_data[name] for name in ("shape", "naming", "format", "secrets")}
    )
    records = form.get_selection(request.user)
    chunks = exporter.stream(records, options, exporter.ExportTally(), request=request)
    chunks = _recheck_permissions(chunks, request.user, options)
    content_type = "application/x-ndjson" if options.format == "ndjson" else "application/json"
    return download(
        chunks, content_type, f"connections-{timezone.now():%Y-%m-%d}.{options.format}"
    )


def _recheck_permissions(chunks, user, options):
    """Stop the download when the user loses the permission: a slow client may take long."""
    required = ["connections.view_connectionauth"]
    if options.secrets == "include":
        required.append("connections.export_secrets")
    scope, checked_at = scope_of(user), time.monotonic()
    for chunk in chunks:
        yield chunk
        if time.monotonic() - checked_at >= PERMISSION_CHECK_SECONDS:
            user, checked_at = StaffBackend().get_user(user.pk), time.monotonic()
            if not user or not user.has_perms(required) or scope_of(user) != scope:
                raise PermissionDenied
