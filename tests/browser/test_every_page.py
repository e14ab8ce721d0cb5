"""Every page in a real browser, in both colour schemes, wide and narrow: readable for everybody
(axe), and without a complaint of the policy or the console.
"""

import base64

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from axe_playwright_python.base import AXE_SCRIPT
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from connections.jobs import import_job, runs
from connections.models import ConnectionAuth, ImportRun
from tests.support.browser import IN_BROWSER
from tests.support.helpers import SECRET, prove_present
from tests.support.import_form import upload
from tests.support.urls import address, admin_names, things

pytestmark = IN_BROWSER
WIDTHS = (1360, 390)
SCHEMES = ("light", "dark")
HTML = "text/html; charset=utf-8"
LOGIN = "/admin/account/login/"
LIST = "/admin/connections/connectionauth/"
USERS = "/admin/auth/user/"
UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true })"
# What each finding needs to be found again: the rule, and where.
FINDINGS = """async () => (await axe.run()).violations.flatMap(({id, nodes}) =>
    nodes.map(({target, failureSummary}) => [id, target.join(" "), failureSummary].join(" | ")))"""


@pytest.fixture
def browser_context_args(browser_context_args):
    return {**browser_context_args, "reduced_motion": "reduce"}


class Visitor:
    """Goes to pages and notes what is wrong with them, in `found`."""

    def __init__(self, page, origin):
        self.page, self.origin, self.found, self.here = page, origin, [], ""
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.found.append((self.here, str(error))))
        page.add_init_script(
            "addEventListener('securitypolicyviolation',"
            " event => console.error('CSP', event.violatedDirective))"
        )

    def _hear(self, message):
        # A page that answers 403 or 404 is itself said to have failed to load.
        is_page = message.location["url"] == self.origin + self.here
        is_told = is_page and "status of 40" in message.text
        if message.type in ("error", "warning") and not is_told:
            self.found.append((self.here, message.text))

    def be(self, client):
        """Go on with the session of this test client, or with none."""
        self.page.context.clear_cookies()
        if cookie := client.cookies.get("sessionid"):
            self.page.context.add_cookies(
                [{"name": "sessionid", "value": cookie.value, "url": self.origin}]
            )

    def see(self, path, status=200):
        """Open a page and look at it."""
        self.here = path
        response = self.page.goto(self.origin + path)
        assert response.status == status, path
        self.look()

    def see_template(self, name):
        """Look at a page that takes more than an address to bring about."""
        text = render_to_string(f"{name}.html")
        self.page.route(f"**/{name}/", lambda route: route.fulfill(body=text, content_type=HTML))
        self.see(f"/{name}/")

    def look(self):
        """Examine the page that is open, with all that is folded unfolded."""
        page = self.page
        page.wait_for_load_state("networkidle")
        # Injected past the policy by the browser itself, once the page has had its say.
        page.evaluate(AXE_SCRIPT)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(UNFOLD)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                place = self.here, width, scheme
                self.found += [(*place, finding) for finding in page.evaluate(FINDINGS)]
            overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if overflow > 0:
                self.found.append((*place, f"{overflow} px too wide"))

    def assert_content(self):
        assert self.found == [], "\n" + "\n".join(map(str, self.found))


def signed_in(name, **fields):
    """A test client in which this person has just given the password."""
    user = User.objects.create_user(name, password="password", is_staff=True, **fields)
    client = Client(HTTP_HOST="localhost")
    client.post(reverse("account_login"), {"login": name, "password": "password"})
    return user, prove_present(client)


@pytest.fixture
def visitor(page, live_server):
    return Visitor(page, live_server.url)


def test_pages_of_all_addresses(visitor):
    user, client = signed_in("ada", is_superuser=True)
    objects = things(user)
    TOTP.activate(user, base64.b32encode(b"a secret of 20 bytes").decode())
    RecoveryCodes.activate(user)
    visitor.be(client)
    seen = 0
    for name in sorted(admin_names() - {"logout", "account_logout"}):
        path = address(name, objects)
        response = client.get(path)
        if response.status_code == 200 and response["Content-Type"].startswith("text/html"):
            visitor.see(path)
            seen += 1
    assert seen > 35
    visitor.assert_content()


def test_pages_in_their_other_states(visitor, monkeypatch):
    user, client = signed_in("ada", is_superuser=True)
    visitor.be(client)
    visitor.see("/admin/")
    visitor.see(LIST)
    objects = things(user)
    visitor.see(LIST + "?q=nothing+such")
    visitor.see(LIST + "?bucket=broken&q=Ltd")
    visitor.see("/admin/")
    visitor.page.locator(".user-button").click()
    visitor.look()
    refused_by_the_form(visitor)
    chosen_in_the_list(visitor)
    a_secret_found(visitor)
    a_secret_revealed(visitor, address("connections_connectionauth_reveal", objects))
    an_import(visitor, client, monkeypatch)
    visitor.assert_content()


