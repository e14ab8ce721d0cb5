"""The records before and after a record in a list, whatever its order.

They are found by the values that the list is sorted by, so that a list of a million is not read.
"""

from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q
from django.http import QueryDict

from connections.console.filters import clean_query, describe_filters, narrow
from connections.console.mixins import PRESERVED_FILTERS_VAR
from connections.models import ConnectionAuth

MAX_COUNTED = 10_000  # in a longer list, the position of a record is not counted


class Neighbours(NamedTuple):
    """The ids before and after a record, its position (from 1), and the length of the list.

    Position and total are 0 where they are not counted, and where the record is not in the list.
    """

    before: UUID | None
    after: UUID | None
    position: int = 0
    total: int = 0


class OrderTerm(NamedTuple):
    """One column of an order."""

    name: str
    is_descending: bool
    nulls_last: bool


def list_position(user, record, query):
    """Where a record is in the list that a user got for a query string, for the template."""
    params = QueryDict(query)
    visible = ConnectionAuth.objects.visible_to(user)
    return {
        "neighbours": find(narrow(visible, params), record),
        "filter_text": ", ".join(describe_filters(clean_query(params)).values()),
        "query": f"?{query}" if query else "",
        "preserved_query": f"?{urlencode({PRESERVED_FILTERS_VAR: query})}" if query else "",
    }


def find(queryset, record):
    """The Neighbours of a record in an ordered queryset, whose order ends with the id.

    A record that is not (or no longer) in it has the neighbours that it would have.
    """
    terms = [_order_term(part) for part in queryset.query.order_by]
    values = [_related_value(record, term.name) for term in terms]
    before = _after_condition(terms, values, backwards=True)
    after = _after_condition(terms, values)
    nearest = (queryset.filter(before).reverse(), queryset.filter(after))
    ids = [records.values_list("pk", flat=True).first() for records in nearest]
    counts = queryset.order_by()[: MAX_COUNTED + 1].aggregate(
        total=Count("pk"),
        before=Count("pk", filter=before),
        here=Count("pk", filter=Q(pk=record.pk)),
    )
    if counts["total"] > MAX_COUNTED or not counts["here"]:
        return Neighbours(*ids)
    return Neighbours(*ids, counts["before"] + 1, counts["total"])


def _related_value(record, name):
    for part in name.split("__"):
        record = getattr(record, part, None)
    return record


def _order_term(part):
    nulls_last = connection.features.nulls_order_largest != part.descending
    if part.nulls_last or part.nulls_first:
        nulls_last = bool(part.nulls_last)
    return OrderTerm(part.expression.name, part.descending, nulls_last)


def _after_condition(terms, values, backwards=False):
    """The condition (Q) for the records after these values in an order, or before them."""
    beyond, level = Q(pk__in=[]), Q()
    for term, value in zip(terms, values, strict=True):
        is_null = Q(**{f"{term.name}__isnull": True})
        nulls_are_beyond = term.nulls_last != backwards
        if value is None:
            step, same = Q(pk__in=[]) if nulls_are_beyond else ~is_null, is_null
        else:
            than = "lt" if term.is_descending != backwards else "gt"
            step, same = Q(**{f"{term.name}__{than}": value}), Q(**{term.name: value})
            if nulls_are_beyond:
                step |= is_null
        beyond |= level & step
        level &= same
    return beyond
