"""Every URL of the console, opened once by each role and sent every form that it shows.

Sweeps share the result, since a crawl of one role takes seconds: `crawl("viewer")` gives it, made
within the transaction of the first test that asks, and kept for those after it. Secrets that are
recognisable are in every sealed field, and are typed wherever one can be.
"""

import base64
import functools
import io
import json
import logging
import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from unittest import mock

import time_machine
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from connections.audit import log
from connections.jobs import bulk_change, import_job, runs
from connections.models import ConnectionAuth, ImportRun, Integration, UserScope
from tests.support.helpers import import_text, make, prove_present
from tests.support.leaks import AUTH, TEXTS, VALUES, leaks, secret
from tests.support.made_up_language import (
    LANGUAGE,
    assert_none_is_stored,
    made_up_language,
    stored_names,
    untranslated,
)
from tests.support.passkeys import SoftPasskey

ROLES = (
    "anonymous",
    "nobody",
    "viewer",
    "operator",
    "custodian",
    "auditor",
    "superuser",
    "limited",
)
GROUPS = {name.lower(): name for name in ("Viewer", "Operator", "Custodian", "Auditor")}
# A Custodian who is limited to another environment than that of all that things() makes.
GROUPS["limited"] = "Custodian"

# What is typed into a form, well formed.
TYPED = {
    **TEXTS,
    "emails": "\n".join(VALUES["emails"]),
    "other_auth_info": "\n".join(VALUES["other_auth_info"]),
    "meta": json.dumps(VALUES["meta"]),
    "secret": secret("searched"),
}


def routes(resolver=None, prefix=""):
    """Every route as the resolver spells it, placeholders as <id>.

    Those under admin/ come without that, the others with a `/` in front.
    """
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern)
        if hasattr(entry, "url_patterns"):
            yield from routes(entry, route)
        elif route.startswith("admin/"):
            # The order of the apps in this one varies.
            route = re.sub(r"\^\(\?P<app_label>.*", "<app>/", route.removeprefix("admin/"))
            yield re.sub(r"<\w+:\w+>", "<id>", route) or "(index)"
        else:
            yield f"/{route}"


def things(user=None):
    """Make what routes have an <id> for, with secrets in it, some of it a user's; by route."""
    owner = User.objects.create_user("owner", is_staff=True)
    user = user or owner
    integration = Integration.objects.create(type="outside", name="Outside")
    in_use = make(name="A", connection_id="in use", integration=integration, **VALUES)
    binned = make(name="B", connection_id="binned", environment="Outside", **VALUES)
    ConnectionAuth.objects.filter(pk=binned.pk).update(binned_at=timezone.now())
    # An import overwrites the record, so that it has a former version.
    entry = {"id": "in use", "integrationType": "outside", "environment": "Outside", "auth": AUTH}
    import_text([entry], on_conflict="overwrite")
    moved = make(name="Moved", environment="Outside", token=secret("moved"))
    with connection.cursor() as cursor:  # a token that does not open in another column
        cursor.execute(
            "UPDATE connections_connectionauth SET refresh_token = token WHERE name = %s",
            [moved.name],
        )
    return {
        "connections/connectionauth/<id>": in_use.pk,
        f"connections/connectionauth/{in_use.pk}/reveal/<id>": "key",
        "connections/integration/<id>": integration.pk,
        "auth/group/<id>": Group.objects.get(name="Viewer").pk,
        "auth/user/<id>": owner.pk,
        "bin/<id>": binned.pk,
        "account/mfa/webauthn/keys/<id>": SoftPasskey(user).store().pk,
        "changes/<id>": bulk_change.prepare(user, "pause", ConnectionAuth.objects.all()).pk,
        "import/<id>": ImportRun.objects.create(user=user, file_name="a", size=1, sha256="").pk,
    }


def address(route, things):
    """The URL of a route, with what it needs filled in."""
    for begin, value in things.items():
        if route.startswith(begin):
            route = f"{begin.rpartition('<')[0]}{value}{route.removeprefix(begin)}"
    examples = {"(index)": "", "<app>/": "connections/", "(?P<url>.*)$": "nothing/such/"}
    route = examples.get(route, route)
    assert "<" not in route, f"address() knows no value for {route}"
    return route if route.startswith("/") else f"/admin/{route}"


def person(role, is_present=True):
    """A client signed in as one of ROLES, who has just given the password if `is_present`."""
    client = Client()
    if role == "anonymous":
        return client
    user = User.objects.create_user(
        f"a {role}", password="password", is_staff=True, is_superuser=role == "superuser"
    )
    if role in GROUPS:
        user.groups.add(Group.objects.get(name=GROUPS[role]))
    if role == "limited":
        UserScope.objects.create(user=user, environments=["Inside"])
    client.force_login(user)
    return prove_present(client) if is_present else client


def content_of(response):
    """The body of a response, streamed or not, as text."""
    body = b"".join(response) if response.streaming else response.content
    return body.decode(errors="replace")


def text_of(response, content=None):
    """All that a response carries, as text: messages for the next page, headers, cookies, body."""
    queued = getattr(getattr(response.wsgi_request, "_messages", None), "_queued_messages", ())
    return "\n".join(
        [
            response.reason_phrase,
            str(response.headers),
            response.cookies.output(),
            content_of(response) if content is None else content,
            *(str(message) for message in queued),
        ]
    )


