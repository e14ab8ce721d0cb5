"""A passkey in a real browser, whose device is made of software, under the real policies."""

import pytest

from tests.support.browser import IN_BROWSER, give_password

pytestmark = IN_BROWSER


@pytest.fixture
def reader(page):
    """What stands in for a fingerprint reader."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    def let(is_right_person):
        session.send(
            "WebAuthn.setUserVerified",
            {"authenticatorId": made["authenticatorId"], "isUserVerified": is_right_person},
        )

    return let


def test_a_passkey_is_added_proves_presence_and_signs_in(reader, person):
    page, home = person, person.url
    page.locator(".user-button").click()
    page.get_by_role("link", name="Second step").click()
    page.get_by_role("link", name="Add one").click()
    give_password(page)
    page.get_by_label("By itself, without user name and password").check()
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_text("Write them down now").wait_for()

    page.goto(f"{home}account/mfa/webauthn/reauthenticate/?next=/admin/bin/")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{home}bin/")

    page.locator(".user-button").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    reader(is_right_person=False)
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_text("The browser gave no passkey.").wait_for()
    reader(is_right_person=True)
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(home)

    page.goto(f"{home}account/mfa/totp/activate/")
    page.get_by_role("link", name="Use a passkey").click()
    page.get_by_role("button", name="Use a passkey").click()
    picture = page.get_by_alt_text("QR code of the secret below")
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
