"""The former versions of a connection: which fields were replaced, and restoring one."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect
from django.utils.html import format_html
from django.utils.translation import gettext as _

from connections.console import wording
from connections.console.pages import page_response
from connections.encryption.keyring import SealError
from connections.json_format.schema import json_name
from connections.models import ConnectionAuth, FormerVersion, VersionConflict, former_version
from connections.records import versions as records_versions


def versions_page(request, pk):
    """GET lists the former versions of a record, POST restores one of them."""
    may_change = request.user.has_perm("connections.change_connectionauth")
    if request.method == "POST":
        if not may_change:
            raise PermissionDenied
        return _restore_version(request, pk)
    record = get_object_or_404(
        ConnectionAuth.objects.visible_to(request.user).defer_sealed(), pk=pk
    )
    rows = [
        (former, [json_name(name) for name in former.fields], [json_name(name) for name in since])
        for former, since in former_version.former_versions_of(record)
    ]
    return page_response(
        request,
        "versions/versions",
        _("Former versions"),
        record=record,
        rows=rows,
        may_change=may_change,
        days=FormerVersion.RETENTION.days,
    )


def _restore_version(request, pk):
    try:
        former, fields = records_versions.restore_version(
            pk,
            _parse(UUID, request.POST.get("former_version", "")),
            _parse(int, request.POST.get("version", "")),
            request.user,
        )
    except ConnectionAuth.DoesNotExist:
        raise Http404 from None
    except FormerVersion.DoesNotExist:
        error = _("That version is not kept any more.")
    except VersionConflict as conflict:
        error = _("%s was changed by somebody else meanwhile. Nothing is put back.")
        error %= conflict.record
    except records_versions.OutOfScope:
        error = _(
            "That version belongs to an integration or environment that you may not reach. "
            "Nothing is put back."
        )
    except SealError:
        error = _("What is kept does not open with any key that we have.")
    except IntegrityError:
        error = _("Another connection without an id holds exactly that. Nothing is put back.")
    else:
        text = format_html(
            _("<b>Put back version {} of {}.</b> {}"),
            former.version,
            former.record,
            wording.changed_fields_text([json_name(name) for name in fields]),
        )
        messages.success(request, text)
        return redirect("admin:connections_connectionauth_change", pk)
    messages.error(request, error)
    return redirect("admin:connections_connectionauth_versions", pk)


def _parse(type_, text):
    try:
        return type_(text)
    except ValueError:
        return None
