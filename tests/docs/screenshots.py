"""`make screenshots`: a picture of every page of the console, under docs/screenshots.

This is not a test, and is only collected when named. It runs as one since the tests have what it
needs: a database and keys of their own, a live server, a browser. The time and the data are always
the same, so a picture only changes when its page does.
"""

import io
import json
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
import time_machine
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import Group, User
from django.template.loader import render_to_string
from django.urls import reverse
from PIL import Image

from connections.audit import log
from connections.encryption import keyring
from connections.import_export import importer
from connections.jobs import runs
from connections.json_format.issues import Issue
from connections.management import demo
from connections.models import ConnectionAuth, ImportRun, SavedView, StoredKey
from connections.records import daily_counts, recycle_bin
from tests.support.browser import IN_BROWSER

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
NOW = datetime(2026, 11, 24, 8, 4, tzinfo=timezone.utc)  # 09:04 in Berlin
DAY = timedelta(days=1)
CONNECTION_COUNT = 4212
NAME = "Bluepeak Logistics"  # the connection whose pages are shown
PASSWORD = "synth-picture-pass-9"
MAX_HEIGHT = 1500  # px; what is below repeats what is above
LIST = reverse("admin:connections_connectionauth_changelist")

pytestmark = IN_BROWSER


@pytest.fixture
def browser_context_args(browser_context_args):
    return {
        **browser_context_args,
        "color_scheme": "light",
        "reduced_motion": "reduce",
        "timezone_id": "Europe/Berlin",
        "viewport": {"width": 1360, "height": 900},
    }


class Camera:
    """Opens pages as the user who is signed in, always at NOW, and takes their pictures."""

    def __init__(self, page, origin, clock):
        self.page, self.origin, self.clock = page, origin, clock

    def go(self, path):
        self.clock.move_to(NOW)
        self.page.goto(self.origin + path)

    def see(self, name, path, **how):
        self.go(path)
        self.take(name, **how)

    def take(self, name, *, dark=False, phone=False, max_height=MAX_HEIGHT):
        """Take a picture of the open page; `dark` and `phone` add one each."""
        self._take(name, max_height)
        if dark:
            self.page.emulate_media(color_scheme="dark")
            self._take(f"{name}-dark", max_height)
            self.page.emulate_media(color_scheme="light")
        if phone:
            self.page.set_viewport_size({"width": 390, "height": 844})
            self._take(f"{name}-phone", max_height)
            self.page.set_viewport_size({"width": 1360, "height": 900})

    def _take(self, name, max_height):
        page, window = self.page, self.page.viewport_size
        page.wait_for_load_state("networkidle")
        page.mouse.move(0, 0)
        # As tall as the page, so that what is fixed to the window's edge is at its end.
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({**window, "height": height})
        clip = {"x": 0, "y": 0, "width": window["width"], "height": min(height, max_height)}
        shot = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
        page.set_viewport_size(window)
        reduce_colours(shot).save(PICTURES / f"{name}.png", optimize=True)

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()


def reduce_colours(picture):
    """The picture in its 256 most frequent colours: only the edges of letters change."""
    counted = sorted(picture.getcolors(picture.width * picture.height), reverse=True)
    common = [colour for _, colour in counted[:256]]
    number = {colour: position for position, colour in enumerate(common)}
    for _, colour in counted[256:]:
        number[colour] = number[min(common, key=partial(distance, colour))]
    few = Image.new("P", picture.size)
    few.putpalette([part for colour in common for part in colour])
    few.putdata([number[colour] for colour in picture.get_flattened_data()])
    return few


def distance(one, other):
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=True) as clock:
        yield clock


@pytest.fixture
def store(clock, at_once, settings):
    """A console that has been in use for six weeks."""
    settings.FERNET_KEYS = [keyring.generate_key()]
    StoredKey.objects.all().delete()
    clock.move_to(NOW - 41.5 * DAY)
    keyring.require_keys()
    mara = create_user("mara", "Mara Okafor", is_superuser=True)
    for name, full_name, group in (
        ("jonas", "Jonas Lindqvist", "Custodian"),
        ("priya", "Priya Raman", "Operator"),
        ("tomas", "Tomás Ferreira", "Auditor"),
        ("nightly", "", "Viewer"),
    ):
        create_user(name, full_name).groups.add(Group.objects.get(name=group))
    clock.move_to(NOW - 11.2 * DAY)
    demo.seed(CONNECTION_COUNT, NOW)
    views = (
        ("Needs a person this week", "needs=person", True),
        ("HubSpot production", "integration=hubspot&environment=Production", True),
        ("Paused", "paused=1", False),
    )
    for name, query, is_shared in views:
        SavedView.objects.create(user=mara, name=name, query=query, is_shared=is_shared)
    clock.move_to(NOW - 6.4 * DAY)
    log.log_event("export", user=mara, count=CONNECTION_COUNT - 22, reason="secrets: include")
    clock.move_to(NOW - DAY)
    daily_counts.store_today(NOW - DAY)
    return mara


