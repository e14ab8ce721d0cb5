"""Sessions end 15 minutes after the last request of the user, and after 12 hours."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client

from connections.models import ImportRun
from tests.support.helpers import NOW
from tests.support.sign_in import give_password, is_signed_in, prove

pytestmark = pytest.mark.django_db

INSIDE = "/admin/bin/"


@pytest.fixture
def signed_in(clock, client, admin_user):
    give_password(client)
    assert is_signed_in(client)
    return client


def test_a_session_ends_after_a_quarter_of_an_hour_without_a_request(clock, signed_in):
    clock.shift(timedelta(minutes=14))
    assert is_signed_in(signed_in)
    clock.shift(timedelta(minutes=14))
    assert is_signed_in(signed_in)
    clock.shift(timedelta(minutes=15))
    assert not is_signed_in(signed_in)
    assert "_auth_user_id" not in signed_in.session


def test_the_login_page_says_why(clock, signed_in):
    clock.shift(timedelta(minutes=16))
    page = signed_in.get(INSIDE, follow=True)
    assert b"You were signed out after 15 minutes without activity." in page.content
    assert b'name="next" value="/admin/bin/"' in page.content


def test_a_form_sent_too_late_changes_nothing(clock, signed_in, admin_user):
    clock.shift(timedelta(minutes=16))
    signed_in.post("/admin/auth/group/add/", {"name": "Late"})
    assert not admin_user.groups.model.objects.filter(name="Late").exists()


@pytest.mark.parametrize("ending", ["", "progress/"])
def test_requests_of_a_page_do_not_extend_a_session(clock, signed_in, admin_user, ending):
    run = ImportRun.objects.create(
        user=admin_user,
        file_name="a",
        size=1,
        sha256="",
        status=ImportRun.Status.RUNNING,
        started_at=NOW,
        heartbeat_at=NOW,
    )
    address = f"/admin/import/{run.pk}/{ending}"
    for _ in range(14):
        clock.shift(timedelta(minutes=1))
        assert signed_in.get(address).status_code == 200
    clock.shift(timedelta(minutes=1))
    assert not is_signed_in(signed_in)


def test_a_session_ends_after_twelve_hours_with_requests(clock, signed_in):
    for minutes in [14] * 51 + [5]:
        clock.shift(timedelta(minutes=minutes))
        assert is_signed_in(signed_in)
    clock.shift(timedelta(minutes=1))
    page = signed_in.get(INSIDE, follow=True)
    assert b"You were signed out after 12 hours." in page.content
    assert not is_signed_in(signed_in)


def test_a_reauthentication_does_not_extend_a_session(clock, signed_in):
    for minutes in [14] * 51 + [6]:
        clock.shift(timedelta(minutes=minutes))
        prove(signed_in)
    assert not is_signed_in(signed_in)


def test_a_session_without_a_start_has_ended(signed_in):
    session = signed_in.session
    del session["session_began"]
    session.save()
    assert not is_signed_in(signed_in)


def test_a_copied_cookie_is_worth_nothing_after_signing_out(signed_in):
    copied = Client()
    copied.cookies = signed_in.cookies.copy()
    assert is_signed_in(copied)
    signed_in.post("/admin/account/logout/")
    assert not is_signed_in(copied)


def test_signing_in_changes_the_key_of_the_session(clock, client, admin_user):
    client.get("/admin/account/mfa/webauthn/login/", HTTP_ACCEPT="application/json")
    before = client.session.session_key
    give_password(client)
    assert before
    assert client.session.session_key != before


def test_the_cookie_ends_with_the_browser(signed_in):
    cookie = signed_in.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie["max-age"] == cookie["expires"] == ""
    assert cookie["httponly"]


def test_not_every_request_writes_the_session(clock, signed_in):
    key = signed_in.session.session_key
    store = type(signed_in.session)
    seen = store(key)["session_seen"]
    clock.shift(timedelta(seconds=29))
    assert is_signed_in(signed_in)
    assert store(key)["session_seen"] == seen
    clock.shift(timedelta(seconds=1))
    assert is_signed_in(signed_in)
    assert store(key)["session_seen"] == seen + 30
