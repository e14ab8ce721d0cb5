"""The list of connections: its rows, and the counts of the buckets over it."""

from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.http import QueryDict
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from connections.console.filters import BucketFilter, describe_filters
from connections.console.labels import STATUS_LABELS
from connections.expiry import deadlines
from connections.models import SavedView


class ConnectionChangeList(ChangeList):
    """The list, with the counts of the buckets under all other filters.

    `horizon` are the tiles over it: dicts `name`, `label`, `count`, `url`, `is_current`.
    """

    def get_queryset(self, request, exclude_parameters=None):
        self.request = request
        return super().get_queryset(request, exclude_parameters)

    def get_results(self, request):
        self.bucket_tiles = self._bucket_tiles()
        # One of the tiles counts what is listed: that needs no query of its own.
        shown = [tile["count"] for tile in self.bucket_tiles if tile["is_current"]]
        self.queryset.known_count = (shown or [self.bucket_tiles[0]["count"]])[0]
        super().get_results(request)

    def _bucket_tiles(self):
        queryset = self.root_queryset
        current = None
        for spec in self.filter_specs:
            if isinstance(spec, BucketFilter):
                current = spec.value()
            else:
                narrowed = spec.queryset(self.request, queryset)
                queryset = queryset if narrowed is None else narrowed
        queryset, _may_repeat = self.model_admin.get_search_results(
            self.request, queryset, self.query
        )
        counts = queryset.bucket_counts()
        tiles = [("", _("All"), counts["total"])]
        tiles += [(name, STATUS_LABELS[name], counts[name]) for name in deadlines.BUCKETS]
        tiles.append(("stale", STATUS_LABELS["stale"], counts["stale"]))
        return [
            {
                "name": name,
                "label": label,
                "count": count,
                "url": self.get_query_string({"bucket": name or None, "p": None}),
                "is_current": (current or "") == name,
            }
            for name, label, count in tiles
        ]

    @property
    def shown(self):
        """The numbers of the first and the last row of the page, where there are more pages."""
        if not self.multi_page:
            return None
        first = (self.page_num - 1) * self.list_per_page
        return first + 1, first + len(self.result_list)

    def headers(self):
        return list(result_headers(self))

    def views(self):
        """The views of whoever looks: triples of a view, its query string, is it this one."""
        present = {n: v for n, v in self.request.GET.items() if n not in (PAGE_VAR, ERROR_FLAG)}
        return [
            (view, f"?{view.query}", QueryDict(view.query).dict() == present)
            for view in SavedView.objects.available_to(self.request.user)
        ]

    def active_filters(self):
        """What narrows the list: pairs of words and the query string without it."""
        return [
            (words, self.get_query_string({name: None, PAGE_VAR: None}))
            for name, words in describe_filters(self.request.GET, self.filter_specs).items()
        ]

    @property
    def preserved_query(self):
        """What the link to a row carries along, so that its page leads back to this list."""
        return f"?{self.preserved_filters}" if self.preserved_filters else ""

    def rows(self):
        """Pairs of a record and its cells. Django's own weigh half as much again."""
        columns = [getattr(self.model_admin, name) for name in self.model_admin.list_display]
        for record in self.result_list:
            yield record, [column(record) for column in columns]


class UncountedChangeList(ConnectionChangeList):
    """The list for its queryset alone: neither counted nor cut into pages."""

    def get_results(self, request):
        pass


class ListPaginator(Paginator):
    """Pages of a list; its rows are counted already, others (of a history) are not."""

    @cached_property
    def count(self):
        known = getattr(self.object_list, "known_count", None)
        return super().count if known is None else known
