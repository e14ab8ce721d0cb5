"""Reauthentication: required before what matters, valid for five minutes."""

import json
from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.sessions.models import Session
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.urls import include, path

from connections.accounts.reauthentication import reauthentication_required
from tests.support.passkeys import SoftPasskey
from tests.support.sign_in import ACCOUNT, SECRET, challenge_of, code

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("clock")]
ASKS = f"{ACCOUNT}/reauthenticate/"


@reauthentication_required
def act(request, name):
    return HttpResponse(f"did {name}")


urlpatterns = [path("admin/act/<name>/", act), path("", include("project.urls"))]


def asked(response):
    return response.status_code == 302 and response.url.startswith(ASKS)


def test_the_view_runs_for_five_minutes_after_a_reauthentication(admin_client, clock):
    assert asked(admin_client.post("/admin/act/a/"))
    proved = admin_client.post(f"{ASKS}?next=/admin/act/a/", {"password": "password"})
    assert proved.url == "/admin/act/a/"
    assert admin_client.post("/admin/act/a/").content == b"did a"
    clock.shift(timedelta(seconds=299))
    assert admin_client.post("/admin/act/a/").content == b"did a"
    clock.shift(timedelta(seconds=1))
    assert asked(admin_client.post("/admin/act/a/"))


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "head", "options"])
def test_it_holds_for_every_method(admin_client, method):
    assert asked(getattr(admin_client, method)("/admin/act/a/"))


def test_the_user_is_redirected_back_to_the_view(admin_client):
    asking = admin_client.get("/admin/act/b/?page=2")
    assert asking.url == f"{ASKS}?next=%2Fadmin%2Fact%2Fb%2F%3Fpage%3D2"
    page = admin_client.get(asking.url).content.decode()
    assert 'name="next" value="/admin/act/b/?page=2"' in page
    proof = {"password": "password", "next": "/admin/act/b/?page=2"}
    back = admin_client.post(ASKS, proof, follow=True)
    assert back.content == b"did b"


def test_posted_data_is_not_kept(admin_client):
    admin_client.post("/admin/act/a/", {"reason": "synth-SECRET"})
    admin_client.post(f"{ACCOUNT}/mfa/totp/activate/", {"code": "synth-SECRET"})
    for session in Session.objects.all():
        assert "synth-SECRET" not in json.dumps(session.get_decoded())


def test_a_wrong_password_is_refused(admin_client):
    refused = admin_client.post(ASKS, {"password": "wrong"})
    assert b"That is not your password." in refused.content
    assert asked(admin_client.post("/admin/act/a/"))


def test_signing_in_is_no_reauthentication(client, admin_user):
    client.post(f"{ACCOUNT}/login/", {"login": "admin", "password": "password"})
    assert asked(client.post("/admin/act/a/"))


def test_a_reauthentication_ends_with_the_session(admin_client, client, admin_user):
    admin_client.post(ASKS, {"password": "password"})
    admin_client.post(f"{ACCOUNT}/logout/")
    admin_client.force_login(admin_user)
    assert asked(admin_client.post("/admin/act/a/"))


def test_a_code_reauthenticates(admin_client, admin_user):
    TOTP.activate(admin_user, SECRET)
    page = admin_client.get(ASKS).content.decode()
    assert f'href="{ACCOUNT}/mfa/reauthenticate/"' in page
    admin_client.post(f"{ACCOUNT}/mfa/reauthenticate/", {"code": code()})
    assert admin_client.post("/admin/act/a/").content == b"did a"


def test_a_passkey_reauthenticates(admin_client, admin_user):
    key = SoftPasskey(admin_user)
    key.store()
    address = f"{ACCOUNT}/mfa/webauthn/reauthenticate/"
    options = admin_client.get(address).context["js_data"]["request_options"]
    admin_client.post(address, {"credential": json.dumps(key.sign(challenge_of(options)))})
    assert admin_client.post("/admin/act/a/").content == b"did a"


def test_a_user_without_any_method_is_not_reauthenticated(rf, admin_user, client):
    admin_user.set_unusable_password()
    admin_user.save()
    client.force_login(admin_user)
    request = rf.post("/admin/act/a/")
    request.user, request.session = admin_user, client.session
    with pytest.raises(PermissionDenied):
        act(request, "a")
