"""Times are shown in the zone that the browser has told, and in TIME_ZONE where it has not."""

from datetime import datetime, timezone

import pytest
from django.urls import reverse

from tests.support.helpers import SECRET, make

pytestmark = pytest.mark.django_db
URL = reverse("admin:connections_connectionauth_changelist")


@pytest.fixture(autouse=True)
def winter():
    make(name="A", key=SECRET, expiry_date=datetime(2030, 1, 1, 12, 30, tzinfo=timezone.utc))


@pytest.mark.parametrize(
    ("zone", "shown"),
    [("Europe/Berlin", "13:30"), ("America/New_York", "07:30"), ("Asia/Kolkata", "18:00")],
)
def test_in_the_zone_of_the_cookie(client, zone, shown):
    client.cookies["time_zone"] = zone
    content = client.get(URL).content.decode()
    assert f"Tue 1 Jan, {shown}</small>" in content
    assert f'data-zone="{zone}"' in content
    assert f"Times in {zone}" in content


@pytest.mark.parametrize("told", [None, "", "Nowhere/Such", "../etc/passwd", "/etc", "x" * 900])
def test_in_the_zone_of_the_settings_without_a_valid_cookie(client, settings, told):
    settings.TIME_ZONE = "Europe/Athens"
    if told is not None:
        client.cookies["time_zone"] = told
    content = client.get(URL).content.decode()
    assert "Tue 1 Jan, 14:30</small>" in content
    assert "Times in Europe/Athens" in content


def test_one_request_leaves_nothing_to_the_next(client):
    client.cookies["time_zone"] = "Asia/Kolkata"
    client.get(URL)
    del client.cookies["time_zone"]
    assert "Times in UTC" in client.get(URL).content.decode()


def test_only_the_response_to_a_form_is_not_reloaded(client):
    address = reverse("admin:connections_connectionauth_add")
    assert " data-posted" not in client.get(address).content.decode()
    assert " data-posted" in client.post(address, {"expires_in": "x"}).content.decode()
