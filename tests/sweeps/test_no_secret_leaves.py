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
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils.log import AdminEmailHandler
from django.views.debug import get_exception_reporter_class

from connections.audit import log
from connections.models import ConnectionAuth, ImportRun
from tests.console.test_reveal_page import form_of, url_of
from tests.support.crawl import ROLES, TYPED, address, bodies, crawl, person, stored_text, text_of
from tests.support.crawl import things as make_things
from tests.support.leaks import BEGIN, CORES, FILES, TEXTS, leaks, secret

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("at_once"),
    pytest.mark.xdist_group("crawl"),
]


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


@pytest.fixture
def things():
    return make_things()


def may_show_a_secret(visit, role):
    is_reveal = "/reveal/" in visit.route and "nonce" in (visit.body or {})
    return is_reveal and role in ("custodian", "superuser")


@pytest.mark.parametrize("role", ROLES)
def test_no_url_gives_a_secret_away(role):
    shown = set()
    for visit in crawl(role).visits:
        if may_show_a_secret(visit, role):
            shown |= {*visit.leaks}
        else:
            assert visit.leaks == [], visit.place
        assert visit.leaks_stored == [], visit.place
    assert shown == ({*CORES} if role in ("custodian", "superuser") else set())
    assert leaks(crawl(role).logged) == []


def test_the_sweep_types_secrets_wherever_one_can_be_typed(things):
    client, typed = person("superuser"), set()
    for route in ("connections/connectionauth/add/", "find-secret/", "import/"):
        url = address(route, things)
        for body in bodies(client.get(url).content.decode(), url):
            typed |= {name for name, value in body.items() if leaks(value)}
    assert typed == {*TYPED} - {"extra"} | {"text"}


def test_an_export_holds_secrets_only_where_they_are_asked_for(things):
    client = person("superuser")
    choices = {"shape": "connection", "naming": "snake", "format": "json"}
    for secrets in ("omit", "mask", "include"):
        response = client.post("/admin/export/", {**choices, "secrets": secrets})
        assert (response.status_code, response.streaming) == (200, True)
        assert bool(leaks(text_of(response))) == (secrets == "include"), secrets


# Imports: what a page says of a file


@pytest.mark.parametrize("name", FILES)
def test_no_page_of_an_import_repeats_the_file(name, things):
    client, content = person("operator"), FILES[name]
    seen = []

    def look(response):
        seen.append(response)
        assert leaks(text_of(response)) == []
        assert leaks(stored_text()) == []
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
            before = list(ImportRun.objects.values())
            look(client.post(run, {press: ""}))
            if before != list(ImportRun.objects.values()):  # else all looks as it did
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
        assert leaks(text_of(response)) == []
        assert leaks(stored_text()) == []


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
    told = [text_of(response)]
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
    monkeypatch.setattr("connections.console.records.fieldsets.build_fieldsets", fail)
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
    monkeypatch.setattr("connections.console.pages.reveal.page_response", fail)
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