def refused_by_the_form(visitor):
    visitor.see(LIST + "add/")
    visitor.page.locator("#id_api_url").fill("ftp://example.com")
    visitor.page.get_by_role("button", name="Save", exact=True).click()
    visitor.page.locator(".errorlist").first.wait_for()
    visitor.look()


def chosen_in_the_list(visitor):
    page = visitor.page
    page.goto(visitor.origin + LIST)
    page.locator("[name=_selected_action]").first.check()
    visitor.look()


def a_secret_found(visitor):
    page = visitor.page
    page.goto(visitor.origin + reverse("admin:connections_find_secret"))
    page.locator("textarea").fill(SECRET)
    page.get_by_role("button", name="Find it").click()
    page.locator(".panel").first.wait_for()
    visitor.look()


def a_secret_revealed(visitor, path):
    visitor.see(path)
    reveal = visitor.page.get_by_role("button", name="Reveal", exact=True)
    reveal.click()
    visitor.page.locator(".errorlist").wait_for()
    visitor.look()
    visitor.page.get_by_label("Why do you need it?").fill("OPS-2318")
    visitor.page.clock.install()
    reveal.click()
    visitor.page.locator(".revealed").wait_for()
    visitor.look()
    visitor.page.clock.fast_forward(30_000)
    visitor.page.get_by_text("Sealed again.").wait_for()
    visitor.look()


def an_import(visitor, client, monkeypatch):
    """Its check, its progress, and what became of it."""
    launched = []
    monkeypatch.setattr(runs, "launch", launched.append)
    records = [{"id": f"n{n}", "auth": {"name": f"N{n}", "key": SECRET}} for n in range(5)]
    path = upload(client, [*records, {"token": 5}]).url
    visitor.see(path)
    client.post(path)
    visitor.see(path)
    import_job.execute(launched[0].pk)
    # The page goes on by itself; going there as well would cross its way.
    visitor.page.get_by_role("heading", name="Imported, with refusals").wait_for()
    visitor.look()
    visitor.see(upload(client, "no JSON").url)


def test_pages_of_errors_and_of_users_with_few_permissions(visitor, monkeypatch):
    visitor.see(LOGIN)
    visitor.page.get_by_label("User name").fill("ada")
    visitor.page.get_by_label("Password").fill("wrong")
    visitor.page.get_by_role("button", name="Sign in").click()
    visitor.page.locator(".errorlist").wait_for()
    visitor.look()

    user, client = signed_in("bob")
    visitor.be(client)
    visitor.see("/admin/")
    visitor.see(LIST, 403)
    visitor.see("/admin/no/such/page/", 404)
    for name in ("mfa_index", "mfa_activate_totp", "mfa_list_webauthn"):
        visitor.see(reverse(name))

    TOTP.activate(user, base64.b32encode(b"a secret of 20 bytes").decode())
    client = Client(HTTP_HOST="localhost")
    path = client.post(LOGIN, {"login": "bob", "password": "password"}).url
    visitor.be(client)
    visitor.see(path)

    for name in ("400", "403_csrf", "429", "500", "503", "503_reveal"):
        visitor.see_template(name)
    visitor.assert_content()


# Texts that their box cuts, or that stand outside the window where nothing scrolls to them.
CUT = """() => [...document.querySelectorAll("main *, .top *")].filter((one) => {
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  if (!one.textContent.trim() || style.display === "inline") return false;
  if (!one.checkVisibility()) return false;  // in a closed menu
  if (box.width <= 1 || one.closest(".visually-hidden")) return false;
  const isShut = ["hidden", "clip"].includes(style.overflowX);
  const isCut = isShut && one.scrollWidth > one.clientWidth + 1;
  return isCut || (box.right > innerWidth + 1 && !one.closest(".scroll, .tabs, pre, svg"));
}).map((one) => one.tagName + "." + one.className)"""
MOVING = """[...document.querySelectorAll("*")].map((one) => getComputedStyle(one)).filter(
  (style) => style.transitionDuration !== "0s" || style.animationName !== "none").length"""
