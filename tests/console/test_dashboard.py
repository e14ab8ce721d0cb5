"""The dashboard: what each number counts, where its link leads, how the charts are drawn."""

import random
import re
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import override

from connections.console.dashboard import charts, tables
from connections.console.dashboard import context as dashboard
from connections.console.list_url import breaks_param, list_url
from connections.expiry import deadlines
from connections.models import SEALED_COLUMNS, ConnectionAuth, Integration
from connections.records.counts import ConnectionFilter
from tests.support.helpers import NOW, SECRET

pytestmark = pytest.mark.django_db

UTC = timezone.utc


def record(breaks_at=None, **fields):
    """A stored record with derived columns of the test's choice."""
    fields = {"auth_kind": "oauth2", "breaks_at": breaks_at, **fields}
    return ConnectionAuth.objects.bulk_create([ConnectionAuth(**fields)])[0]


def after(**period):
    return NOW + timedelta(**period)


def numbers(now=NOW):
    return dashboard.get_context(User(is_superuser=True), now)


@pytest.fixture
def crowd():
    """400 records all over the buckets, exact edges among them, in ten integrations or none."""
    chance = random.Random(7)
    kinds = [f"kind & {number}" for number in range(10)]
    Integration.objects.bulk_create([Integration(type=kind, name=kind.title()) for kind in kinds])
    edges = [*deadlines.bucket_edges(NOW).values(), *(after(days=day) for day in range(31))]
    moments = [None, *edges, *(edge + timedelta(microseconds=1) for edge in edges)]
    ConnectionAuth.objects.bulk_create(
        ConnectionAuth(
            auth_kind="oauth2",
            integration_id=chance.choice([None, *kinds]),
            renewable=chance.random() < 0.4,
            access_expires_at=after(days=chance.uniform(-5, 5)),
            breaks_at=chance.choice([*moments, after(days=chance.uniform(-20, 500))]),
        )
        for _ in range(400)
    )


# Tiles and links


def test_tiles_are_in_order_and_count_the_buckets(crowd):
    shown = numbers()
    tiles = shown.buckets
    assert [tile.name for tile in tiles] == list(deadlines.BUCKETS)
    labels = ["Broken", "24 hours", "7 days", "30 days", "Later", "No known end"]
    assert [tile.label for tile in tiles] == labels
    assert sum(tile.count for tile in tiles) == shown.total == 400
    assert [tile.edge for tile in tiles[:4]] == list(deadlines.bucket_edges(NOW).values())


def test_links_are_encoded():
    place = ConnectionFilter("a&b=ü", "Staging")
    assert list_url(place, breaks=breaks_param(after(), None)).endswith(
        "?integration=a%26b%3D%C3%BC&environment=Staging&breaks=1795511040.."
    )


def test_headline_counts_the_broken_the_next_day_and_the_week():
    for moment in (after(hours=-1), after(hours=3), after(hours=20), after(days=6)):
        record(moment)
    shown = numbers()
    broken, day, *_ = shown.buckets
    assert [part.count for part in (broken, day, shown.person)] == [1, 2, 4]
    assert day.edge == after(hours=24)


def test_headline_names_the_two_integrations_with_most_that_break_within_the_week():
    for kind, count in (("a", 1), ("b", 3), ("c", 2), ("d", 0)):
        Integration.objects.create(type=kind, name=kind.upper())
        record(after(days=100), integration_id=kind)
        for _ in range(count):
            record(after(days=5), integration_id=kind)
    assert numbers().top_integrations == ["B", "C"]


def test_stale_and_unreadable_records_are_counted():
    record(renewable=True, access_expires_at=after(hours=-1))
    record(unreadable_fields=["token"])
    shown = numbers()
    assert (shown.stale.count, shown.unreadable.count) == (1, 1)


def test_binned_records_are_not_counted():
    record(after(days=1), binned_at=NOW)
    assert numbers().total == 0


# Charts


