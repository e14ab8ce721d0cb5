"""The page that asks how to export, and the file that it sends."""

import time

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, QueryDict, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from connections.accounts import reauthentication
from connections.accounts.sign_in import StaffBackend
from connections.console.filters import narrow
from connections.console.pages import context_for
from connections.import_export import exporter
from connections.models import ConnectionAuth, scope_of

# What was chosen, in the session of who is asked for presence meanwhile, and in the address back.
SELECTION_KEY = "export"
# More than a page of ids, and than any filter.
MAX_SELECTION_LENGTH = 10_000
PERMISSION_CHECK_SECONDS = 1  # second: whether it may go on


class ExportForm(forms.Form):
    shape = forms.ChoiceField(
        choices=[
            ("connection", _("Connections, nothing lost")),
            ("auth", _("Auth objects only")),
        ],
        widget=forms.RadioSelect,
        initial="connection",
        label=_("Shape"),
    )
    naming = forms.ChoiceField(
        choices=[("camel", "camelCase"), ("snake", "snake_case")],
        widget=forms.RadioSelect,
        initial="camel",
        label=_("Spelling of the keys"),
    )
    format = forms.ChoiceField(
        choices=[("json", _("JSON, one array")), ("ndjson", _("NDJSON, a line each"))],
        widget=forms.RadioSelect,
        initial="json",
        label=_("Format"),
    )
    secrets = forms.ChoiceField(
        choices=[
            ("mask", _("Masked")),
            ("omit", _("Left out")),
            ("include", _("Included, in clear")),
        ],
        widget=forms.RadioSelect,
        initial="mask",
        label=_("Secrets"),
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


def get_selection(request, query, ids):
    """The queryset of an export: records by id, or all that a list's filter shows."""
    visible = ConnectionAuth.objects.visible_to(request.user)
    if ids:
        try:
            return visible.filter(pk__in=ids.split(","))
        except (ValueError, forms.ValidationError):
            raise Http404 from None
    # Without an order: it is read range by range, by id.
    return narrow(visible, QueryDict(query)).order_by()


def export_page(request, query="", ids=()):
    """The form that asks how to export; actions of the list lead here too."""
    ids = ",".join(ids)
    form = ExportForm(user=request.user, initial={"query": query, "ids": ids})
    return _export_response(request, form, query, ids)


def _export_response(request, form, query, ids):
    queryset = get_selection(request, query, ids)
    context = context_for(
        request,
        _("Export"),
        form=form,
        count=queryset.count(),
        is_part=bool(ids or query),
        unreadable=queryset.unreadable().count(),
    )
    return TemplateResponse(request, "connections/exports/export.html", context)


@require_http_methods(["GET", "POST"])
def export(request):
    """GET asks how (the query string is a filter of the list); POST sends the file."""
    if not request.user.has_perm("connections.view_connectionauth"):
        raise PermissionDenied
    if request.method == "GET":
        if SELECTION_KEY in request.GET:
            kept = request.session.get(SELECTION_KEY, {"query": "", "ids": ""})
            form = ExportForm(user=request.user, initial=kept)
            return _export_response(request, form, kept["query"], kept["ids"])
        return export_page(request, query=request.GET.urlencode())
    form = ExportForm(request.POST, user=request.user)
    query, ids = request.POST.get("query", ""), request.POST.get("ids", "")
    if not form.is_valid():
        return _export_response(request, form, query, ids)
    if form.cleaned_data["secrets"] == "include" and not reauthentication.is_reauthenticated(
        request
    ):
        request.session[SELECTION_KEY] = form.cleaned_data
        return reauthentication.redirect_to_reauthentication(
            request, f"{reverse('admin:connections_export')}?{SELECTION_KEY}"
        )
    options = exporter.ExportOptions(
        **{name: form.cleaned_data[name] for name in ("shape", "naming", "format", "secrets")}
    )
    records = get_selection(request, query, ids)
    pieces = exporter.stream(records, options, exporter.ExportTally(), request=request)
    pieces = _recheck_permissions(pieces, request.user, options)
    kind = "application/x-ndjson" if options.format == "ndjson" else "application/json"
    response = StreamingHttpResponse(pieces, content_type=kind)
    name = f"connections-{timezone.now():%Y-%m-%d}.{options.format}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _recheck_permissions(pieces, user, options):
    """Break off where somebody may do it no more: who reads slowly has much time."""
    scope, asked = scope_of(user), time.monotonic()
    for piece in pieces:
        yield piece
        if time.monotonic() - asked >= PERMISSION_CHECK_SECONDS:
            user, asked = StaffBackend().get_user(user.pk), time.monotonic()
            if (
                not user
                or not user.has_perms(_required_permissions(options))
                or scope_of(user) != scope
            ):
                raise PermissionDenied


def _required_permissions(options):
    secrets = ["connections.export_secrets"] if options.secrets == "include" else []
    return ["connections.view_connectionauth", *secrets]
