"""Addresses of the list of connections: the dashboard makes them, the list's filters read them."""

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import quote, urlencode

from connections.json_format.values import parse_date
from connections.records.counts import NO_INTEGRATION


@dataclass(frozen=True, kw_only=True)
class LinkedCount:
    """A count of connections, and the address of the list of exactly these (see list_url)."""

    count: int
    url: str


def query_string(connection_filter, **params):
    """A ConnectionFilter and other parameters as a query string, "?" included."""
    narrowed = {
        name: value for name, value in connection_filter._asdict().items() if value is not None
    }
    return f"?{urlencode({**narrowed, **params})}"


def list_url(connection_filter, **params):
    """The list, narrowed by a ConnectionFilter and by query parameters.

    Relative to the dashboard, which has some hundred of these links.
    """
    return f"connections/connectionauth/{query_string(connection_filter, **params)}"


def linked_count(connection_filter, count, **params):
    return LinkedCount(count=count, url=list_url(connection_filter, **params))


def other_than_param(kinds):
    """The value of `other_than`: types of integrations (None: of none) that are left out."""
    return ",".join(quote(kind or NO_INTEGRATION, safe="") for kind in kinds)


def breaks_param(after=None, until=None):
    """The value of `breaks`: a range, `after` exclusive, `until` inclusive, None without a limit.

    In seconds since 1970, which is short: the dashboard has some hundred of these links.
    """
    return f"{_timestamp(after)}..{_timestamp(until)}"


def parse_breaks_param(text):
    """The two ends of a `breaks` range, also of dates as JSON spells them; None for no moment."""
    return [_parse_moment(end) for end in text.partition("..")[::2]]


def _timestamp(moment):
    return "" if moment is None else f"{moment.timestamp():.6f}".rstrip("0").rstrip(".")


def _parse_moment(text):
    try:
        if re.fullmatch(r"\d{1,11}(\.\d{1,6})?", text, re.ASCII):
            return datetime.fromtimestamp(float(text), timezone.utc)
        return parse_date(text)[0]
    except (ValueError, OverflowError):
        return None
