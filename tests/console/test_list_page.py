"""The list of connections: what it shows, what it weighs, and that it opens nothing."""

import re
from datetime import datetime, timedelta, timezone
from html import unescape
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from connections.console.labels import STATUS_LABELS
from connections.encryption.fields import Sealed
from connections.expiry import deadlines
from connections.models import SEALED_COLUMNS, ConnectionAuth, Integration, SavedView
from tests.support.helpers import SECRET, cast, make, member_of
from tests.support.lists import URL, listed, names, table

pytestmark = pytest.mark.django_db


# What it shows


def test_the_columns(client):
    make(name="A", key=SECRET)
    heads = re.findall(r"<th scope=\"col\".*?</th>", table(client.get(URL)), re.S)
    texts = [re.sub(r"<[^>]+>", "", head).strip() for head in heads]
    assert texts == [
        "Select all",
        "Status",
        "Name",
        "Integration",
        "Kind",
        "Environment",
        "Breaks",
        "Renewed by",
    ]


def test_each_bucket_has_a_badge_with_text(client):
    cast()
    shown = table(client.get(URL))
    for name in deadlines.BUCKETS:
        assert f'<span class="badge is-{name}">{STATUS_LABELS[name]}</span>' in shown


@pytest.mark.parametrize(
    ("fields", "mark"),
    [
        ({"is_paused": True}, "Paused"),
        ({"access_token": SECRET, "refresh_token": SECRET, "ends_in": timedelta(-1)}, "Stale"),
    ],
)
def test_badges_beside_the_name(client, fields, mark):
    make(name="A", **fields)
    assert f'<span class="badge is-{mark.lower()}">{mark}</span>' in table(client.get(URL))


def test_when_it_breaks_in_words_and_exactly_on_hover(client):
    record = make(name="A", key=SECRET, ends_in=timedelta(days=3, minutes=5))
    shown = table(client.get(URL))
    assert ">in 3 days</time>" in shown
    assert f'title="{record.breaks_at:%a} ' in shown
    assert f"{record.breaks_at:%H:%M:%S} UTC" in shown


def test_renewed_by_is_shown_in_words(client):
    make(name="A", access_token=SECRET, refresh_token=SECRET)
    make(name="B", key=SECRET)
    shown = table(client.get(URL))
    assert "is-machine" in shown
    assert "Machine" in shown
    assert "is-person" in shown
    assert "Person" in shown


def test_environment_that_is_absent_reads_production(client):
    make(name="A", key=SECRET)
    assert "Production" in table(client.get(URL))
    assert ConnectionAuth.objects.get().environment is None


# Nothing is opened, nothing is an oracle


def test_nothing_sealed_is_opened_or_even_loaded(client, nothing_opens):
    cast()
    make(name="All", **{name: {"a": 1} for name in ("meta", "extra")}, pem=SECRET)
    nothing_opens()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = client.get(URL, {"q": "l", "paused": "0"})
    assert response.status_code == 200
    assert len(names(response)) > 5
    assert SECRET not in response.content.decode()
    for query in queries:
        for column in SEALED_COLUMNS:
            assert f'"connections_connectionauth"."{column}"' not in query["sql"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL decides by itself")
@pytest.mark.parametrize(
    "query", ["", "kind=oauth2", "paused=1", "renewable=1", "environment=Sandbox", "needs=person"]
)
def test_tiles_are_counted_off_an_index_alone(client, query):
    """What reads each of a million records for that takes seconds."""
    cast()
    with CaptureQueriesContext(connection) as queries:
        client.get(f"{URL}?{query}")
    (counted,) = [one["sql"] for one in queries if ' AS "no_end"' in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {counted}".replace("%", "%%"))
        assert "USING COVERING INDEX connection_breaks" in str(cursor.fetchall())


def test_the_number_of_queries_does_not_grow(client, django_assert_max_num_queries):
    Integration.objects.create(type="a")
    cast()
    for number in range(20):
        make(name=f"N{number}", key=SECRET, integration_id="a")
    with django_assert_max_num_queries(12):
        client.get(URL, {"bucket": "no_end", "q": "n"})


MOST_BYTES = 80 * 1000
MOST_QUERIES = 12


@pytest.fixture
def full_page():
    """A hundred rows of long words and more than one page, with a mark on each."""
    Integration.objects.create(type="hubspot", name="HubSpot Marketing")
    ConnectionAuth.objects.bulk_create(
        ConnectionAuth(
            name=f"Underhill Property and Lettings {number}",
            integration_id="hubspot",
            environment="EU Production",
            is_paused=True,
            breaks_at=datetime(2026, 10, 10, tzinfo=timezone.utc),
        )
        for number in range(150)
    )


def test_a_hundred_rows_weigh_at_most_80_kb(client, full_page):
    narrowed = {"kind": "empty", "paused": "1", "environment": "EU Production", "q": "hill"}
    for query in ({}, narrowed):
        response = client.get(URL, query)
        assert len(names(response)) == 100
        assert len(response.content) <= MOST_BYTES, query


def test_a_hundred_rows_take_at_most_12_queries(full_page, django_assert_max_num_queries):
    for group in ("Viewer", "Operator", "Custodian", "Auditor"):
        client = member_of(group, environments=["EU Production"])
        SavedView.objects.create(user=client.user, name="Paused", query="paused=1")
        with django_assert_max_num_queries(MOST_QUERIES):
            assert len(names(client.get(URL, {"q": "under", "paused": "1"}))) == 100


# Odd records


@pytest.mark.parametrize("year", [1, 9999])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_years_at_the_ends_of_the_calendar(client, settings, year, zone):
    settings.TIME_ZONE = zone
    edge = datetime(year, 1, 1) if year == 1 else datetime(year, 12, 31, 23, 59, 59, 999999)
    make(name="A", key=SECRET, expiry_date=edge.replace(tzinfo=timezone.utc))
    response = client.get(URL)
    assert response.status_code == 200
    assert names(response) == ["A"]
    assert f"{year:04}" in table(response)


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7|add:7 }}{% debug %}",
    '=HYPERLINK("x")',
    "&lt;b&gt;",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(client, name):
    Integration.objects.create(type=name, name=name)
    make(name=name, environment=name, integration_id=name, key=SECRET)
    content = client.get(URL).content.decode()
    assert "<script>alert" not in content
    assert "<img" not in content
    assert "14" not in re.findall(r">\s*(14)\s*<", content)
    assert (
        content.count(
            name.replace("&", "&amp;")
            .replace("<", "&lt;")
            .replace(">", "&gt;")
            .replace('"', "&quot;")
            .replace("'", "&#x27;")
        )
        >= 3
    )