def test_the_30_days_add_up_to_the_tiles(crowd):
    shown = numbers()
    tiles = {tile.name: tile.count for tile in shown.buckets}
    bars = shown.days.bars
    assert len(bars) == 30
    assert bars[0].count == tiles["day"]
    assert sum(bar.count for bar in bars[1:7]) == tiles["week"]
    assert sum(bar.count for bar in bars[7:]) == tiles["month"]
    assert shown.days.beyond.count == tiles["later"]
    assert [bar.bucket for bar in bars] == ["day"] + ["week"] * 6 + ["month"] * 23


def test_bars_are_split_into_what_needs_a_person_and_what_a_machine_can_renew(crowd):
    for name in ("days", "months"):
        bars = getattr(numbers(), name).bars
        assert all(bar.person.count + bar.machine.count == bar.count for bar in bars)
        inside = ConnectionAuth.objects.filter(breaks_at__gt=NOW, breaks_at__lte=bars[-1].end)
        assert sum(bar.machine.count for bar in bars) == inside.filter(renewable=True).count()


def test_the_12_months_begin_now_and_leave_nothing_out(crowd):
    months = numbers().months
    names = [bar.name for bar in months.bars]
    assert names == "Nov Dec Jan Feb Mar Apr May Jun Jul Aug Sep Oct".split()
    coming = ConnectionAuth.objects.filter(breaks_at__gt=NOW).count()
    assert months.total.count + months.beyond.count == coming
    assert months.beyond.count > 0


def test_a_month_ends_at_midnight_of_the_current_time_zone():
    midnight = datetime(2026, 12, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    record(midnight - timedelta(microseconds=1))
    record(midnight)
    with override("Europe/Berlin"):
        november, december, *_ = numbers().months.bars
    assert (november.count, december.count) == (1, 1)
    assert november.end == datetime(2026, 11, 30, 22, 59, 59, 999999, tzinfo=UTC)


def test_months_follow_summer_time_and_the_turn_of_the_year():
    with override("Europe/Berlin"):
        bars = numbers().months.bars
    ends = [(bar.end + timedelta(microseconds=1)).strftime("%y-%m-%d %H") for bar in bars]
    assert ends[:2] == ["26-11-30 23", "26-12-31 23"]
    assert ends[4:6] == ["27-03-31 22", "27-04-30 22"]
    assert ends[10:] == ["27-09-30 22", "27-10-31 23"]


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2028, 2, 29, 12, tzinfo=UTC),
        datetime(2027, 1, 31, 12, tzinfo=UTC),
    ],
)
def test_months_are_right_on_any_day(now):
    record(now + timedelta(minutes=1))
    bars = numbers(now).months.bars
    assert [bar.end.month for bar in bars] == [(now.month - 1 + n) % 12 + 1 for n in range(12)]
    assert sum(bar.count for bar in bars) == 1


def test_days_are_24_hours_when_summer_time_begins():
    berlin = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    record(berlin.astimezone(UTC) + timedelta(hours=24))
    with override("Europe/Berlin"):
        shown = numbers(berlin)
    first = shown.days.bars[0]
    assert first.end - berlin == timedelta(hours=24)
    assert first.count == shown.buckets[1].count == 1
    assert "in the 24 hours to Sun 29 Mar, 13:00" in first.label


def test_a_month_has_its_commonest_bucket_and_an_empty_month_that_of_its_end():
    for days in (0.5, 3, 4, 5, 12):
        record(after(days=days))
    buckets = [bar.bucket for bar in numbers().months.bars]
    assert buckets == ["week", "month"] + ["later"] * 10


def test_labels_are_whole_sentences():
    record(after(hours=2))
    record(after(hours=3), renewable=True)
    record(after(days=10))
    shown = numbers()
    assert [bar.label for bar in shown.days.bars[:2]] == [
        "2 break in the 24 hours to Wed 25 Nov, 09:04: 1 needs a person, a machine can renew 1.",
        "Nothing breaks in the 24 hours to Thu 26 Nov, 09:04.",
    ]
    assert [bar.label for bar in shown.months.bars[:3]] == [
        "2 break in the rest of November 2026: 1 needs a person, a machine can renew 1.",
        "1 breaks in December 2026: 1 needs a person.",
        "Nothing breaks in January 2027.",
    ]


