"""Login limits: 10 attempts at a user in a quarter of an hour, and no permanent lock-out."""

import hashlib
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.db import connection
from django.test import Client

from tests.support.helpers import NOW, latest_event

pytestmark = pytest.mark.django_db

LOGIN = "/admin/account/login/"
BROWSER = Client()  # one for all: making them takes longer than the tries


@pytest.fixture
def tried():
    """How many passwords of each name were compared: a Counter."""
    counted = Counter()

    def count(credentials, **kwargs):
        counted[credentials["username"]] += 1

    user_login_failed.connect(count)
    yield counted
    user_login_failed.disconnect(count)


def guess(name="admin", password="wrong", number=0, **headers):
    """A try from an address that depends on `number`, without a cookie of those before."""
    address = f"10.0.{number >> 8}.{number & 255}"
    BROWSER.cookies.clear()
    form = {"login": name, "password": password}
    return BROWSER.post(LOGIN, form, REMOTE_ADDR=address, **headers)


def cache_keys():
    with connection.cursor() as cursor:
        cursor.execute("SELECT cache_key FROM connections_cache")
        return [key for (key,) in cursor.fetchall()]


def is_in(response):
    return response.status_code == 302 and response.url == "/admin/"


def test_each_user_has_ten_attempts_from_changing_addresses(clock, tried):
    people = [f"person-{number}" for number in range(2)]
    for name in people:
        User.objects.create_user(name, password="right", is_staff=True)
    for number in range(24):
        clock.shift(timedelta(seconds=30))  # 720 seconds in all
        guess(people[number % 2], f"guess {number}", number)
    assert tried == dict.fromkeys(people, 10)
    assert not is_in(guess(people[0], "right", 2000))
    clock.move_to(NOW + timedelta(seconds=720 + 15 * 60 + 1))
    for number, name in enumerate(people):
        assert is_in(guess(name, "right", 3000 + number))


def test_no_quarter_of_an_hour_has_more_than_ten_attempts(clock, admin_user, tried):
    times = []
    for number in range(34):
        clock.shift(timedelta(seconds=40))
        guess(number=number)
        times += [time.time()] * (tried["admin"] - len(times))
    assert len(times) == 20
    assert all(times[at + 10] - times[at] >= 15 * 60 for at in range(10))


def test_another_host_port_or_forwarded_header_does_not_start_a_new_count(
    clock, admin_user, tried
):
    for number in range(14):
        host = ("localhost", "testserver")[number % 2]
        guess(
            number=number,
            HTTP_HOST=f"{host}:{9000 + number}",
            HTTP_X_FORWARDED_FOR=f"192.0.2.{number}",
        )
    assert tried == {"admin": 10}


def test_refused_attempts_do_not_prolong_the_wait(clock, admin_user):
    for number in range(10):
        guess(number=number)
    for number in range(14):
        clock.shift(timedelta(minutes=1))
        assert b"Too many tries." in guess(password="password", number=100 + number).content
    clock.shift(timedelta(minutes=1, seconds=1))
    assert is_in(guess(password="password", number=200))


def test_the_right_password_is_not_counted(clock, admin_user):
    for number in range(12):
        assert is_in(guess(password="password", number=number))


def test_attempts_at_others_do_not_count(clock, admin_user):
    for number in range(12):
        guess("somebody", number=number)
    assert is_in(guess(password="password", number=99))


def test_an_address_has_fifty_attempts(clock, admin_user, tried):
    for number in range(52):
        if number % 26 == 0:
            clock.shift(timedelta(minutes=1, seconds=1))  # else the page itself is refused
        guess(f"name {number}")
    assert sum(tried.values()) == 50
    assert not is_in(guess(password="password"))
    assert is_in(guess(password="password", number=1))
    clock.shift(timedelta(minutes=15))
    assert is_in(guess(password="password"))


def test_an_address_may_post_the_page_thirty_times_a_minute(clock, admin_user):
    answers = [guess(f"name {number}").status_code for number in range(31)]
    assert answers[-1] == 429
    assert set(answers[:30]) == {200}


def test_the_limit_is_in_the_audit_log(clock, admin_user):
    for number in range(11):
        guess(number=number)
    refused = latest_event("login_failed")
    assert (refused.user, refused.result, refused.reason) == ("admin", "refused", "Too many tries")


def test_reauthentications_and_password_changes_count_too(clock, admin_client, tried):
    new = {"password1": "a b c 8 9 d", "password2": "a b c 8 9 d"}
    for _ in range(6):
        clock.shift(timedelta(seconds=20))
        admin_client.post("/admin/account/reauthenticate/", {"password": "wrong"})
        admin_client.post("/admin/account/password/", {"oldpassword": "wrong", **new})
    assert tried == {"admin": 10}
    refused = admin_client.post("/admin/account/password/", {"oldpassword": "password", **new})
    assert b"Too many tries." in refused.content
    clock.shift(timedelta(minutes=13, seconds=21))
    changed = admin_client.post("/admin/account/password/", {"oldpassword": "password", **new})
    assert changed.url == LOGIN


def test_the_password_change_may_be_posted_ten_times(clock, admin_client):
    answers = [
        admin_client.post("/admin/account/password/", {"oldpassword": ""}).status_code
        for _ in range(11)
    ]
    assert answers == [*[200] * 10, 429]


def test_the_count_is_shared_by_all_machines(clock, admin_user):
    guess()
    # Of the person and of the address.
    assert sum("login_failed" in key for key in cache_keys()) == 2


def test_a_password_typed_as_a_name_can_not_be_guessed_from_the_cache_key(clock, admin_user):
    guess("my-password-1")
    keys = "".join(cache_keys())
    for text in ("my-password-1", "password:my-password-1"):
        assert hashlib.sha256(text.encode()).hexdigest() not in keys