def test_control_characters_are_spelled_out(client):
    make(name="a\x1b[31m\x08\u202egnp.exe", environment="\x07bell", key=SECRET)
    shown = table(client.get(URL))
    assert r"a\u001b[31m\u0008\u202egnp.exe" in shown
    assert r"\u0007bell" in shown
    text = re.sub(r"<[^>]+>", "", shown)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)


def test_letters_of_all_scripts_stay(client):
    name = "Ünïcödé 日本 عربى می‌خواهم 👩‍👩‍👧"
    make(name=name, key=SECRET)
    assert name in table(client.get(URL))


def test_a_record_without_a_name_has_a_link(client):
    record = make(key=SECRET)
    assert f"Connection {str(record.pk)[-8:]}</a>" in table(client.get(URL))


def test_unreadable_records_are_listed_with_a_badge(client):
    record = make(name="A", key=SECRET)
    garbage = Sealed("garbage", "key", str(record.pk))
    ConnectionAuth.objects.filter(pk=record.pk).update(key=garbage, unreadable_fields=["key"])
    assert ">Unreadable</span>" in table(client.get(URL))
    assert listed(client, unreadable="1") == ["A"]
    assert listed(client, unreadable="0") == []


def test_records_in_the_bin_are_not_listed(client):
    make(name="A", binned_at=datetime.now(timezone.utc))
    make(name="B", key=SECRET)
    assert listed(client) == ["B"]


# Actions


def test_export_selected_leads_to_the_export_of_those(client):
    records = cast()
    data = {"action": "export_selected", "_selected_action": [str(records["week"].pk)]}
    response = client.post(URL, data)
    assert response.context["count"] == 1
    assert response.context["form"].initial["ids"] == str(records["week"].pk)


def test_an_export_of_deleted_records_does_not_export_everything(client):
    records = cast()
    data = {"action": "export_selected", "_selected_action": [str(records["week"].pk)]}
    records["week"].delete()
    response = client.post(URL, data, follow=True)
    assert "not there any more" in response.content.decode()
    assert not response.context.get("form")


def test_the_list_of_an_empty_store_says_so(client):
    assert "No connections yet" in client.get(URL).content.decode()
    assert (
        "No connections yet" not in client.get(URL + "?" + urlencode({"q": "x"})).content.decode()
    )


def test_without_a_match_each_condition_can_be_removed(client):
    Integration.objects.create(type="hubspot", name="HubSpot")
    cast()
    asked = {"bucket": "broken", "integration": "hubspot", "q": "acme", "p": "1"}
    text = client.get(URL, asked).content.decode()
    links = re.findall(
        r'href="(\?[^"]*)"><svg[^>]*>.{,99}</svg><span[^>]*>Without </span>(.*?)</a>', text
    )
    assert [(unescape(url), words) for url, words in links] == [
        ("?integration=hubspot&q=acme", "Status: Broken"),
        ("?bucket=broken&q=acme", "Integration: HubSpot"),
        ("?bucket=broken&integration=hubspot", "Search: acme"),
    ]