def test_bars_fit_the_plot_and_none_is_too_low_to_see():
    for count, days in ((400, 0.5), (1, 1.5)):
        ConnectionAuth.objects.bulk_create(
            ConnectionAuth(breaks_at=after(days=days), renewable=bool(n % 2)) for n in range(count)
        )
    chart = numbers().days
    tall, low, none = chart.bars[:3]
    assert charts.PLOT_TOP <= tall.y < tall.person_y < chart.height
    assert tall.y + tall.machine_height == tall.person_y
    assert tall.person_y + tall.person_height == chart.height
    assert low.person_height == charts.MIN_BAR_HEIGHT
    assert (none.person_height, none.machine_height, none.y) == (0, 0, chart.height)
    assert [bar.is_peak for bar in chart.bars[:3]] == [True, False, False]


def test_bars_and_bucket_spans_cover_the_whole_width(crowd):
    for name in ("days", "months"):
        chart = getattr(numbers(), name)
        for parts in (chart.bucket_spans, chart.bars):
            position = 0
            for part in parts:
                assert float(part.x.rstrip("%")) == pytest.approx(position, abs=0.02)
                position += float(part.width.rstrip("%"))
            assert position == pytest.approx(100, abs=0.02)


def test_ticks_name_the_days_and_the_months():
    shown = numbers()
    days = ["Now", "7 d · 1 Dec", "14 d · 8 Dec", "21 d · 15 Dec", "30 d · 24 Dec"]
    assert [tick.text for tick in shown.days.ticks] == days
    assert [tick.text for tick in shown.months.ticks][:2] == ["Nov", "Dec"]


# Tables


def test_integrations_are_sorted_by_urgency_then_size_and_the_rest_is_summed():
    for number in range(11):
        Integration.objects.create(type=f"kind{number:02}", name=f"Kind {number:02}")
        for _ in range(number + 5):
            record(after(days=300), integration_id=f"kind{number:02}")
    record(after(hours=-1), integration_id="kind00")
    table = numbers().integrations
    assert [row.name for row in table.rows][:3] == ["Kind 00", "Kind 10", "Kind 09"]
    assert (len(table.rows), table.integration_count) == (8, 11)
    others, heat = table.others, table.others.cells[4].heat
    assert (others.name, others.total.count, heat) == ("3 others", 6 + 7 + 8, 4)
    counts = (row.total.count for row in (*table.rows, others))
    assert table.totals.total.count == sum(counts) == 111


def test_heat_is_relative_to_the_largest_integration_of_the_column():
    for kind, count in (("a", 100), ("b", 51), ("c", 1), ("d", 0)):
        Integration.objects.create(type=kind)
        record(integration_id=kind)
        ConnectionAuth.objects.bulk_create(
            ConnectionAuth(integration_id=kind, breaks_at=after(days=300)) for _ in range(count)
        )
    table = numbers().integrations
    later = {row.name: row.cells[4].heat for row in table.rows}
    assert (later, table.others) == ({"a": 4, "b": 3, "c": 1, "d": 0}, None)


def test_records_without_an_integration_and_integrations_without_a_name_have_rows():
    Integration.objects.create(type="nameless")
    record(integration_id="nameless")
    record()
    assert {row.name for row in numbers().integrations.rows} == {"nameless", "No integration"}


