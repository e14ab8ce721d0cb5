"""What changed since yesterday: the counts of a day, who keeps them, and for whom they count."""

import json
from datetime import date, timedelta
from io import StringIO

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connection

from connections.console.dashboard import context as dashboard
from connections.models import ConnectionAuth, DailyCount, Integration, UserScope
from connections.records import daily_counts
from connections.records.counts import UNFILTERED, ConnectionFilter
from tests.support.helpers import NOW

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
ADMIN = User(is_superuser=True)


def add(count, kind=None, environment=None, **fields):
    if kind:
        Integration.objects.get_or_create(type=kind)
    ConnectionAuth.objects.bulk_create(
        ConnectionAuth(auth_kind="oauth2", integration_id=kind, environment=environment, **fields)
        for _ in range(count)
    )


def look(user=ADMIN, now=NOW, place=UNFILTERED):
    """The changes that a look at the dashboard shows, by tile."""
    shown = dashboard.get_context(user, now, place)
    tiles = {tile.name: tile.change for tile in shown.buckets}
    return {**tiles, "stale": shown.stale.change}


def limited(**scope):
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_connectionauth"))
    UserScope.objects.create(user=user, **scope)
    return user


def test_the_change_is_against_the_counts_of_yesterday():
    add(3, breaks_at=NOW - 2 * DAY)
    add(2)
    assert set(look(now=NOW - DAY).values()) == {None}
    add(2, breaks_at=NOW - DAY / 2)
    ConnectionAuth.objects.filter(breaks_at=None)[0].delete()
    add(1, renewable=True, access_expires_at=NOW - DAY / 4)
    assert look() == {
        "broken": 2,
        "day": 0,
        "week": 0,
        "month": 0,
        "later": 0,
        "no_end": 0,
        "stale": 1,
    }
    ConnectionAuth.objects.filter(breaks_at=None).delete()
    assert (look()["no_end"], look()["stale"]) == (-2, 0)


def test_nothing_is_compared_with_an_older_day_nor_with_today():
    add(1)
    look(now=NOW - 2 * DAY)
    add(1)
    assert look()["no_end"] is None
    add(1)
    assert look()["no_end"] is None


def test_the_first_look_of_a_day_counts():
    add(1)
    look(now=NOW - DAY)
    add(1)
    look(now=NOW - DAY + timedelta(hours=3))
    assert look()["no_end"] == 1


def test_a_narrowed_page_compares_with_its_place():
    add(2, "x", "Stage")
    add(5, "y", None)
    look(now=NOW - DAY, place=ConnectionFilter("x"))  # whatever the first look is narrowed to
    add(1, "x", "Stage")
    add(3, None, None)
    assert look()["no_end"] == 4
    assert look(place=ConnectionFilter("x"))["no_end"] == 1
    assert look(place=ConnectionFilter(environment="Production"))["no_end"] == 3
    assert look(place=ConnectionFilter("-", "Production"))["no_end"] == 3
    assert look(place=ConnectionFilter("y", "Stage"))["no_end"] == 0


def test_a_limited_user_compares_inside_the_limits_only():
    user = limited(environments=["Stage"])
    add(2, "x", "Stage")
    add(5, "y", None)
    look(now=NOW - DAY)
    add(1, "x", "Stage")
    add(7, "x", None)
    assert look(user)["no_end"] == 1
    assert look(user, place=ConnectionFilter("y"))["no_end"] == 0


def test_the_look_of_a_limited_user_counts_for_all():
    add(2, "x", "Stage")
    add(5, "y", None)
    look(limited(integrations=["x"]), now=NOW - DAY)
    assert look()["no_end"] == 0


def test_a_week_is_kept_and_one_row_is_small():
    add(1)
    for days in range(9):
        look(now=NOW - DAY * (9 - days))
    assert DailyCount.objects.count() == 7
    assert min(DailyCount.objects.values_list("day", flat=True)) == date(2026, 11, 17)
    assert DailyCount.objects.first().counts == [[None, "Production", {"no_end": 1}]]


def test_days_are_those_of_the_settings(settings):
    settings.TIME_ZONE = "Pacific/Kiritimati"  # 14 hours ahead
    assert daily_counts.today(NOW) == date(2026, 11, 24)
    assert daily_counts.today(NOW + timedelta(hours=1)) == date(2026, 11, 25)


def test_two_first_looks_at_once_are_one_row():
    add(1)
    daily_counts.store_today(NOW)
    add(1)
    daily_counts.store_today(NOW)
    (row,) = DailyCount.objects.all()
    assert row.counts == [[None, "Production", {"no_end": 2}]]


def test_the_page_says_it_in_words(admin_client):
    add(3, breaks_at=NOW - 2 * DAY)
    add(2)
    with time_machine.travel(NOW - DAY, tick=False):
        assert "yesterday" not in admin_client.get("/admin/").content.decode()
    add(2, breaks_at=NOW - 2 * DAY)
    ConnectionAuth.objects.filter(breaks_at=None)[0].delete()
    with time_machine.travel(NOW, tick=False):
        admin_client.force_login(User.objects.get(username="admin"))  # a session lasts no day
        page = admin_client.get("/admin/").content.decode()
    assert '>2 more<span class="visually-hidden"> than yesterday</span>' in page
    assert '>1 fewer<span class="visually-hidden"> than yesterday</span>' in page
    assert '>no change<span class="visually-hidden"> since yesterday</span>' in page


def told(*options):
    out = StringIO()
    call_command("take_snapshot", *options, stdout=out)
    return out.getvalue().strip()


def test_the_command_keeps_the_counts_of_the_day_once():
    add(1)
    with time_machine.travel(NOW - DAY, tick=False):
        assert json.loads(told("--json")) == {"day": "2026-11-23", "taken": True}
        add(1)
        assert json.loads(told("--json")) == {"day": "2026-11-23", "taken": False}
        assert told() == "The counts of 2026-11-23 were kept already."
    assert look()["no_end"] == 1
    with time_machine.travel(NOW + DAY, tick=False):
        assert told() == "Kept the counts of 2026-11-25."


LOOK = """
import sqlite3, time
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from connections.console.dashboard import context
from connections.models import DailyCount

def look():
    began = time.monotonic()
    context.get_context(User(is_superuser=True), timezone.now())
    print(time.monotonic() - began, DailyCount.objects.count())

other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
look()
other.execute("ROLLBACK")
look()
"""


def test_the_page_does_not_wait_for_who_writes(stores):
    outcome = stores.make("sqlite").run("shell", "--no-imports", "-c", LOOK)
    assert outcome.code == 0, outcome.err
    (seconds, beside), (_, afterwards) = map(str.split, outcome.out.splitlines())
    assert float(seconds) < 15  # others wait for 30
    assert (beside, afterwards) == ("0", "1")


def test_who_looks_waits_again_for_what_matters():
    if connection.vendor == "sqlite":
        look()
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            assert cursor.fetchone()[0] >= 5000
