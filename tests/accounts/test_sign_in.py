"""Signing in and out, who may do so, and what a password change ends."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import NoReverseMatch, reverse

from connections.models import AccessEvent
from project.middleware import trusted_proxies
from tests.support.helpers import latest_event

pytestmark = pytest.mark.django_db

LOGIN = "/admin/account/login/"
CHANGE = "/admin/account/password/"
INSIDE = "/admin/bin/"
NEW = {"password1": "a b c 8 9 d", "password2": "a b c 8 9 d"}


def sign_in(client, password="password", name="admin"):
    return client.post(f"{LOGIN}?next={INSIDE}", {"login": name, "password": password})


def test_anonymous_users_are_redirected_to_the_login_and_back(client, admin_user):
    led = client.get(INSIDE, follow=True)
    assert led.redirect_chain[-1][0] == f"{LOGIN}?next=/admin/bin/"
    assert b'name="next" value="/admin/bin/"' in led.content
    assert sign_in(client).url == INSIDE
    assert client.get(INSIDE).status_code == 200


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_it_redirects_to_no_other_host(client, admin_user, elsewhere):
    filled = {"login": "admin", "password": "password", "next": elsewhere}
    assert client.post(LOGIN, filled).url == "/admin/"


def test_the_login_of_the_admin_takes_no_password(client, admin_user):
    tried = client.post("/admin/login/", {"username": "admin", "password": "password"})
    assert tried.url.startswith(LOGIN)
    assert "_auth_user_id" not in client.session
    assert client.get("/admin/password_change/").url.startswith("/admin/login/")


def test_the_other_pages_of_the_admin_lead_to_ours(admin_client):
    assert admin_client.get("/admin/login/").url == "/admin/"
    assert admin_client.get("/admin/password_change/").url == CHANGE
    led = admin_client.post("/admin/logout/")
    assert (led.status_code, led.url) == (307, "/admin/account/logout/")


def test_signing_out_asks_and_then_ends_the_session(admin_client):
    assert b"Sign out?" in admin_client.get("/admin/account/logout/").content
    assert "_auth_user_id" in admin_client.session
    signed_out = admin_client.post("/admin/account/logout/", follow=True)
    assert b"You are signed out." in signed_out.content
    assert "_auth_user_id" not in admin_client.session


@pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}])
def test_inactive_users_and_those_who_are_not_staff_are_refused(client, admin_user, change):
    sign_in(client)
    assert client.get("/admin/").status_code == 200
    User.objects.update(**change)
    assert client.get("/admin/").status_code == 302
    refused = sign_in(Client())
    assert b"do not go together" in refused.content


def test_an_unknown_name_and_a_wrong_password_look_the_same(client, admin_user):
    answers = [sign_in(client, name="nobody"), sign_in(client, password="wrong")]
    shown = [b"That user name and password do not go together." in a.content for a in answers]
    assert shown == [True, True]


def test_the_page_never_sends_a_password_back(client, admin_user):
    assert b"mistyped" not in sign_in(client, password="mistyped").content


def test_there_is_neither_sign_up_nor_e_mail(client):
    for name in ("account_signup", "account_email", "account_reset_password"):
        with pytest.raises(NoReverseMatch):
            reverse(name)
    for path in ("signup/", "email/", "password/reset/", "login/code/confirm/"):
        led = client.get(f"/admin/account/{path}", follow=True)
        assert led.redirect_chain[-1][0].startswith(LOGIN)


def test_a_changed_password_ends_all_sessions(client, admin_user):
    other = Client()
    sign_in(other), sign_in(client)
    changed = client.post(CHANGE, {"oldpassword": "password", **NEW}, follow=True)
    assert b"Your password is changed" in changed.content
    for one in (client, other):
        assert one.get(INSIDE).status_code == 302
    assert b"do not go together" in sign_in(client).content
    assert sign_in(client, "a b c 8 9 d").url == INSIDE


def test_a_password_that_an_administrator_sets_ends_that_persons_sessions(admin_client):
    bob = User.objects.create_user("bob", password="before", is_staff=True)
    client = Client()
    sign_in(client, "before", "bob")
    assert client.get("/admin/").status_code == 200
    address = reverse("admin:auth_user_password_change", args=[bob.pk])
    new = {**NEW, "usable_password": "true", "set-password": "1"}
    assert admin_client.post(address, new).status_code == 302
    assert client.get("/admin/").status_code == 302


def test_a_password_manager_is_told_whose_password_changes(admin_client):
    page = admin_client.get(CHANGE).content.decode()
    assert '<input type="text" value="admin" autocomplete="username" hidden>' in page


def test_changing_it_needs_the_old_one(admin_client, admin_user):
    refused = admin_client.post(CHANGE, {"oldpassword": "wrong", **NEW})
    assert b"That is not your password." in refused.content
    admin_user.refresh_from_db()
    assert admin_user.check_password("password")


def test_ones_own_password_is_changed_on_one_page_only(admin_client, admin_user):
    """The page for the passwords of others does not ask for the old one."""
    address = reverse("admin:auth_user_password_change", args=[admin_user.pk])
    other_spelling = address.replace(f"/{admin_user.pk}/", f"/0{admin_user.pk}/")
    for url in (address, other_spelling):
        for answer in (admin_client.get(url), admin_client.post(url, {"password1": "x"})):
            assert answer.url == CHANGE


def test_a_user_whose_password_is_switched_off_can_not_set_one(admin_client, admin_user):
    admin_user.set_unusable_password()
    admin_user.save()
    admin_client.force_login(admin_user)
    assert admin_client.get(CHANGE).url == "/admin/account/password/set/"
    for method in (admin_client.get, admin_client.post):
        assert method("/admin/account/password/set/").url == "/admin/account/mfa/"


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        # The first is what the client says.
        ("10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        # If a mapped address counted as IPv6, all of IPv4 would be one network with common limits.
        ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:192.0.2.1", "::ffff:203.0.113.9", "192.0.2.1"),
    ],
)
def test_the_address_behind_trusted_proxies(settings, rf, peer, forwarded, address):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    request = rf.get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    trusted_proxies(lambda request: None)(request)
    assert request.META["REMOTE_ADDR"] == address


def test_a_forwarded_address_of_others_is_ignored(settings, rf):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    request = rf.get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="203.0.113.9")
    trusted_proxies(lambda request: None)(request)
    assert request.META["REMOTE_ADDR"] == "192.0.2.1"
    assert "HTTP_X_FORWARDED_FOR" not in request.META


def test_no_entry_of_the_audit_log_holds_a_password(client, admin_user):
    sign_in(client, password="synth-SECRET-typed")
    sign_in(client, name="synth-SECRET-typed")
    failed = latest_event("login_failed")
    assert (failed.user, failed.result) == ("", "failed")
    assert "synth-SECRET" not in str([event.as_dict() for event in AccessEvent.objects.all()])
