"""No inline script or style in any template; the exact headers on every page."""

import re

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.support.crawl import ROLES, crawl

pytestmark = pytest.mark.xdist_group("crawl")

TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.html"))
STATIC = settings.BASE_DIR / "connections/static/connections"
INLINE = {
    "script": r"<script(?![^>]*\bsrc=)",
    "style element": r"<style\b",
    "style attribute": r"\sstyle\s*=",
    "handler": r"\son[a-z]+\s*=\s*[\"']",
    "javascript address": r"(?:href|src|action)\s*=\s*[\"']\s*javascript:",
    "other origin": r"(?:src|href|action)\s*=\s*[\"'](?:https?:)?//",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def parsed(policy):
    """A policy as a dict: directive -> set of sources."""
    directives = [part.split() for part in policy.split(";") if part.strip()]
    assert len({words[0] for words in directives}) == len(directives)
    return {words[0]: {*words[1:]} for words in directives}


assert len(TEMPLATES) > 20  # else nothing is tested


def inline_in(text):
    return [name for name, pattern in INLINE.items() if re.search(pattern, text, re.IGNORECASE)]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline(path):
    assert inline_in(path.read_text()) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_switches_no_escaping_off(path):
    # Help texts stand in our own code and Django's; some of Django's are lists.
    assert not re.search(
        r"(?<!help_text)(?<!description)\|\s*safe\b|autoescape off", path.read_text()
    )


def test_no_script_writes_markup_or_evaluates_text():
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        for word in (
            "eval(",
            "new Function",
            "innerHTML",
            "outerHTML",
            "document.write",
            ".style",
        ):
            assert word not in text, (path.name, word)


def test_the_stylesheet_stays_small_and_loads_nothing_from_elsewhere():
    path = STATIC / "latchkey.css"
    assert path.stat().st_size <= 40 * 1024
    assert not re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", path.read_text())


def assert_strict(headers, place):
    assert parsed(headers["Content-Security-Policy"]) == parsed(POLICY), place
    assert "Content-Security-Policy-Report-Only" not in headers, place
    assert headers["Cache-Control"] == "no-store", place
    assert headers["X-Content-Type-Options"] == "nosniff", place
    assert headers["X-Frame-Options"] == "DENY", place
    assert headers["Referrer-Policy"] == "same-origin", place


def assert_clean(status, headers, content, place):
    """The page has nothing inline, and where it is one of ours one heading and the stylesheet."""
    if headers.get("Content-Type", "").startswith("text/html"):
        assert inline_in(content) == [], place
        if status == 200:
            assert (content.count("<h1"), "latchkey.css" in content) == (1, True), place


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_every_answer_to_a_role_has_the_strict_headers_and_nothing_inline(role):
    for visit in crawl(role).visits:
        assert visit.status < 500, visit.place
        if not visit.route.startswith("/"):
            assert_strict(visit.headers, visit.place)
        assert_clean(visit.status, visit.headers, visit.content, visit.place)


@pytest.mark.django_db
def test_pages_about_errors(admin_client, monkeypatch):
    admin_client.raise_request_exception = False
    list_url = reverse("admin:connections_connectionauth_changelist")
    too_many = {f"field{number}": "" for number in range(1001)}
    assert_error(admin_client.post(list_url, too_many), 400)
    assert_error(admin_client.get("/admin/import/00000000-0000-0000-0000-000000000000/"), 404)
    assert_error(admin_client.get("/admin/no/such/page/"), 404)
    csrf = Client(enforce_csrf_checks=True)
    assert_error(csrf.post(reverse("account_login"), {}), 403)
    staff = Client()
    staff.force_login(User.objects.create_user("staff", is_staff=True))
    assert_error(staff.get(list_url), 403)

    def fail(*args, **kwargs):
        raise RuntimeError("synth-SECRET in a message")

    monkeypatch.setattr("connections.console.dashboard.context.get_context", fail)
    assert_error(admin_client.get("/admin/"), 500)


def assert_error(response, status):
    assert response.status_code == status
    content = response.content.decode()
    assert_strict(response.headers, status)
    assert_clean(status, response.headers, content, status)
    assert "synth-SECRET" not in content
    assert "Traceback" not in content


def test_errors_outside_the_admin_have_the_policy_too(db):
    for path in ("/", "/no/such/page/", "/admin"):
        response = Client().get(path)
        assert parsed(response["Content-Security-Policy"]) == parsed(POLICY), path