def test_those_closest_to_now_that_need_a_person_are_named(admin_client):
    for hours in (-1000, -3, 2, 5, 100, 167, 169):
        record(after(hours=hours), name=f"person {hours}")
        record(after(hours=hours, minutes=10), name=f"machine {hours}", renewable=True)
    record(None, name="endless")
    shown = numbers()
    names = [row.record.name for row in shown.needing_person]
    # Nothing renews what is broken already.
    assert names == [
        *("person 2", "machine -3", "person -3", "person 5", "person 100", "person 167"),
        *("machine -1000", "person -1000"),
    ]
    assert [row.bucket for row in shown.needing_person[:2]] == ["day", "broken"]
    assert shown.person.count == len(names)
    with time_machine.travel(NOW, tick=False):
        page = admin_client.get("/admin/").content.decode()
    assert '<time title="Tue 24 Nov 2026, 11:04">in 2 hours</time>' in page
    assert ">2 hours ago</time>" in page


def test_the_rows_that_need_a_person_are_limited():
    for minutes in range(2 * tables.MAX_NEEDING_PERSON):
        record(after(minutes=minutes - 10), name=f"n{minutes - 10}")
    names = [row.record.name for row in numbers().needing_person]
    assert len(names) == tables.MAX_NEEDING_PERSON
    assert names[:3] == ["n0", "n1", "n-1"]


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("oauth2", "Ask them to reconnect"),
        ("oauth1", "Ask them to reconnect"),
        ("certificate", "Upload a new certificate"),
        ("api_key", "Paste a new API key"),
        ("other", "Enter new credentials"),
        ("empty", "Enter new credentials"),
    ],
)
def test_the_next_step_depends_on_the_kind(kind, step):
    record(after(days=1), auth_kind=kind)
    assert numbers().needing_person[0].next_step == step


# What must never happen


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_the_years_1_and_9999_break_nothing(zone):
    record(datetime(1, 1, 1, tzinfo=UTC))
    record(deadlines.MAX_DATETIME)
    with override(zone):
        shown = numbers()
    assert [tile.count for tile in shown.buckets] == [1, 0, 0, 0, 1, 0]
    assert shown.months.beyond.count == 1
    assert len(shown.needing_person) == 1


def test_an_empty_store_has_a_dashboard():
    shown = numbers()
    assert shown.total == shown.days.total.count == 0
    assert shown.top_integrations == shown.integrations.rows == shown.needing_person == []
    assert (shown.running_import, shown.last_import) == (None, None)
    assert all(bar.y == shown.days.height for bar in shown.days.bars)


def test_the_queries_are_few_whatever_the_number_of_records(crowd, django_assert_num_queries):
    with django_assert_num_queries(7):
        for row in numbers().needing_person:
            assert str(row.record) and row.integration is not None


def test_nothing_sealed_is_loaded():
    ConnectionAuth.objects.create(name="Ada", access_token=SECRET, expiry_date=after(days=1))
    with CaptureQueriesContext(connection) as queries:
        numbers()
    for query in queries.captured_queries:
        assert not [name for name in SEALED_COLUMNS if f'"{name}"' in query["sql"]]


# The page


def _user(*permissions):
    user = User.objects.create_user("ada", password="a", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def test_the_dashboard_has_counts_for_users_who_may_view_connections(client):
    record()
    client.force_login(_user("view_connectionauth"))
    assert client.get("/admin/").context["dashboard"].total == 1


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
def test_the_first_page_shows_the_years_1_and_9999(client, settings, zone):
    settings.TIME_ZONE = zone
    record(datetime(1, 1, 1, tzinfo=UTC), name="Ancient Ltd")
    record(deadlines.MAX_DATETIME, name="Eternal Ltd")
    page = client.get("/admin/")
    assert page.status_code == 200
    assert page.context["dashboard"].buckets[0].count == 1
    assert re.search(r'Ancient Ltd.*<time title="[^"]*1 Jan', page.content.decode())


def test_the_dashboard_has_no_counts_for_users_who_may_not_view_connections(client):
    record(name="Hidden Ltd")
    client.force_login(_user("view_user"))
    answer = client.get("/admin/")
    assert answer.status_code == 200
    assert "dashboard" not in answer.context
    assert "Hidden Ltd" not in answer.content.decode()
