"""The list of connections: its rows, and the tiles with the counts of the buckets."""

from dataclasses import dataclass

from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, ChangeList
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from connections.console.filters import BucketFilter, describe_filters, narrow
from connections.console.labels import STATUS_LABELS
from connections.expiry import deadlines
from connections.models import SavedView


@dataclass(frozen=True)
class BucketTile:
    """A count over the list, and the query string that narrows the list to it."""

    name: str  # of a bucket, "stale", or "" for all
    label: str | Promise
    count: int
    url: str
    is_current: bool


class ConnectionChangeList(ChangeList):
    """The list, with the counts of the buckets under all other filters: `bucket_tiles`."""

    def get_queryset(self, request, exclude_parameters=None):
        self.request = request
        self.filter_specs, self.has_filters, _rest, _repeats, self.has_active_filters = (
            self.get_filters(request)
        )
        self.clear_all_filters_qs = self.get_query_string(remove=self.get_filters_params())
        return narrow(self.root_queryset, request.GET)

    def get_results(self, request):
        self.bucket_tiles = self._bucket_tiles()
        current = [tile for tile in self.bucket_tiles if tile.is_current]
        request.row_count = (current or self.bucket_tiles)[0].count  # for get_paginator()
        super().get_results(request)

    def _bucket_tiles(self):
        query = self.request.GET.copy()
        current = query.pop(BucketFilter.parameter_name, [""])[-1]
        counts = narrow(self.root_queryset, query).bucket_counts()
        tiles = [("", _("All"), counts["total"])]
        tiles += [(name, STATUS_LABELS[name], counts[name]) for name in deadlines.BUCKETS]
        tiles.append(("stale", STATUS_LABELS["stale"], counts["stale"]))
        return [
            BucketTile(
                name=name,
                label=label,
                count=count,
                url=self.get_query_string({BucketFilter.parameter_name: name or None, "p": None}),
                is_current=current == name,
            )
            for name, label, count in tiles
        ]

    @property
    def shown_range(self):
        """The numbers of the first and last row of this page, where there are more pages."""
        if not self.multi_page:
            return None
        first = (self.page_num - 1) * self.list_per_page
        return first + 1, first + len(self.result_list)

    def headers(self):
        return list(result_headers(self))

    def saved_views(self):
        """The saved views of the user, as triples: the view, its URL, whether it is shown."""
        present = {n: v for n, v in self.request.GET.items() if n not in (PAGE_VAR, ERROR_FLAG)}
        return [
            (view, f"?{view.query}", QueryDict(view.query).dict() == present)
            for view in SavedView.objects.available_to(self.request.user)
        ]

    def active_filters(self):
        """The filters in use, as pairs: the label, and the query string without the filter."""
        return [
            (label, self.get_query_string({name: None, PAGE_VAR: None}))
            for name, label in describe_filters(self.request.GET, self.filter_specs).items()
        ]

    @property
    def preserved_query(self):
        """The query string of the links to records, so that their pages lead back to this list."""
        return f"?{self.preserved_filters}" if self.preserved_filters else ""

    def rows(self):
        """Pairs of a record and its cells. The HTML of Django's own rows is half as long again."""
        columns = [getattr(self.model_admin, name) for name in self.model_admin.list_display]
        for record in self.result_list:
            yield record, [column(record) for column in columns]