def create_user(name, full_name, **fields):
    first, _, last = full_name.partition(" ")
    return User.objects.create_user(
        name, password=PASSWORD, first_name=first, last_name=last, is_staff=True, **fields
    )


@pytest.fixture
def camera(page, live_server, clock, store):
    PICTURES.mkdir(exist_ok=True)
    return Camera(page, live_server.url, clock)


def import_entries():
    """Entries of a typical import: some stored already, some changed, some new, some odd."""
    made = [
        demo.entry(number, NOW) for number in range(CONNECTION_COUNT - 60, CONNECTION_COUNT + 40)
    ]
    renewed = [entry for entry in made[:60] if entry["auth"].get("refresh_token")]
    for number, entry in enumerate(renewed[:14]):
        entry["updated_at"] = NOW.isoformat()
        entry["auth"] |= {
            "access_token": f"synth-renewed-{number}",
            "expiry_date": (NOW + number * DAY).isoformat(),
            "refresh_token_expires_date": (NOW + number**2 * DAY).isoformat(),
        }
    for position, change in (
        (63, {"expiry_date": "next week"}),
        (66, {"access_token": 5}),
        (71, {"refresh_token_expires_in": "soon"}),
        (74, {"pem": "x" * 200_000}),
        (80, {"expiry_date": "2027-01-31T12:00:00"}),
        (82, {"tenant_region": "eu"}),
        (83, {"tenant_region": "us"}),
    ):
        made[position]["auth"] |= change
    made[85]["auth"]["key"] = made[86]["auth"]["key"] = "synth-key-of-two-connections"
    return made


def test_take_all_pictures(camera, store, tmp_path, monkeypatch):
    take_sign_in(camera)
    take_list(camera)
    take_connection(camera)
    take_import(camera, store, tmp_path, monkeypatch)
    camera.see("dashboard", "/admin/", dark=True, phone=True, max_height=2700)
    take_other_pages(camera, store)
    take_account(camera, store, monkeypatch)
    take_errors(camera)


def take_sign_in(camera):
    camera.see("login", "/admin/account/login/", dark=True, phone=True)
    page = camera.page
    page.get_by_label("User name").fill("mara")
    page.get_by_label("Password").fill(PASSWORD)
    camera.press("Sign in")
    page.wait_for_url("**/admin/")
    camera.see("confirm-it-is-you", "/admin/account/reauthenticate/?next=/admin/")
    page.get_by_label("Password").fill(PASSWORD)
    camera.press("Continue")
    page.wait_for_url("**/admin/")


def take_list(camera):
    page = camera.page
    camera.see("list", LIST, dark=True, phone=True)
    page.locator("#action-toggle").check()
    page.get_by_label(f"All {CONNECTION_COUNT:,} that match").check()
    camera.take("list-selection", phone=True)
    camera.press("Pause…")
    page.get_by_role("heading", name="What would change").wait_for()
    camera.take("change-preview")
    camera.press("Change nothing")
    camera.go(LIST)
    for box in page.locator("[name=_selected_action]").all()[3:9]:
        box.check()
    camera.press("Set environment…")
    page.get_by_label("Environment").fill("Sandbox")
    camera.press("See what would change")
    page.locator(".savebar .button.primary").click()
    page.get_by_role("button", name="Undo this change").wait_for()
    camera.take("change-done")
    camera.see("list-nothing", f"{LIST}?q=nothing+of+that+name")
    camera.see("views", reverse("admin:connections_views"))
    camera.see("integrations", reverse("admin:connections_integration_changelist"))


def take_connection(camera):
    page = camera.page
    camera.go(f"{LIST}?bucket=stale&integration=docusign")
    page.locator("#result_list tbody th a").nth(2).click()
    page.get_by_label("Name", exact=False).first.fill(NAME)
    camera.press("Save and continue")
    page.get_by_text(f"Saved {NAME}").wait_for()
    record = page.url
    page.get_by_role("link", name="Reveal Client secret").click()
    page.get_by_label("Why do you need it?").fill("OPS-2291: their support asks for the end")
    camera.take("reveal")
    page.clock.install()
    camera.press("Reveal")
    page.locator(".revealed").wait_for()
    camera.take("revealed")
    path = record.removeprefix(camera.origin)
    camera.see("record", path, dark=True, phone=True, max_height=2700)
    pk = ConnectionAuth.objects.get(name=NAME).pk
    for name, address in (
        ("record-history", "admin:connections_connectionauth_history"),
        ("record-versions", "admin:connections_connectionauth_versions"),
        ("record-delete", "admin:connections_connectionauth_delete"),
    ):
        camera.see(name, reverse(address, args=[pk]))
    camera.see("record-add", f"{LIST}add/")


