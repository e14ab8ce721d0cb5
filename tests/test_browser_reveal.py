"""Revealing a secret in a real browser: shown, copied, and gone again."""

import pytest
from playwright.sync_api import Error

from .helpers import SECRET, make
from .test_browser import (  # noqa: F401 (fixtures)
    browser_context_args,
    complaints,
    person,
    pytestmark,
)

PEM = f"-----BEGIN PRIVATE KEY-----\r\n{SECRET}\r\n  -----END PRIVATE KEY-----\n"


@pytest.fixture
def shown(person, live_server):  # noqa: F811
    """The page with the value, on a clock of the test's own."""
    record = make(name="Acorn Ltd", pem=PEM, access_token=SECRET)
    page, clock = person, person.clock
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.wait_for_url(f"{live_server.url}/admin/")
    page.goto(f"{live_server.url}/admin/connections/connectionauth/{record.pk}/change/")
    page.shoot("record-reveal")
    page.get_by_role("link", name="Reveal Certificate").click()
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Why do you need it?").fill("OPS-2318: their support asks")
    page.shoot("reveal")
    clock.install()
    page.get_by_role("button", name="Reveal", exact=True).click()
    page.locator(".revealed").wait_for()
    return page


def test_it_is_shown_copied_and_sealed_again(shown, complaints):  # noqa: F811
    page, value = shown, shown.locator(".revealed")
    assert value.evaluate("element => element.textContent") == PEM
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.shoot("revealed")
    assert page.evaluate("navigator.clipboard.readText()") == PEM
    page.clock.run_for(29_000)
    assert value.is_visible()
    page.clock.run_for(1000)
    page.get_by_text("Sealed again.").wait_for()
    page.shoot("sealed-again")
    assert SECRET not in page.content()
    assert complaints == []


def test_going_back_shows_nothing(shown):
    page = shown
    page.get_by_role("link", name="Back to the connection").click()
    page.get_by_role("heading", name="Acorn Ltd").wait_for()
    # Nothing was kept: the browser would have to send the form again, and asks first.
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        page.go_back()


def test_reloading_asks_again(shown, complaints):  # noqa: F811
    page = shown
    page.reload()
    page.get_by_text("A value is shown once.").wait_for()
    assert SECRET not in page.content()
    assert complaints == []
