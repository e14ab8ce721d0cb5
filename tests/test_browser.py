"""A person's main journey, in a real browser, under the real policies."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from connections import runs
from connections.models import ConnectionAuth

from .helpers import FULL_AUTH, SECRET

BUILD = Path(__file__).resolve().parent.parent / "build"
PEM = (
    "-----BEGIN PRIVATE KEY-----\nsynth line one\n  two with blanks  \n-----END PRIVATE KEY-----\n"
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
]


@pytest.fixture(params=["light", "dark"])
def browser_context_args(browser_context_args, request):
    return {
        **browser_context_args,
        "color_scheme": request.param,
        "viewport": {"width": 1360, "height": 900},
    }


@pytest.fixture
def complaints(page):
    """What the console and the policy complained about; must stay empty."""
    found = []
    page.on(
        "console",
        lambda message: message.type in ("error", "warning") and found.append(message.text),
    )
    page.on("pageerror", lambda error: found.append(str(error)))
    page.add_init_script(
        "addEventListener('securitypolicyviolation',"
        " event => console.error('CSP', event.violatedDirective))"
    )
    return found


@pytest.fixture
def person(page, live_server, admin_user, request, monkeypatch):
    """The page, logged in; `person.shoot(name)` leaves a picture under build/."""
    # A process of its own would not see the test's database (test_import_processes.py has that).
    monkeypatch.setattr(runs, "launch", lambda run: runs.work(run.pk))
    BUILD.mkdir(exist_ok=True)
    scheme = request.node.callspec.params["browser_context_args"]

    def shoot(name):
        page.screenshot(path=BUILD / f"{name}-{scheme}.png", full_page=True)

    page.shoot = shoot
    page.goto(f"{live_server.url}/admin/")
    shoot("login")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Sign in").click()
    return page


def file_of_connections(path):
    soon = datetime.now(timezone.utc) + timedelta(hours=3)
    entries = [
        {
            "id": f"c{number}",
            "integration_type": kind,
            "integration_name": kind.title(),
            "auth": {
                "name": f"{kind.title()} customer {number}",
                "accessToken": f"{SECRET}-{number}",
                "expiryDate": (soon + timedelta(days=number * 9)).isoformat(),
            },
        }
        for number, kind in enumerate(["xero", "hubspot", "salesforce"] * 4)
    ]
    entries.append({"id": "full", "integration_type": "xero", "auth": FULL_AUTH})
    entries.append({"accessToken": 5})
    path.write_text(json.dumps(entries))
    return path


def test_import_read_correct_export(person, complaints, tmp_path):
    page = person
    page.shoot("empty")
    assert page.get_by_text("No connections yet").is_visible()

    page.get_by_role("link", name="Import", exact=True).click()
    page.set_input_files("input[type=file]", file_of_connections(tmp_path / "connections.json"))
    page.get_by_role("button", name="Check it").click()
    page.get_by_role("heading", name="Check before it is stored").wait_for()
    assert page.get_by_text("wrong_type").is_visible()
    assert not ConnectionAuth.objects.exists()
    page.shoot("import-check")
    page.get_by_role("button", name="Import 13: create 13, update 0").click()
    page.get_by_role("heading", name="Imported, with refusals").wait_for()
    page.shoot("import-done")

    page.get_by_role("link", name="Dashboard").click()
    page.get_by_role("heading", name="No connection is broken and 1 breaks by tomorrow").wait_for()
    page.shoot("dashboard")
    page.get_by_role("link", name="24 hours").first.click()
    page.get_by_role("link", name="Xero customer 0").wait_for()
    assert page.locator("#result_list tbody tr").count() == 1
    page.shoot("list")

    page.get_by_role("link", name="Xero customer 0").click()
    page.get_by_label("Name", exact=False).first.fill("Corrected Ltd")
    page.locator(".field-access_token summary").click()
    page.locator("#id_access_token").fill(PEM)
    page.shoot("record")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved Corrected Ltd.").wait_for()
    assert page.locator(".message").inner_text().endswith("Changed: name, accessToken.")
    record = ConnectionAuth.objects.get(connection_id="c0")
    assert record.name == "Corrected Ltd"
    assert record.access_token.reveal() == PEM

    page.locator("main").get_by_role("link", name="Export", exact=True).click()
    page.get_by_role("link", name="Export all instead").click()
    page.get_by_label("Included, in clear").check()
    page.shoot("export")
    page.get_by_role("button", name="Download").click()
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Continue").click()
    assert page.get_by_label("Included, in clear").is_checked()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    written = json.loads(Path(download.value.path()).read_text())
    assert len(written) == 13
    assert written[0]["auth"]["accessToken"] == PEM
    assert next(entry for entry in written if entry["id"] == "full")["auth"] == FULL_AUTH
    assert complaints == []
