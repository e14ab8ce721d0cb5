"""Second steps: apps, recovery codes, REQUIRE_MFA, and what is stored."""

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client

from connections.accounts import mfa
from connections.encryption import keyring
from connections.jobs import key_rotation
from connections.models import AccessEvent
from tests.support.helpers import latest_event
from tests.support.passkeys import SoftPasskey
from tests.support.sign_in import (
    ACCOUNT,
    CODE,
    LOGIN,
    SECRET,
    add_passkey,
    code,
    give_password,
    is_signed_in,
    prove,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
TOTP_PAGE = f"{ACCOUNT}/mfa/totp/activate/"


@pytest.fixture
def protected(client, admin_user):
    """The user admin, with an app for codes."""
    TOTP.activate(admin_user, SECRET)
    return admin_user


def wrong_code():
    return format_hotp_value((int(code()) + 1) % 10**6)


def give_code(client, given):
    return client.post(CODE, {"code": given})


@pytest.fixture
def proved(client, protected):
    """The client, signed in with both steps, and the password given once more."""
    give_password(client)
    give_code(client, code())
    prove(client)
    return client


def opens(given):
    """Whether a code signs in, after the password."""
    other = Client()
    give_password(other)
    give_code(other, given)
    return is_signed_in(other)


def shown_secret(page):
    return page.context["form"].secret


def test_the_password_alone_does_not_sign_in(client, protected):
    assert give_password(client).url == CODE
    for path in ("/admin/", "/admin/connections/connectionauth/", f"{ACCOUNT}/mfa/"):
        assert client.get(path).status_code == 302
    assert not AccessEvent.objects.filter(action="login").exists()


def test_password_and_code_sign_in(client, protected):
    give_password(client)
    assert give_code(client, code()).url == "/admin/"
    assert is_signed_in(client)
    assert latest_event("login").user == "admin"


def test_a_wrong_code_is_refused_and_audited(client, protected):
    give_password(client)
    refused = give_code(client, wrong_code())
    assert b"That code is wrong, or was used before." in refused.content
    assert not is_signed_in(client)
    failed = latest_event("login_failed")
    assert (failed.user, failed.reason, failed.result) == ("admin", "Wrong code", "failed")


def test_a_code_is_accepted_once(client, protected):
    give_password(client)
    give_code(client, code())
    other = Client()
    give_password(other)
    assert b"was used before" in give_code(other, code()).content


def test_codes_can_not_be_guessed(client, clock, protected):
    """10 tries, and then even the right one has to wait."""
    give_password(client)
    for _ in range(10):
        give_code(client, wrong_code())
    assert b"Too many tries." in give_code(client, code()).content
    clock.shift(timedelta(minutes=15, seconds=1))
    give_password(client)
    assert give_code(client, code()).url == "/admin/"


def test_the_code_page_needs_the_password_first(client, protected):
    assert client.get(CODE).url == LOGIN
    assert give_code(client, code()).url == LOGIN
    assert not is_signed_in(client)


def test_setting_up_an_app(client, admin_user, django_capture_on_commit_callbacks):
    give_password(client)
    assert client.get(TOTP_PAGE).url.startswith(f"{ACCOUNT}/reauthenticate/")
    prove(client)
    page = client.get(TOTP_PAGE)
    assert 'src="data:image/svg+xml;base64,' in page.text
    secret = shown_secret(page)
    assert f'id="secret" value="{secret}"' in page.text

    assert shown_secret(client.post(TOTP_PAGE, {"code": "000000"})) == secret
    with django_capture_on_commit_callbacks(execute=True):
        done = client.post(TOTP_PAGE, {"code": code(secret)})
    assert done.url == f"{ACCOUNT}/mfa/recovery-codes/"
    change = latest_event("change")
    assert (change.record_name, change.fields) == ("admin", ["second_factor"])

    other = Client()
    give_password(other)
    assert not is_signed_in(other)


def test_the_secret_is_never_in_the_database_in_clear(client, admin_user):
    give_password(client)
    prove(client)
    secret = shown_secret(client.get(TOTP_PAGE))
    for session in Session.objects.all():
        assert secret not in json.dumps(session.get_decoded())
    client.post(TOTP_PAGE, {"code": code(secret)})
    shown = client.get(f"{ACCOUNT}/mfa/recovery-codes/").text
    stored = json.dumps([*Authenticator.objects.values_list("data", flat=True)])
    for hidden in (secret, *re.findall(r"^\d{8}$", shown, re.M)):
        assert hidden not in stored
    for row in Authenticator.objects.all():
        assert keyring.key_id_for(row.data[mfa.SECRET_DATA_KEYS[row.type]])


def test_recovery_codes_are_shown_once_and_each_signs_in_once(proved, protected):
    RecoveryCodes.activate(protected)
    first, again = (proved.get(f"{ACCOUNT}/mfa/recovery-codes/").text for _ in range(2))
    codes = re.findall(r"\b\d{8}\b", first)
    assert len(codes) == 10
    assert not re.search(r"\b\d{8}\b", again)
    assert proved.get(f"{ACCOUNT}/mfa/recovery-codes/download/").status_code == 403
    assert [opens(codes[0]), opens(codes[0])] == [True, False]


def test_new_recovery_codes_replace_the_old(proved, protected):
    old = RecoveryCodes.activate(protected).generate_codes()
    proved.post(f"{ACCOUNT}/mfa/recovery-codes/generate/")
    assert not opens(old[0])


def test_removing_the_last_factor_removes_the_recovery_codes(proved, protected):
    RecoveryCodes.activate(protected)
    assert proved.post(f"{ACCOUNT}/mfa/totp/deactivate/").url == f"{ACCOUNT}/mfa/"
    assert not Authenticator.objects.exists()
    assert latest_event("change").reason.startswith("Removed")


# Other sessions


def set_up_app(client):
    prove(client)
    return client.post(TOTP_PAGE, {"code": code(shown_secret(client.get(TOTP_PAGE)))})


def set_up_passkey(client):
    prove(client)
    return add_passkey(client, SoftPasskey(User.objects.get()))


@pytest.mark.parametrize("set_up", [set_up_app, set_up_passkey])
@pytest.mark.parametrize("is_required", [False, True])
def test_setting_up_a_second_step_ends_the_other_sessions_of_the_user(
    client, admin_user, settings, set_up, is_required, django_capture_on_commit_callbacks
):
    thief, other = Client(), Client()
    for browser in (client, thief):
        give_password(browser)
    settings.REQUIRE_MFA = is_required
    with django_capture_on_commit_callbacks(execute=True):
        assert set_up(client).url == f"{ACCOUNT}/mfa/recovery-codes/"
    other.force_login(User.objects.create_user("bob", is_staff=True))
    settings.REQUIRE_MFA = False
    assert [is_signed_in(browser) for browser in (client, thief, other)] == [True, False, True]
    assert give_password(thief).url == CODE


# REQUIRE_MFA


@pytest.fixture
def required(settings):
    settings.REQUIRE_MFA = True


PLACES = ("/admin/", "/admin/import/", "/admin/audit/", "/admin/auth/user/", "/admin/no/such/")


def test_without_a_second_step_every_page_redirects_to_the_setup(client, admin_user, required):
    give_password(client)
    for path in PLACES:
        for method in (client.get, client.post):
            assert method(path).url == f"{ACCOUNT}/mfa/", path
    assert b"Set up a second step first." in client.get(f"{ACCOUNT}/mfa/").content
    for path in ("logout/", "mfa/totp/activate/", "mfa/webauthn/add/", "password/"):
        assert client.get(f"{ACCOUNT}/{path}").headers.get("Location") != f"{ACCOUNT}/mfa/"


def test_recovery_codes_alone_are_no_second_step(client, admin_user, required):
    RecoveryCodes.activate(admin_user)
    give_password(client)
    assert client.get("/admin/").url == f"{ACCOUNT}/mfa/"


def test_with_a_second_step_the_console_opens(required, proved):
    assert is_signed_in(proved)
    proved.post(f"{ACCOUNT}/mfa/totp/deactivate/")
    assert proved.get("/admin/").url == f"{ACCOUNT}/mfa/"


# Keys, and losing everything


def test_a_key_rotation_includes_second_steps(client, protected, settings):
    RecoveryCodes.activate(protected)
    settings.FERNET_KEYS = [keyring.generate_key(), *settings.FERNET_KEYS]
    assert key_rotation.old_key_usage().rows == 2
    assert key_rotation.rotate().rotated == 2
    assert key_rotation.old_key_usage().rows == 0
    give_password(client)
    assert give_code(client, code()).url == "/admin/"


def test_an_unreadable_second_step_is_no_server_error(client, protected):
    Authenticator.objects.update(data={"secret": "damaged"})
    (row,) = Authenticator.objects.all()
    assert key_rotation.rotate().unreadable_values == [("mfa.Authenticator", row.pk, "secret")]
    give_password(client)
    assert b"does not open with the keys that are set" in give_code(client, "123456").content


def test_reset_mfa_lets_a_user_in_with_the_password(client, protected):
    RecoveryCodes.activate(protected)
    out = StringIO()
    call_command("reset_mfa", "admin", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"removed": ["TOTP Authenticator", "Recovery codes"]}
    assert latest_event("change").fields == ["second_factor"]
    assert give_password(client).url == "/admin/"
    call_command("reset_mfa", "admin", stdout=out)
    assert out.getvalue().endswith("Removed: nothing, there was none.\n")
    with pytest.raises(CommandError, match="no user of that name"):
        call_command("reset_mfa", "nobody")
