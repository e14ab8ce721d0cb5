"""The history of one connection, in pages."""

from django.core.paginator import Paginator
from django.utils.translation import gettext as _

from connections.console.pages import page_response
from connections.records import history

PAGE_SIZE = 25


def history_page(request, record):
    """The history of a record that the user may see, newest first."""
    page = Paginator(history.queryset(record), PAGE_SIZE).get_page(request.GET.get("page"))
    return page_response(
        request,
        "history/history",
        _("History"),
        record=record,
        page=page,
        entries=history.entries(page.object_list),
    )
