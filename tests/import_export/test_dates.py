"""Which dates an import reads, which with a warning, and which it refuses."""

from datetime import datetime, timezone

import pytest

from connections.models import ConnectionAuth
from tests.support.helpers import SECRET, import_text
from tests.support.verdicts import refused, stored, warned

pytestmark = pytest.mark.django_db


def iso_of(value):
    """What a date is stored as, exported; the issues that its import made."""
    issues = warned({"token": "a", "expiryDate": value})
    return stored().get("expiryDate"), [code for code, path in issues if path == "expiryDate"]


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000Z"),
        ("2027-01-01T00:00:00.123456789Z", "2027-01-01T00:00:00.123Z"),
        ("2027-01-01T02:30:00+02:30", "2027-01-01T00:00:00.000Z"),
        ("2027-01-01T00:00:00-0000", "2027-01-01T00:00:00.000Z"),
        ("2026-12-31t23:59:59,5z", "2026-12-31T23:59:59.500Z"),
        ("2027-01-01 00:00 Z", "2027-01-01T00:00:00.000Z"),
        (" 2027-01-01T00:00:00Z\n", "2027-01-01T00:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999Z"),
        ("2028-02-29T12:00:00Z", "2028-02-29T12:00:00.000Z"),
    ],
)
def test_dates_with_a_zone_are_read(value, iso):
    assert iso_of(value) == (iso, [])


@pytest.mark.parametrize(
    ("value", "iso", "code"),
    [
        ("2027-01-01T10:00:00", "2027-01-01T10:00:00.000Z", "date_without_zone"),
        ("2027-01-01", "2027-01-01T00:00:00.000Z", "date_without_zone"),
        (1798761600, "2027-01-01T00:00:00.000Z", "date_as_number"),
        (1798761600000, "2027-01-01T00:00:00.000Z", "date_as_number"),
        (1798761600.5, "2027-01-01T00:00:00.500Z", "date_as_number"),
        (0, "1970-01-01T00:00:00.000Z", "date_as_number"),
        (-1, "1969-12-31T23:59:59.000Z", "date_as_number"),
        ("", None, "empty_date"),
        ("  ", None, "empty_date"),
    ],
)
def test_odd_dates_are_read_with_a_warning(value, iso, code):
    assert iso_of(value) == (iso, [code])


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-31T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "2027-01-01T24:00:00Z",
        "2027-01-01T25:00:00Z",
        "2026-12-31T23:59:60Z",
        "2027-01-01T00:60:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2027-01-01T00:00:00+24:00",
        "2027-01-01T00:00:00+02:60",
        "01/02/2027",
        "2027-1-1",
        "20270101",
        "20270101T000000Z",
        "2027-01-01T00:00:00 CET",
        "Fri, 01 Jan 2027 00:00:00 GMT",
        "1798761600",
        "tomorrow",
        "2027-W01",
        "٢٠٢٧-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z\0",
        SECRET,
        1e300,
        10**20,
        10**400,
    ],
)
def test_impossible_and_ambiguous_dates_are_refused(value):
    assert refused({"token": "a", "refreshTokenExpiresDate": value}) == [
        ("bad_date", "refreshTokenExpiresDate")
    ]


@pytest.mark.parametrize("value", [True, [], {}, ["2027-01-01"]])
def test_a_date_is_a_text_or_a_number(value):
    assert refused({"token": "a", "expiryDate": value}) == [("wrong_type", "expiryDate")]


def test_dates_at_the_ends_of_time_are_data():
    for year in ("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"):
        import_text([{"token": year, "expiryDate": year, "expiresIn": 1e11}])
    found = ConnectionAuth.objects.bucket_counts(datetime(2026, 11, 24, tzinfo=timezone.utc))
    assert (found["broken"], found["later"]) == (1, 1)
