"""The list of connections: its order and pages, its filters, its search."""

from datetime import datetime, timedelta, timezone

import pytest

from connections.expiry import deadlines
from connections.models import ConnectionAuth, Integration
from tests.support.helpers import SECRET, cast, make
from tests.support.lists import URL, listed

pytestmark = pytest.mark.django_db


# Order


def test_soonest_first_and_those_without_an_end_last(client):
    cast()
    assert listed(client) == [
        "Broken Ltd",
        "Day Ltd",
        "Week Ltd",
        "Month Ltd",
        "Later Ltd",
        "Endless Ltd",
        "Stale Ltd",
    ]


def test_each_column_sorts_both_ways(client):
    cast()
    for column in range(1, 8):
        up, down = listed(client, o=column), listed(client, o=-column)
        assert sorted(up) == sorted(down)
        if column == 2:
            assert up == sorted(up)
            assert down == up[::-1]


def test_pages(client):
    ConnectionAuth.objects.bulk_create([ConnectionAuth(name=f"N{n:03}") for n in range(150)])
    first, second = listed(client), listed(client, p=2)
    assert (len(first), len(second)) == (100, 50)
    assert not {*first} & {*second}


def test_pages_that_are_not_there(client):
    make(name="A")
    for page in ("999", "0", "-1", "x", ""):
        assert client.get(URL, {"p": page}, follow=True).status_code == 200, page


def test_the_page_about_a_page_that_is_not_there_twice(client):
    make(name="A")
    assert client.get(URL, {"p": 999, "e": 1}).status_code == 200


# Filters


@pytest.fixture
def varied():
    Integration.objects.create(type="hub spot&co", name="HubSpot")
    cast()
    make(
        name="Odd",
        key=SECRET,
        integration_id="hub spot&co",
        environment="Sandbox",
        is_paused=True,
        ends_in=timedelta(days=3),
    )
    make(name="Named production", key=SECRET + "2", environment="Production")


def test_filter_by_bucket_shows_what_its_tile_counts(client, varied):
    tiles = {tile.name: tile for tile in client.get(URL).context["bucket_tiles"]}
    for bucket in (*deadlines.BUCKETS, "stale"):
        shown = client.get(URL + tiles[bucket].url).context["cl"]
        assert shown.result_count == tiles[bucket].count > 0, bucket
        expected = "no_end" if bucket == "stale" else bucket
        assert {record.bucket() for record in shown.result_list} == {expected}


def test_tiles_count_under_all_other_filters_and_the_search(client, varied):
    response = client.get(URL, {"kind": "api_key", "bucket": "week", "q": "d"})
    for tile in response.context["bucket_tiles"]:
        shown = client.get(URL + tile.url)
        assert shown.context["cl"].result_count == tile.count, tile
    tiles = {tile.name: tile for tile in response.context["bucket_tiles"]}
    assert tiles["week"].is_current
    assert tiles["week"].count == 2
    assert tiles[""].count > 2


def test_filter_by_integration(client, varied):
    assert listed(client, integration="hub spot&co") == ["Odd"]
    assert "Odd" not in listed(client, integration="-")
    assert len(listed(client, integration="-")) == 8
    assert listed(client, integration="no such") == []


def test_filter_by_kind(client, varied):
    assert set(listed(client, kind="oauth2")) >= {"Stale Ltd"}
    assert all(r.auth_kind == "api_key" for r in ConnectionAuth.objects.filter(name="Odd"))
    assert "Odd" in listed(client, kind="api_key")


def test_filter_by_environment_counts_absent_as_production(client, varied):
    assert listed(client, environment="Sandbox") == ["Odd"]
    production = listed(client, environment="Production")
    assert "Named production" in production
    assert "Broken Ltd" in production
    assert len(production) == 8


def test_filter_by_paused(client, varied):
    assert listed(client, paused="1") == ["Odd"]
    assert len(listed(client, paused="0")) == 8


def test_filter_by_who_renews(client, varied):
    assert listed(client, renewable="1") == ["Stale Ltd"]
    assert len(listed(client, renewable="0")) == 8


def test_filters_combine(client, varied):
    query = {"integration": "hub spot&co", "paused": "1", "bucket": "week", "q": "odd"}
    assert listed(client, **query, kind="api_key", environment="Sandbox") == ["Odd"]
    assert listed(client, **query, kind="oauth2") == []


def test_filter_links_name_what_they_choose(client, varied):
    content = client.get(URL).content.decode()
    assert "?integration=hub+spot%26co" in content
    assert "HubSpot" in content


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.fixture
def three_days():
    for day in (1, 2, 3):
        make(name=f"Day {day}", key=SECRET, expiry_date=moment(f"2030-01-0{day} 12:00"))


def test_breaks_in_a_range_exclusive_to_inclusive(client, three_days):
    for breaks, expected in (
        ("2030-01-01T12:00:00Z..2030-01-02T12:00:00Z", ["Day 2"]),
        ("..2030-01-02T12:00:00Z", ["Day 1", "Day 2"]),
        ("2030-01-01T12:00:00Z..", ["Day 2", "Day 3"]),
        ("2030-01-01T11:59:59.999999Z..2030-01-01T12:00:00Z", ["Day 1"]),
        ("2030-01-03T13:00:00+01:00..", []),
        ("2031-01-01T00:00:00Z..2030-01-01T00:00:00Z", []),
        ("0001-01-01T00:00:00Z..9999-12-31T23:59:59Z", ["Day 1", "Day 2", "Day 3"]),
    ):
        assert listed(client, breaks=breaks) == expected, breaks


def test_an_invalid_breaks_parameter_does_not_fail(client, three_days):
    for breaks in ("", "..", "x..y", "2030-01-01", "9999-99-99.."):
        assert client.get(URL, {"breaks": breaks}).status_code == 200, breaks


def test_hostile_queries_do_not_fail(client, varied):
    for query in (
        {"bucket": "x"},
        {"q": "\0"},
        {"q": "'\" %_\\ ("},
        {"o": "9.-9.x"},
        {"o": "\0"},
        {"_facets": "True"},
        {"all": ""},
        {"integration": "x" * 5000},
    ):
        assert client.get(URL, query, follow=True).status_code == 200, query


# Search


def test_search_looks_into_the_five_fields(client):
    for field in ("name", "connection_id", "external_xref", "client_id", "user_id"):
        make(**{field: f"xx-Needle-in-{field}-xx", "key": f"{SECRET}-{field}"})
        assert len(listed(client, q=f"needle-in-{field}")) == 1, field


def test_search_looks_nowhere_else(client):
    make(name="A", key="needle", api_url="https://needle.example.com", token="needle")
    assert listed(client, q="needle") == []


def test_search_keeps_filters(client, varied):
    assert listed(client, q="ltd", bucket="broken") == ["Broken Ltd"]
