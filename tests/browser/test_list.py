"""The list in a browser: its selection, its search, and the times of wherever the browser is."""

from datetime import datetime, timezone

import pytest
from django.urls import reverse

from connections.models import ConnectionAuth
from tests.support.browser import IN_BROWSER
from tests.support.helpers import SECRET, make

pytestmark = IN_BROWSER
LIST = reverse("admin:connections_connectionauth_changelist")


@pytest.fixture
def browser_context_args(browser_context_args):
    return {**browser_context_args, "timezone_id": "Asia/Tokyo", "reduced_motion": "reduce"}


@pytest.fixture
def opened(page, live_server, admin_user):
    """The list of 150 connections, opened by somebody in Japan; everything said is an error."""
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    ConnectionAuth.objects.bulk_create(ConnectionAuth(name=f"N{n:03}") for n in range(149))
    moment = datetime(2030, 1, 1, 12, 0, tzinfo=timezone.utc)
    make(name="First", key=SECRET, expiry_date=moment)
    page.goto(f"{live_server.url}/admin/login/?next={LIST}")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{LIST}")
    yield page
    assert said == []


def test_times_are_those_of_the_browser(opened):
    assert opened.get_by_text("Tue 1 Jan, 21:00").is_visible()
    assert opened.get_by_text("Times in Asia/Tokyo").is_visible()


def test_a_slash_goes_to_the_search_of_the_list(opened):
    opened.keyboard.press("/")
    opened.keyboard.type("first")
    opened.keyboard.press("Enter")
    opened.wait_for_url("**q=first**")
    assert opened.locator("#result_list tbody tr").count() == 1


def test_all_that_match_are_chosen_shown_and_changed(opened):
    bar = opened.locator(".selection")
    assert not bar.is_visible()
    opened.get_by_label("Select N003").check()
    assert bar.get_by_text("1 selected").is_visible()
    bar.get_by_label("All 150 that match").check()
    assert bar.get_by_text("100 selected").is_visible()
    opened.get_by_label("Select N004").uncheck()
    assert bar.get_by_label("99 selected").is_checked()
    bar.get_by_label("All 150 that match").check()
    bar.get_by_role("button", name="Pause…").click()
    assert opened.get_by_text("150 connections are chosen").is_visible()
    assert not ConnectionAuth.objects.filter(is_paused=True).exists()
    opened.get_by_role("button", name="Pause: 150").click()
    assert opened.get_by_text("Done. 150 of 150").is_visible()
    assert ConnectionAuth.objects.filter(is_paused=True).count() == 150
    opened.get_by_role("button", name="Undo this change").click()
    assert opened.get_by_text("150 put back").is_visible()


def test_clearing_takes_the_bar_away(opened):
    opened.locator("#action-toggle").check()
    opened.locator(".selection").get_by_role("button", name="Clear").click()
    assert not opened.locator(".selection").is_visible()
    assert not opened.locator("#action-toggle").is_checked()


def test_the_head_of_the_table_stays_in_sight(opened):
    opened.set_viewport_size({"width": 1360, "height": 600})
    opened.mouse.move(700, 400)
    opened.mouse.wheel(0, 2000)
    head = opened.get_by_role("columnheader", name="Status")
    opened.wait_for_function("scrollY > 1000")
    assert 0 <= head.bounding_box()["y"] < 60


def test_on_a_phone_the_bar_leaves_room_for_the_rows(opened):
    opened.set_viewport_size({"width": 390, "height": 844})
    opened.locator("#action-toggle").check()
    bar = opened.locator(".selection")
    bar.get_by_label("All 150 that match").check()
    assert bar.bounding_box()["height"] < 844 / 6
    rows = {round(box.bounding_box()["y"]) for box in bar.get_by_role("button").all()}
    assert len(rows) == 2  # "Clear", and below it all that can be done