def take_import(camera, mara, tmp_path, monkeypatch):
    page, path = camera.page, tmp_path / "connections-november.json"
    path.write_text(json.dumps(import_entries()))
    camera.see("import", reverse("admin:connections_import"))
    page.set_input_files("input[type=file]", path)
    camera.press("Check it")
    page.get_by_role("heading", name="Check before it is stored").wait_for()
    camera.take("import-check", dark=True, phone=True)
    page.locator(".savebar .button.primary").click()
    page.get_by_role("heading", name="Imported, with refusals").wait_for()
    camera.take("import-done")
    monkeypatch.setattr(runs, "launch", stop_half_way)
    camera.go(reverse("admin:connections_import"))
    path.write_text(
        json.dumps([demo.entry(CONNECTION_COUNT + number, NOW) for number in range(2000)])
    )
    page.set_input_files("input[type=file]", path)
    camera.press("Check it")
    page.locator(".savebar .button.primary").click()
    page.locator("progress").wait_for()
    camera.take("import-progress", dark=True)
    camera.see("import-history", reverse("admin:connections_import_history"))
    ImportRun.objects.filter(status="running").delete()


def stop_half_way(run):
    """In place of the process that runs an import: it is half done, and running."""
    result = importer.ImportResult(
        created=812, updated=196, unchanged=240, rejected=2, seconds=6.6
    )
    issues = [
        Issue("wrong_type.number", "auth.refresh_token_expires_in", record=1204).as_stored(),
        Issue("too_long.bytes", "auth.pem", record=377).as_stored(),
    ]
    ImportRun.objects.filter(pk=run.pk).update(
        started_at=NOW - timedelta(seconds=9),
        heartbeat_at=NOW + DAY,
        done=1250,
        total=2000,
        result=result.as_stored(issues),
    )


def take_other_pages(camera, mara):
    page = camera.page
    camera.see("export", reverse("admin:connections_export"))
    camera.see("find-secret", reverse("admin:connections_find_secret"))
    page.locator("textarea").fill(ConnectionAuth.objects.get(name=NAME).client_secret.reveal())
    camera.press("Find it")
    page.get_by_role("heading", name="Found in 1 connection").wait_for()
    camera.take("find-secret-result")
    camera.see("shared-secrets", reverse("admin:connections_shared_secrets"))
    some = (
        ConnectionAuth.objects.in_bucket("broken").order_by("pk").values_list("pk", flat=True)[:4]
    )
    camera.clock.move_to(NOW - 2.1 * DAY)
    recycle_bin.move(ConnectionAuth.objects.filter(pk__in=list(some)), mara)
    camera.see("bin", reverse("admin:connections_bin"))
    camera.see("changes", reverse("admin:connections_changes"))
    camera.see("audit", reverse("admin:connections_audit"), dark=True)
    camera.see("help", reverse("admin:connections_help"))
    camera.see("keys", reverse("admin:connections_keys"))
    camera.see("users", reverse("admin:auth_user_changelist"))
    camera.see(
        "user", reverse("admin:auth_user_change", args=[User.objects.get(username="priya").pk])
    )
    camera.see("groups", reverse("admin:auth_group_changelist"))


def take_account(camera, mara, monkeypatch):
    monkeypatch.setattr(totp.secrets, "token_bytes", bytes)  # one QR code, and no secret
    for name, address in (
        ("second-step", "mfa_index"),
        ("second-step-app", "mfa_activate_totp"),
        ("second-step-passkey", "mfa_add_webauthn"),
        ("password", "account_change_password"),
    ):
        camera.see(name, reverse(address))
    RecoveryCodes.activate(mara)
    mara.authenticator_set.update(data={"seed": "0" * 40, "used_mask": 0})
    camera.see("recovery-codes", reverse("mfa_view_recovery_codes"))


def take_errors(camera):
    camera.page.context.clear_cookies()
    camera.see("error-404", "/admin/no/such/page/")
    camera.page.route("**/*.html", serve_template)
    for code in ("400", "403", "500", "503"):
        camera.see(f"error-{code}", f"/{code}.html")


def serve_template(route):
    """In place of an error: its page needs more than an address."""
    text = render_to_string(route.request.url.rpartition("/")[2])
    route.fulfill(body=text, content_type="text/html; charset=utf-8")
