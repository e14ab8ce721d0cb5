"""Passkeys: added, used after the password, and used alone."""

import json
from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import User
from django.test import Client

from connections.models import AccessEvent
from tests.support.helpers import latest_event
from tests.support.passkeys import SoftPasskey
from tests.support.sign_in import (
    ACCOUNT,
    CODE,
    LOGIN,
    SECRET,
    add_passkey,
    challenge_of,
    give_password,
    is_signed_in,
    prove,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
PASSKEY_LOGIN = f"{ACCOUNT}/mfa/webauthn/login/"


def sign_in_by_passkey(client, key, verified=True):
    asked = client.get(PASSKEY_LOGIN, HTTP_ACCEPT="application/json").json()
    answer = key.sign(challenge_of(asked["request_options"]), verified)
    return client.post(PASSKEY_LOGIN, {"credential": json.dumps(answer)})


def test_a_passkey_is_added_and_signs_in_by_itself(client, admin_user):
    give_password(client)
    prove(client)
    key = SoftPasskey(admin_user)
    assert add_passkey(client, key).status_code == 302
    assert b"My key" in client.get(f"{ACCOUNT}/mfa/webauthn/").content

    other = Client()
    assert sign_in_by_passkey(other, key).url == "/admin/"
    assert is_signed_in(other)


def test_a_passkey_is_a_second_step_after_the_password(client, admin_user):
    key = SoftPasskey(admin_user, alone=False)
    key.store()
    assert give_password(client).url == CODE
    options = client.get(CODE).context["js_data"]["request_options"]
    answer = json.dumps(key.sign(challenge_of(options)))
    assert client.post(CODE, {"credential": answer}).url == "/admin/"
    assert is_signed_in(client)


def test_an_answer_to_another_challenge_or_of_another_key_is_refused(client, admin_user):
    key = SoftPasskey(admin_user)
    key.store()
    client.get(PASSKEY_LOGIN, HTTP_ACCEPT="application/json")
    client.post(PASSKEY_LOGIN, {"credential": json.dumps(key.sign("AAAA"))})
    assert not is_signed_in(client)
    sign_in_by_passkey(client, SoftPasskey(admin_user))
    assert not is_signed_in(client)


def test_a_passkey_alone_has_to_verify_the_user(client, clock, admin_user):
    """A lost key must not be enough."""
    key = SoftPasskey(admin_user)
    key.store()
    sign_in_by_passkey(client, key, verified=False)
    assert not is_signed_in(client)
    # Nor with the challenge of the finder's own second step, which needs none, once that is over.
    finder = User.objects.create_user("finder", password="password", is_staff=True)
    TOTP.activate(finder, SECRET)
    client.post(LOGIN, {"login": "finder", "password": "password"})
    challenge = challenge_of(client.get(CODE).context["js_data"]["request_options"])
    clock.shift(timedelta(minutes=16))
    found = key.sign(challenge, verified=False)
    client.post(PASSKEY_LOGIN, {"credential": json.dumps(found)})
    assert not is_signed_in(client)


def test_a_refused_passkey_is_audited(client, admin_user):
    SoftPasskey(admin_user).store()
    wrong = SoftPasskey(admin_user)
    sign_in_by_passkey(client, wrong)
    failed = latest_event("login_failed")
    assert (failed.user, failed.reason, failed.result) == ("", "Passkey refused", "failed")
    give_password(client)
    challenge = challenge_of(client.get(CODE).context["js_data"]["request_options"])
    client.post(CODE, {"credential": json.dumps(wrong.sign(challenge))})
    failed = latest_event("login_failed")
    assert (failed.user, failed.reason, failed.result) == ("admin", "Passkey refused", "failed")
    assert AccessEvent.objects.filter(action="login_failed").count() == 2


@pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}])
def test_a_passkey_of_a_user_who_may_not_sign_in_is_refused(client, admin_user, change):
    key = SoftPasskey(admin_user)
    key.store()
    User.objects.update(**change)
    assert sign_in_by_passkey(client, key).url == f"{ACCOUNT}/inactive/"
    assert not is_signed_in(client)
    assert not AccessEvent.objects.filter(action="login").exists()
    refused = latest_event("login_failed")
    assert (refused.user, refused.reason, refused.result) == ("admin", "Switched off", "refused")


@pytest.mark.parametrize("nonsense", ["", "{}", "[]", "null", '{"response": {"userHandle": 5}}'])
def test_nonsense_in_place_of_a_passkey_is_refused(client, admin_user, nonsense):
    assert client.post(PASSKEY_LOGIN, {"credential": nonsense}).status_code < 500
    assert not is_signed_in(client)