def stored_text():
    """All that the database holds, sessions and cache decoded, as text."""
    found = [str(session.get_decoded()) for session in Session.objects.all()]
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            found += map(str, cursor.fetchall())
        cursor.execute("SELECT value FROM connections_cache")
        found += [value for (value,) in cursor.fetchall()]
    return "\n".join(found)


class Forms(HTMLParser):
    """The forms that a page posts to itself: in `found`, a list of dicts, one for each button."""

    def __init__(self, text, url):
        super().__init__()
        self.url, self.data, self.ways, self.found, self.select = url, None, [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        name, kind, value = attrs.get("name"), attrs.get("type", "text"), attrs.get("value") or ""
        if tag == "form":
            self.data, self.ways = {}, [{}]
            is_own = (attrs.get("action") or self.url) == self.url
            self.is_sent = is_own and (attrs.get("method") or "").lower() == "post"
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
            if self.is_sent:
                self.found.append([{**self.data, **way} for way in self.ways])
            self.data = None


def bodies(html, url):
    """What to post to a page: nothing; each of its forms by each button, invalid, out of date."""
    yield {}
    for form, *other_buttons in Forms(html, url).found:
        typed = {name: text for name, text in TYPED.items() if name in form}
        if "text" in form:  # a file to import
            typed["text"] = json.dumps([{"id": "c", "auth": AUTH}])
        for sent in (form, *other_buttons):
            yield {**sent, **typed, "reason": "OPS-1: they ask", "post": "yes"}
        if typed:
            wrong = {name: "\x00 wrong" for name, value in form.items() if value == ""}
            broken = {name: f"{text}\x00{{" for name, text in typed.items()}
            yield {**form, **wrong, **broken}
            yield {**form, **typed, "version": "0"}


@dataclass
class Visit:
    """One request of a crawl, and what came back."""

    route: str
    body: dict | None  # what was posted; None for GET
    status: int
    headers: dict
    content: str
    leaks: list  # secrets in the answer, in whichever spelling
    leaks_stored: list  # secrets that the database held in clear after it
    queries: list  # the SQL of each
    untranslated: list  # words in a page of a superuser, who reads LANGUAGE, that no catalogue has

    @property
    def is_html(self):
        return self.headers.get("Content-Type", "").startswith("text/html")

    @property
    def is_page(self):
        return self.is_html and self.body is None and self.status == 200

    @property
    def place(self):
        return self.route, "GET" if self.body is None else [*self.body]


@dataclass
class Crawl:
    visits: list
    logged: str  # all that was logged meanwhile, the lines of the audit log too


@functools.cache
def crawl(role):
    """A Crawl of all URLs by one of ROLES, who has just proved presence.

    A superuser has a second step and owns what things() makes, and so sees every page as it is
    when there is something on it; in LANGUAGE, which is made up. What the crawl changes in the
    database is taken back.
    """
    stream, level = io.StringIO(), logging.root.level
    handler = logging.StreamHandler(stream)
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.DEBUG)
    log.log_to(stream)
    # A reveal refuses to be in an atomic block, so this is none.
    before = transaction.savepoint()
    try:
        launch = mock.patch.object(runs, "launch", lambda run: import_job.execute(run.pk))
        now = time_machine.travel(timezone.now(), tick=False)  # however long it takes
        keep = "django.test.client.store_rendered_templates"  # with copies of all contexts
        with launch, now, mock.patch(keep, lambda *_, **__: None), made_up_language():
            client = person(role)
            if role == "superuser":
                client.defaults["HTTP_ACCEPT_LANGUAGE"] = LANGUAGE
                user = User.objects.get(is_superuser=True)
                TOTP.activate(user, base64.b32encode(b"a secret of 20 bytes").decode())
                RecoveryCodes.activate(user)
                client.get("/admin/")  # what is done once a day is done
            objects = things(user if role == "superuser" else None)
            visits = [
                visit
                for route in dict.fromkeys(routes())
                for visit in _visits(client, route, address(route, objects))
            ]
            assert_none_is_stored()
    finally:
        transaction.savepoint_rollback(before)
        log.log_to(sys.stderr)
        logging.root.setLevel(level)
        logging.root.removeHandler(handler)
    return Crawl(visits, stream.getvalue())


def _visits(client, route, url):
    """GET, then each body posted to the page as it was after that."""
    before, cookies = transaction.savepoint(), client.cookies.copy()
    page = _visit(client, url, route, None)
    yield page
    read, cookies_of_page = transaction.savepoint(), client.cookies.copy()
    for body in bodies(page.content if page.is_html else "", url):
        yield _visit(client, url, route, body)
        client.cookies = cookies_of_page.copy()
        transaction.savepoint_rollback(read)
    client.cookies = cookies
    transaction.savepoint_rollback(before)


def _visit(client, url, route, body):
    queries = []

    def watch(execute, sql, params, many, context):
        queries.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        response = client.get(url) if body is None else client.post(url, body)
    content = content_of(response)
    is_written = any(not sql.startswith("SELECT") for sql in queries)
    visit = Visit(
        route,
        body,
        response.status_code,
        dict(response.headers),
        content,
        leaks(text_of(response, content)),
        leaks(stored_text()) if is_written else [],
        queries,
        [],
    )
    if visit.is_html and body is None and "HTTP_ACCEPT_LANGUAGE" in client.defaults:
        visit.untranslated = untranslated(content, {*stored_names(), "JWT, none"})
    return visit
