"""The page of a connection in a real browser: its JSON in both spellings, copied, and no fault."""

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from connections.audit import log
from tests.browser.test_every_page import AXE_SCRIPT, FINDINGS
from tests.expiry.test_deadlines import certificate
from tests.expiry.test_token_facts import TOKEN
from tests.support.browser import IN_BROWSER
from tests.support.helpers import SECRET, make

pytestmark = IN_BROWSER


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_spelled_and_copied(person, live_server, scheme):
    now = timezone.now()
    record = make(
        name="Acorn Ltd",
        access_token=TOKEN,
        refresh_token=SECRET,
        pem=certificate(now + timedelta(days=90)),
        refresh_token_expires_date=now + timedelta(days=3),
    )
    make(name="Before Ltd", key=SECRET, ends_in=timedelta(days=2))
    log.log_event("reveal", record=record, user="jonas", fields=["pem"], reason="OPS-2291: asked")
    page = person
    page.emulate_media(color_scheme=scheme)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(
        live_server.url + reverse("admin:connections_connectionauth_change", args=[record.pk])
    )
    page.get_by_role("img", name="Refresh token ends").wait_for()

    page.get_by_title("As a table").click()
    assert page.get_by_role("rowheader", name="Refresh token").is_visible()

    shown = page.get_by_label("API JSON, camel")
    assert shown.is_visible()
    page.get_by_role("radio", name="snake").check()
    assert not shown.is_visible()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["auth"]["refresh_token"] == "********"

    page.evaluate(AXE_SCRIPT)
    assert page.evaluate(FINDINGS) == []
    page.get_by_role("link", name="Previous connection").click()
    page.get_by_role("heading", name="Before Ltd").wait_for()
