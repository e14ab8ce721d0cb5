"""What a connection held before the changes of the last days: names of fields, and a way back."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from connections.console import wording
from connections.console.pages import context_for
from connections.encryption.ring import SealError
from connections.json_format.schema import json_name
from connections.models import ConnectionAuth, FormerVersion, former_version
from connections.records import versions as records_versions


@require_http_methods(["GET", "POST"])
def versions(request, pk):
    """GET lists what is kept of a record, POST puts one of it back."""
    if not request.user.has_perm("connections.view_connectionauth"):
        raise PermissionDenied
    may_change = request.user.has_perm("connections.change_connectionauth")
    if request.method == "POST":
        if not may_change:
            raise PermissionDenied
        return _restore_version(request, pk)
    record = get_object_or_404(
        ConnectionAuth.objects.visible_to(request.user).defer_sealed(), pk=pk
    )
    rows = [
        (held, [json_name(name) for name in held.fields], [json_name(name) for name in since])
        for held, since in former_version.former_versions_of(record)
    ]
    context = context_for(
        request,
        _("Former versions"),
        record=record,
        rows=rows,
        may_change=may_change,
        days=FormerVersion.RETENTION.days,
    )
    return TemplateResponse(request, "connections/versions/versions.html", context)


def _restore_version(request, pk):
    here = redirect("admin:connections_connectionauth_versions", pk)
    try:
        with transaction.atomic():
            visible = ConnectionAuth.objects.visible_to(request.user)
            record = get_object_or_404(visible.select_for_update(), pk=pk)
            wanted = request.POST.get("held", "")
            kept = record.former_versions.unexpired()
            held = next((held for held in kept if str(held.pk) == wanted), None)
            if held is None:
                messages.error(request, _("That version is not kept any more."))
                return here
            if request.POST.get("version") != str(record.version):
                messages.error(
                    request,
                    _("%s was changed by somebody else meanwhile. Nothing is put back.") % record,
                )
                return here
            names = [
                json_name(name)
                for name in records_versions.restore_version(held, record, user=request.user)
            ]
    except records_versions.OutOfScope:
        messages.error(
            request,
            _(
                "That version belongs to an integration or environment that you may not reach. "
                "Nothing is put back."
            ),
        )
        return here
    except SealError:
        messages.error(request, _("What is kept does not open with any key that we have."))
        return here
    except IntegrityError:
        messages.error(
            request,
            _("Another connection without an id holds exactly that. Nothing is put back."),
        )
        return here
    messages.success(
        request,
        format_html(
            _("<b>Put back version {} of {}.</b> {}"),
            held.version,
            record,
            wording.changed_fields_text(names),
        ),
    )
    return redirect("admin:connections_connectionauth_change", pk)