# What has the focus: its name, whether it is seen, and whether something shows that it has it.
FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  const isSeen = box.width > 1 && box.right > 0 && box.left < innerWidth && box.top < innerHeight;
  const isMarked = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return [one.tagName + "." + one.className + " " + one.textContent.trim(), isSeen, isMarked];
}"""


@pytest.mark.parametrize("width", WIDTHS)
def test_the_keyboard_gets_everywhere_and_shows_where_it_is(visitor, width):
    user, client = signed_in("ada", is_superuser=True)
    objects = things(user)
    visitor.be(client)
    page = visitor.page
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("/admin/", LIST, f"{LIST}{objects['connectionauth']}/change/"):
        page.goto(visitor.origin + path)
        stops = []
        while True:
            page.keyboard.press("Tab")
            name, is_seen, is_marked = page.evaluate(FOCUSED)
            if name.startswith("BODY"):
                break
            assert (is_seen, is_marked) == (True, True), (path, name)
            stops.append(name)
        assert stops[0] == "A.skip Skip to main content"
        assert len(stops) > 20

        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_nothing_moves_with_reduced_motion(visitor):
    visitor.see(LOGIN)
    assert visitor.page.evaluate(MOVING) == 0
    visitor.page.emulate_media(reduced_motion="no-preference")
    assert visitor.page.evaluate(MOVING) > 0


@pytest.mark.parametrize(
    ("language", "width"), [("en", 680), ("en", 320), ("de", 1360), ("de", 680), ("de", 390)]
)
def test_nothing_is_cut_off(visitor, language, width):
    """Enlarged, that is in a smaller window: at 200 % one of 1360 px is 680 px wide. In German
    words are longer.
    """
    visitor.page.set_extra_http_headers({"Accept-Language": language})
    user, client = signed_in("ada", is_superuser=True)
    objects = things(user)
    visitor.be(client)
    visitor.page.set_viewport_size({"width": width, "height": 450})
    record = f"{LIST}{objects['connectionauth']}/change/"
    for path in (
        "/admin/",
        LIST,
        record,
        "/admin/import/",
        "/admin/audit/",
        "/admin/find-secret/",
        "/admin/keys/",
    ):
        visitor.page.goto(visitor.origin + path)
        assert visitor.page.evaluate("document.documentElement.lang") == language
        assert visitor.page.evaluate(CUT) == [], path
        for menu in visitor.page.locator("main .filter > summary:visible").all():
            menu.click()
            assert visitor.page.evaluate(CUT) == [], (path, "with a menu open")


# Tables of which a part is out of sight until it is scrolled to.
SIDEWAYS = """[...document.querySelectorAll(".scroll:has(table)")].filter(
  (one) => one.scrollWidth > one.clientWidth).length"""


@pytest.mark.parametrize(
    ("language", "width"), [("en", 768), ("en", 1024), ("de", 768), ("de", 1024)]
)
def test_no_table_is_scrolled_sideways_on_a_tablet(visitor, language, width):
    visitor.page.set_extra_http_headers({"Accept-Language": language})
    user, client = signed_in("ada", is_superuser=True)
    things(user)
    ConnectionAuth.objects.update(integration="hubspot", environment="Production")
    ImportRun.objects.update(status=ImportRun.Status.DONE)
    visitor.be(client)
    visitor.page.set_viewport_size({"width": width, "height": 900})
    for path in (LIST, "/admin/audit/", "/admin/import/history/", "/admin/bin/", USERS):
        visitor.page.goto(visitor.origin + path)
        assert visitor.page.locator("main tbody tr").count(), path
        assert visitor.page.evaluate(SIDEWAYS) == 0, path


def test_empty_cells_take_no_line_of_a_card(visitor):
    _, client = signed_in("ada", is_superuser=True)
    visitor.be(client)
    page = visitor.page
    page.goto(visitor.origin + USERS)
    empty = page.get_by_role("cell", name="–", exact=True)
    assert empty.first.bounding_box()["width"] > 9
    page.set_viewport_size({"width": 390, "height": 900})
    assert empty.count() > 0, "the table is still one"
    assert max(box.bounding_box()["height"] for box in empty.all()) <= 2
    page.get_by_label("Select all").check()
    assert page.locator("[name=_selected_action]").first.is_checked()


def test_the_bar_above_a_page_ends_where_the_page_does(visitor):
    _, client = signed_in("ada", is_superuser=True)
    visitor.be(client)
    page = visitor.page
    for width in (1360, 2560):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(visitor.origin + USERS)
        page.locator(".user-button").click()
        ends = [page.locator(name).bounding_box() for name in ("main > .panel", "#user-menu")]
        ends = [round(box["x"] + box["width"]) for box in ends]
        assert ends == [ends[0]] * 2, width
