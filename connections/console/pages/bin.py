"""The recycle bin: what is in it, restoring a record, and purging one before its time."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _

from connections.accounts.reauthentication import reauthentication_required
from connections.console import wording
from connections.console.pages import page_response
from connections.models import ConnectionAuth
from connections.records import recycle_bin


def _get_binned(user):
    """The records in the bin, within the scope of a user."""
    return recycle_bin.restorable(ConnectionAuth.all_objects.visible_to(user))


def bin_page(request):
    """The records in the bin: who deleted them when, and when they are purged."""
    records = _get_binned(request.user).defer_sealed().select_related("binned_by", "integration")
    page = Paginator(records.order_by("-binned_at", "pk"), 50).get_page(request.GET.get("page"))
    now = timezone.now()
    rows = [
        (record, wording.relative_time(record.binned_at + recycle_bin.RETENTION, now))
        for record in page
    ]
    return page_response(
        request,
        "bin/bin",
        _("Bin"),
        page=page,
        rows=rows,
        days=recycle_bin.RETENTION.days,
        may_purge=request.user.has_perm("connections.purge_connections"),
    )


def restore(request, pk):
    record = get_object_or_404(_get_binned(request.user).defer_sealed(), pk=pk)
    if not recycle_bin.restore(record):
        raise Http404
    messages.success(request, format_html(_("<b>Restored {}.</b>"), str(record)))
    return redirect("admin:connections_connectionauth_change", pk)


@reauthentication_required
def purge(request, pk):
    """GET asks for confirmation, POST deletes the record for good."""
    binned = _get_binned(request.user)
    record = get_object_or_404(binned.defer_sealed(), pk=pk)
    if request.method == "GET":
        return page_response(request, "bin/purge", _("Purge %s?") % record, record=record)
    if not recycle_bin.purge(binned.filter(pk=pk)):
        raise Http404
    text = format_html(_("<b>Purged {}.</b> It is gone for good."), str(record))
    messages.success(request, text)
    return redirect("admin:connections_bin")
