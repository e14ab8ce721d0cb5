"""What people come for, each from its beginning to its end in a real browser, under the real
policies: `person` fails where the console of the browser or the policy complains.
"""

import json
from datetime import timedelta
from pathlib import Path

from django.urls import reverse
from playwright.sync_api import expect

from connections.models import ConnectionAuth
from tests.support.browser import IN_BROWSER, give_password, go, rows
from tests.support.helpers import FULL_AUTH, SECRET, cast, import_text, make

pytestmark = IN_BROWSER
LIST = reverse("admin:connections_connectionauth_changelist")
PEM = f"-----BEGIN PRIVATE KEY-----\r\n{SECRET}\r\n  -----END PRIVATE KEY-----\n"


def test_import_with_refusals(person, tmp_path):
    page = person
    entries = [{"id": f"c{n}", "auth": {"name": f"N{n}", "key": SECRET}} for n in range(12)]
    file = tmp_path / "estate.json"
    file.write_text(json.dumps([*entries, {"accessToken": 5}, {"id": "c3", "auth": FULL_AUTH}]))

    go(page, "Import")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Check it").click()
    expect(page.get_by_role("heading", name="Check before it is stored")).to_be_visible()
    refused = page.locator("section", has=page.get_by_role("heading", name="Refused"))
    expect(refused.get_by_text("wrong_type")).to_be_visible()
    assert refused.locator("tbody tr").count() == 3  # of two records with one id, both
    assert not ConnectionAuth.objects.exists()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the report").click()
    report = Path(download.value.path()).read_text()
    said = [json.loads(line) for line in report.splitlines()]
    assert {line["code"] for line in said if line["level"] == "error"} == {
        "wrong_type",
        "same_id_twice",
    }
    assert SECRET not in report + page.content()

    page.get_by_role("button", name="Import 11: create 11, update 0").click()
    expect(page.get_by_role("heading", name="Imported, with refusals")).to_be_visible()
    assert page.locator(".verdicts .figure").all_inner_texts() == ["11", "0", "0", "0", "3"]
    page.get_by_role("link", name="See the connections").click()
    expect(rows(page)).to_have_count(11)


def test_find_what_breaks_this_week(person):
    page = person
    cast()
    make(
        name="Renewed Ltd",
        access_token=SECRET,
        refresh_token=SECRET,
        refresh_token_expires_date=ConnectionAuth.objects.get(name="Week Ltd").breaks_at,
    )
    go(page, "Dashboard")
    expect(page.get_by_role("heading", level=1)).to_contain_text("1 connection is broken")
    tile = page.get_by_label("Connections by the time they break").get_by_role(
        "link", name="7 days"
    )
    count = int(tile.locator(".figure").inner_text())
    assert count == 2
    tile.click()
    expect(rows(page)).to_have_count(count)
    expect(page.get_by_text("2 connections", exact=True)).to_be_visible()

    go(page, "Dashboard")
    person_needed = page.get_by_role("region", name="Needs a person")
    person_needed.get_by_role("link", name="See all 3").click()
    expect(rows(page)).to_have_count(3)
    page.get_by_role("link", name="Week Ltd").click()
    expect(page.get_by_role("heading", level=1, name="Week Ltd")).to_be_visible()
    expect(page.get_by_text("It breaks in 2 days")).to_be_visible()
    expect(page.get_by_text("Paste a new API key")).to_be_visible()
    page.get_by_role("link", name="Previous connection").click()
    expect(page.get_by_role("heading", level=1, name="Day Ltd")).to_be_visible()


def test_correct_a_record(person):
    page = person
    record = make(name="Acorm Ltd", access_token=SECRET, api_url="https://api.example.com")
    make(name="Other Ltd", key=SECRET)
    page.keyboard.press("/")
    page.keyboard.type("acorm")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("link", name="Acorm Ltd").click()

    page.locator("#id_name").fill("Acorn Ltd")
    page.locator("#id_api_url").fill("ftp://api.example.com")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".field-api_url .errorlist")).to_be_visible()
    record.refresh_from_db()
    assert record.name == "Acorm Ltd"

    page.locator("#id_api_url").fill("https://api.example.com")
    page.locator(".field-access_token summary").click()
    page.locator("#id_access_token").fill(PEM)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".message")).to_contain_text(
        "Saved Acorn Ltd. Changed: name, accessToken."
    )
    record.refresh_from_db()
    assert (record.name, record.access_token.reveal()) == ("Acorn Ltd", PEM.replace("\r", ""))
    go(page, "Connections")
    page.get_by_role("link", name="Acorn Ltd").click()
    history = page.locator("section", has=page.get_by_role("heading", name="History"))
    expect(history.get_by_text("accessToken").first).to_be_visible()
    assert SECRET not in page.content()


