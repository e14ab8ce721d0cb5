"""What the charts of the dashboard and the time line of a connection share. No queries.

A position or width is a percentage such as "3.3333%", for an SVG without a viewBox.
"""

from dataclasses import dataclass

from django.utils.functional import Promise


@dataclass(frozen=True, kw_only=True)
class BucketSpan:
    """The part of an axis that lies in one bucket."""

    bucket: str
    x: str
    width: str


@dataclass(frozen=True, kw_only=True)
class Tick:
    x: str
    anchor: str  # of the text: start, middle or end
    text: str | Promise


def percent(number):
    return f"{number:.3f}".rstrip("0").rstrip(".") + "%"
