"""Who stands before and after a record in a list, in whatever order that is.

The rows beside it are asked for by their values, so that a list of a million is not read for it.
"""

from typing import NamedTuple

from django.db import connection
from django.db.models import Count, F, Q
from django.db.models.expressions import OrderBy

MAX_COUNTED = 10_000  # of a longer list nobody is told the place


class Neighbours(NamedTuple):
    """`before` and `after` are ids or None; `number` (from 1) and `total` 0 where not told."""

    before: object
    after: object
    number: int = 0
    total: int = 0


class OrderTerm(NamedTuple):
    """One column of an order."""

    name: str
    is_descending: bool
    nulls_last: bool


def find(queryset, record):
    """The Neighbours of a record in an ordered queryset, whose order ends with the id.

    One that is not (any more) in it stands where its values would put it.
    """
    terms = [_order_term(part) for part in queryset.query.order_by]
    values = [_related_value(record, term.name) for term in terms]
    before, after = (
        _after_condition(terms, values, backwards=True),
        _after_condition(terms, values),
    )
    beside = (queryset.filter(before).reverse(), queryset.filter(after))
    ids = [rows.values_list("pk", flat=True).first() for rows in beside]
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
    if isinstance(part, str):
        part = OrderBy(F(part.removeprefix("-")), descending=part.startswith("-"))
    elif isinstance(part, F):
        part = OrderBy(part)
    nulls_last = connection.features.nulls_order_largest != part.descending
    if part.nulls_last or part.nulls_first:
        nulls_last = bool(part.nulls_last)
    return OrderTerm(part.expression.name, part.descending, nulls_last)


def _after_condition(terms, values, backwards=False):
    """The condition (Q) for what comes after these values in this order, or before them."""
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