def to_the_reason(page, record):
    """From the page of a record to the one that asks why its `pem` is wanted, present by then."""
    page.goto(page.url + f"connections/connectionauth/{record.pk}/change/")
    page.get_by_role("link", name="Reveal Certificate").click()
    give_password(page)
    expect(page.get_by_role("heading", name="Reveal the certificate?")).to_be_visible()


def reveal(page):
    """Its value, on a clock of the test's own."""
    page.get_by_label("Why do you need it?").fill("OPS-2318: their support asks")
    page.clock.install()
    page.get_by_role("button", name="Reveal", exact=True).click()
    expect(page.locator(".revealed")).to_be_visible()


def test_reveal(person):
    page, value = person, person.locator(".revealed")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    to_the_reason(page, make(name="Acorn Ltd", pem=PEM, access_token=SECRET))
    page.get_by_role("button", name="Reveal", exact=True).click()
    expect(page.get_by_text("Say why; the audit log keeps it.")).to_be_visible()
    assert SECRET not in page.content()

    reveal(page)
    assert value.evaluate("element => element.textContent") == PEM
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == PEM
    page.clock.run_for(20_000)  # besides the time that all this takes
    expect(value).to_be_visible()
    page.clock.run_for(10_000)
    expect(page.get_by_text("Sealed again.")).to_be_visible()
    assert SECRET not in page.content()

    go(page, "Audit log")
    expect(page.get_by_text("OPS-2318: their support asks")).to_be_visible()


def test_export_for_backup(person, tmp_path):
    page = person
    import_text([{"id": "full", "integration_type": "xero", "auth": FULL_AUTH}])
    cast()
    go(page, "Export")
    expect(page.get_by_role("heading", name="Export 8 connections")).to_be_visible()
    page.get_by_label("Included, in clear").check()
    page.get_by_role("button", name="Download").click()
    give_password(page)
    expect(page.get_by_label("Included, in clear")).to_be_checked()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    backup = tmp_path / "backup.json"
    download.value.save_as(backup)
    written = json.loads(backup.read_text())
    assert len(written) == 8
    assert next(entry for entry in written if entry.get("id") == "full")["auth"] == FULL_AUTH

    go(page, "Import")
    page.set_input_files("input[type=file]", backup)
    page.get_by_role("button", name="Check it").click()
    expect(page.get_by_role("button", name="Nothing to import")).to_be_disabled()
    assert page.locator(".verdicts .figure").all_inner_texts() == ["0", "0", "8", "0", "0"]


def test_find_a_leaked_secret(person):
    page = person
    leaked = f"{SECRET}-leaked"
    make(name="Leaky Ltd", access_token=leaked)
    make(name="Other Ltd", key=SECRET)
    go(page, "Find a secret")
    page.locator("textarea").fill(f" {leaked}\n")
    page.get_by_role("button", name="Find it").click()
    expect(page.get_by_role("heading", name="Found in 1 connection")).to_be_visible()
    expect(page.get_by_role("cell", name="accessToken")).to_be_visible()
    assert leaked not in page.content()

    page.get_by_role("link", name="Leaky Ltd").click()
    page.locator(".field-access_token summary").click()
    page.locator("#id_access_token").fill(f"{SECRET}-new")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved Leaky Ltd.")).to_be_visible()
    go(page, "Find a secret")
    page.locator("textarea").fill(leaked)
    page.get_by_role("button", name="Find it").click()
    expect(page.get_by_role("heading", name="Found nowhere")).to_be_visible()


def test_bin_and_restore(person):
    page = person
    make(name="Mistaken Ltd", key=SECRET, ends_in=timedelta(hours=-1))
    make(name="Other Ltd", key=SECRET)
    go(page, "Connections")
    page.get_by_role("link", name="Mistaken Ltd").click()
    page.get_by_role("link", name="Move to bin").click()
    page.get_by_role("button", name="Move it to the bin").click()
    expect(rows(page)).to_have_count(1)
    go(page, "Dashboard")
    expect(page.get_by_role("heading", level=1)).to_contain_text("No connection is broken")

    go(page, "Bin")
    page.get_by_role("button", name="Restore Mistaken Ltd").click()
    expect(page.get_by_text("Restored Mistaken Ltd.")).to_be_visible()
    go(page, "Dashboard")
    expect(page.get_by_role("heading", level=1)).to_contain_text("1 connection is broken")
    go(page, "Connections")
    expect(rows(page)).to_have_count(2)
    assert ConnectionAuth.objects.get(name="Mistaken Ltd").key.reveal() == SECRET
