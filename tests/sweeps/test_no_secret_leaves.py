"""Secrets are write-only: recognisable ones in every sealed field, then every URL in every role.

No answer, header, cookie, message, log, stored row, error page or error mail holds one, in any
spelling, but a reveal and an export with secrets.
"""

import base64
import html
import io
import json
import logging
import sys
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client
from django.utils.log import AdminEmailHandler
from django.views.debug import get_exception_reporter_class

from connections.audit import log
from connections.models import ConnectionAuth
from tests.console.test_reveal_page import form_of, url_of
from tests.support.helpers import import_text, make
from tests.support.leaks import AUTH, BEGIN, CORES, FILES, TEXTS, VALUES, leaks, secret
from tests.sweeps.test_access_table import ROLES, address, person, rows
from tests.sweeps.test_access_table import things as _things  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_once")]

# As a form takes them, well formed.
TYPED = {
    **TEXTS,
    "emails": "\n".join(VALUES["emails"]),
    "other_auth_info": "\n".join(VALUES["other_auth_info"]),
    "meta": json.dumps(VALUES["meta"]),
    "secret": secret("searched"),
}


@pytest.mark.parametrize(
    "spell",
    [
        str,
        repr,
        html.escape,
        json.dumps,
        quote,
        lambda text: text[-12:],
        lambda text: text[:14],
        lambda text: text.encode().hex(),
        *(lambda text, n=n: base64.b64encode(b"." * n + text.encode()).decode() for n in range(3)),
    ],
)
def test_a_secret_is_recognised_however_it_is_spelled(spell):
    assert leaks(spell(secret("any")))
    assert not leaks(spell("nothing to be seen here, nor there"))


# What is looked through


@pytest.fixture(autouse=True)
def logged(caplog):
    """All that is logged meanwhile, and the lines of the audit log, are looked through."""
    stream = io.StringIO()
    log.log_to(stream)
    with caplog.at_level(logging.DEBUG):
        yield caplog
    log.log_to(sys.stderr)
    assert leaks(caplog.text + stream.getvalue()) == []


def answered(response):
    """All that a response carries, as text."""
    body = b"".join(response) if response.streaming else response.content
    queued = getattr(getattr(response.wsgi_request, "_messages", None), "_queued_messages", ())
    return "\n".join(
        [
            response.reason_phrase,
            str(response.headers),
            response.cookies.output(),
            body.decode(errors="replace"),
            *(str(message) for message in queued),
        ]
    )


def stored():
    """All that the database holds, and what it keeps of sessions, as text."""
    found = [str(session.get_decoded()) for session in Session.objects.all()]
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            found += map(str, cursor.fetchall())
        cursor.execute("SELECT value FROM connections_cache")
        found += [base64.b64decode(value).decode("latin1") for (value,) in cursor.fetchall()]
    return "\n".join(found)


class Forms(HTMLParser):
    """The forms of a page that are posted: lists of dicts, one for each way to send it."""

    def __init__(self, text):
        super().__init__()
        self.data, self.ways, self.found, self.select = None, [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        name, kind, value = attrs.get("name"), attrs.get("type", "text"), attrs.get("value") or ""
        if tag == "form":
            self.data, self.ways = {}, [{}]
            self.is_post = (attrs.get("method") or "").lower() == "post"
        elif self.data is None:
            return
        elif tag == "select":
            self.select = name
        elif tag == "option" and self.select:
            if self.select == "action" and value:
                self.ways.append({"action": value})
            if "selected" in attrs or self.select not in self.data:
                self.data[self.select] = value
        elif tag == "button" and name:
            self.ways.append({name: value})
        elif tag == "textarea" and name:
            self.data[name] = ""
        elif tag == "input" and name and kind not in ("submit", "file"):
            if kind == "password":
                self.data[name] = secret("password")
            elif kind not in ("checkbox", "radio") or "checked" in attrs or name[0] == "_":
                self.data[name] = value

    def handle_endtag(self, tag):
        if tag == "select":
            self.select = None
        if tag == "form" and self.data is not None:
            if self.is_post:
                self.found += [{**self.data, **way} for way in self.ways]
            self.data = None


def bodies(page):
    """What to post: nothing; each form of the page as it stands, invalid, and out of date."""
    yield {}
    for form in Forms(page).found:
        typed = {name: text for name, text in TYPED.items() if name in form}
        if "text" in form:  # a file to import
            typed["text"] = json.dumps([{"id": "c", "auth": AUTH}])
        yield {**form, **typed, "reason": "OPS-1: they ask", "post": "yes"}
        if typed:
            wrong = {name: "\x00 wrong" for name, value in form.items() if value == ""}
            broken = {name: f"{text}\x00{{" for name, text in typed.items()}
            yield {**form, **wrong, **broken}
            yield {**form, **typed, "version": "0"}


@pytest.fixture
def things(_things):  # noqa: F811
    """Those of the access table, with secrets in them, and with a former version."""
    for key in ("connections/connectionauth/<id>", "bin/<id>"):
        record = ConnectionAuth.all_objects.get(pk=_things[key])
        for name, value in VALUES.items():
            setattr(record, name, value)
        record.connection_id = key
        record.save_version()
    in_use = ConnectionAuth.objects.get()
    import_text(
        [{"id": in_use.connection_id, "integrationType": "outside", "auth": AUTH}],
        on_conflict="overwrite",
    )
    moved = make(name="Moved", environment="Outside", token=secret("moved"))
    with connection.cursor() as cursor:  # a value that does not open in its place
        cursor.execute(
            "UPDATE connections_connectionauth SET refresh_token = token WHERE name = %s",
            [moved.name],
        )
    return _things


def let_out(route, body, role):
    """Whether this answer is the one that may hold a secret."""
    return "/reveal/" in route and "nonce" in body and role in ("custodian", "superuser")


def pages(client, url):
    """What a URL answers: pairs of a body (None for GET) and a response.

    What each changed is taken back. All bodies of a page are posted to that page as it was read.
    """
    before = transaction.savepoint()  # an atomic block is what a reveal refuses to be in
    cookies = client.cookies.copy()
    page = client.get(url)
    yield None, page
    read, cookies_of_page = transaction.savepoint(), client.cookies.copy()
    for body in bodies("" if page.streaming else page.content.decode(errors="replace")):
        yield body, client.post(url, body)
        client.cookies = cookies_of_page.copy()
        transaction.savepoint_rollback(read)
    client.cookies = cookies
    transaction.savepoint_rollback(before)


@pytest.mark.parametrize("role", ROLES)
def test_no_url_gives_a_secret_away(role, things):
    client, let = person(role), set()
    for route in {route: None for route, _ in rows()}:
        for body, response in pages(client, address(route, things)):
            found = leaks(answered(response))
            if let_out(route, body or {}, role):
                let |= {*found}
            else:
                assert found == [], (route, body and body.keys())
            if body is not None:
                assert leaks(stored()) == [], (route, body.keys())
    assert let == ({*CORES} if role in ("custodian", "superuser") else set())


def test_the_sweep_types_secrets_wherever_one_can_be_typed(things):
    client, typed = person("superuser"), set()
    for route in ("connections/connectionauth/add/", "find-secret/", "import/"):
        for body in bodies(client.get(address(route, things)).content.decode()):
            typed |= {name for name, value in body.items() if leaks(value)}
    assert typed == {*TYPED} - {"extra"} | {"text"}


def test_an_export_holds_secrets_only_where_they_are_asked_for(things):
    client = person("superuser")
    choices = {"shape": "connection", "naming": "snake", "format": "json"}
    for secrets in ("omit", "mask", "include"):
        response = client.post("/admin/export/", {**choices, "secrets": secrets})
        assert (response.status_code, response.streaming) == (200, True)
        assert bool(leaks(answered(response))) == (secrets == "include"), secrets


# Imports: what a page says of a file


@pytest.mark.parametrize("name", FILES)
def test_no_page_of_an_import_repeats_the_file(name, things):
    client, content = person("operator"), FILES[name]
    seen = []

    def look(response):
        seen.append(response)
        assert leaks(answered(response)) == []
        assert leaks(stored()) == []
        return response

    def look_around(run):
        for more in ("", "?p=2", "progress/", "report/"):
            look(client.get(f"{run}{more}"))
        look(client.get("/admin/import/history/"))

    file = SimpleUploadedFile("connections.json", content)
    sent = look(client.post("/admin/import/", {"file": file, "on_conflict": "overwrite"}))
    if sent.status_code == 302:
        run = sent.url
        look_around(run)
        for press in ("confirm", "undo"):
            look(client.post(run, {press: ""}))
            look_around(run)
        for record in ConnectionAuth.objects.filter(connection_id__startswith="c-"):
            look(client.get(f"/admin/connections/connectionauth/{record.pk}/change/"))
    assert len(seen) > 1 or b"errorlist" in sent.content or b'role="alert"' in sent.content


def test_no_page_repeats_a_list_of_integrations():
    client = person("custodian")
    odd = json.dumps([{"type": "x", "a": BEGIN}]).encode()
    for content in (FILES["good"], FILES["no JSON"], odd):
        file = SimpleUploadedFile("integrations.json", content)
        response = client.post("/admin/import/integrations/", {"file": file}, follow=True)
        assert leaks(answered(response)) == []
        assert leaks(stored()) == []


# Errors


@pytest.fixture(params=[False, True], ids=["", "DEBUG"])
def mails(request, settings, mailoutbox):
    """What is mailed about errors, as text and as HTML, with DEBUG off and on."""
    settings.DEBUG = request.param
    settings.ADMINS = [("Admin", "admin@example.com")]
    handler = AdminEmailHandler(include_html=True)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    yield mailoutbox
    logger.removeHandler(handler)


def assert_tells_nothing(response, mails, settings):
    told = [answered(response)]
    for mail in mails:
        told += [mail.subject, mail.body, *(part[0] for part in mail.alternatives)]
    for text in told:
        assert leaks(text) == []
        for value in (*settings.FERNET_KEYS, settings.SECRET_KEY):
            assert value not in text and html.escape(value) not in text


def fail(*args, **kwargs):
    opened = {"token": secret("local"), "other": [TEXTS["access_token"]]}
    raise RuntimeError(f"forced, with {len(opened)} variables at hand")


def test_no_error_page_or_mail_shows_what_was_posted_or_at_hand(
    things, mails, monkeypatch, settings
):
    client = person("custodian")
    client.raise_request_exception = False
    monkeypatch.setattr("connections.console.records.page.fieldsets", fail)
    url = address("connections/connectionauth/<id>/change/", things)
    client.cookies["stray"] = BEGIN
    for response in (
        client.get(url, headers={"X-Token": secret("header").encode("ascii", "replace").decode()}),
        client.post(url, {**TYPED, "name": "x"}),
    ):
        assert response.status_code == 500
        assert ("forced, with 2 variables" in response.content.decode()) == settings.DEBUG
        assert_tells_nothing(response, mails, settings)
    assert len(mails) >= 2
    assert "forced, with 2 variables" in mails[0].body


def test_a_reveal_that_fails_after_it_opened_shows_nothing(things, mails, monkeypatch, settings):
    client, record = person("custodian"), ConnectionAuth.objects.exclude(pem=None).get()
    form = form_of(client, url_of(record, "pem"))
    client.raise_request_exception = False
    monkeypatch.setattr("connections.console.pages.reveal._render", fail)
    response = client.post(url_of(record, "pem"), form)
    assert response.status_code == 500
    assert_tells_nothing(response, mails, settings)
    assert mails


def test_pages_about_refusals_repeat_nothing(things, mails, settings):
    client = person("viewer")
    url = address("connections/connectionauth/<id>/change/", things)
    too_many = {f"field{number}": secret("many") for number in range(1001)}
    strict = Client(enforce_csrf_checks=True)
    for status, response in (
        (400, client.post("/admin/connections/connectionauth/", too_many)),
        (403, client.post(url, TYPED)),
        (403, strict.post("/admin/account/login/", TYPED)),
        (404, client.post("/admin/no/such/page/", TYPED)),
        (405, client.post("/admin/audit/export/", TYPED)),
    ):
        assert response.status_code == status
        assert_tells_nothing(response, mails, settings)


def test_a_report_of_an_error_names_the_place(rf):
    """Made by hand, as code of others may: whatever the request and the variables hold."""
    try:
        fail()
    except RuntimeError:
        from_settings = get_exception_reporter_class(None)
        reporter = from_settings(rf.post("/", TYPED), *sys.exc_info())
    for text in (reporter.get_traceback_html(), reporter.get_traceback_text()):
        assert "forced, with 2 variables" in text
        assert "test_no_secret_leaves.py" in text
        assert leaks(text) == []
