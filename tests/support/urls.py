"""Every address of the console, something to show at each, and one visit of all of them."""

import base64
import functools
from contextlib import suppress
from dataclasses import dataclass

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, get_resolver, reverse
from django.utils import timezone

from connections.jobs import bulk_change
from connections.models import ConnectionAuth, ImportRun, Integration
from tests.support.helpers import FULL_AUTH, cast, import_text, make, prove_present
from tests.support.made_up_language import (
    LANGUAGE,
    assert_none_is_stored,
    made_up_language,
    stored_names,
    untranslated,
)
from tests.support.passkeys import SoftPasskey


def admin_names():
    """The names of all addresses under the admin, from the URL conf."""
    found, resolvers = set(), [get_resolver().url_patterns]
    while resolvers:
        for pattern in resolvers.pop():
            if hasattr(pattern, "url_patterns"):
                resolvers.append(pattern.url_patterns)
            elif pattern.name:
                found.add(pattern.name)
    return found


def things(user):
    """Something to show on every page, some of it this user's: name of a model -> primary key."""
    cast()
    import_text([{"id": "c", "integrationType": "hubspot", "auth": FULL_AUTH}])
    run = ImportRun.objects.create(user=user, file_name="a", size=1, sha256="")
    return {
        "connectionauth": ConnectionAuth.objects.get(connection_id="c").pk,
        "integration": Integration.objects.get().pk,
        "user": User.objects.create_user("bob").pk,
        # Those of the migrations are gone where a test before this one emptied all tables.
        "group": Group.objects.get_or_create(name="Viewer")[0].pk,
        "import": run.pk,
        "change_": bulk_change.prepare(user, "pause", ConnectionAuth.objects.all()).pk,
        "webauthn": SoftPasskey(user).store().pk,
        "bin": make(name="Binned Ltd", binned_at=timezone.now()).pk,
    }


def address(name, objects):
    """The address of a page, with what it needs filled in."""
    if name.endswith("_reveal"):
        return reverse(f"admin:{name}", args=[objects["connectionauth"], "pem"])
    candidates = [[]] + [[pk] for model, pk in objects.items() if f"_{model}" in name]
    for args in [*candidates, ["connections"], [1, 1]]:
        for full_name in (f"admin:{name}", name):
            with suppress(NoReverseMatch):
                return reverse(full_name, args=args)
    raise AssertionError(f"no address for {name}")


@dataclass
class Visit:
    """A page as somebody saw it who may do everything, in the language that is made up."""

    name: str  # of its URL
    path: str
    status: int
    headers: dict
    content: str
    queries: list  # the SQL of each
    untranslated: list  # its words that no catalogue has

    @property
    def is_html(self):
        return self.headers["Content-Type"].startswith("text/html")


@functools.cache
def visits():
    """Every address, visited once: `{name: Visit}`.

    Made within the transaction of the first test that asks, which is as before afterwards.
    """
    before = transaction.savepoint()
    user = User.objects.create_superuser("ada", password="password")
    objects = things(user)
    TOTP.activate(user, base64.b32encode(b"a secret of 20 bytes").decode())
    RecoveryCodes.activate(user)
    client = Client(HTTP_ACCEPT_LANGUAGE=LANGUAGE)
    client.force_login(user)
    prove_present(client)
    with made_up_language():
        client.get("/admin/")  # what is done once a day is done
        names = sorted(admin_names() - {"logout", "account_logout"})
        found = {name: _visit(client, name, address(name, objects)) for name in names}
        assert_none_is_stored()
    transaction.savepoint_rollback(before)
    return found


def _visit(client, name, path):
    with CaptureQueriesContext(connection) as queries:
        response = client.get(path)
    content = response.getvalue().decode()
    visit = Visit(name, path, response.status_code, dict(response.headers), content, [], [])
    if visit.is_html:
        visit.untranslated = untranslated(content, stored_names())
    if not response.streaming:
        visit.queries = [query["sql"] for query in queries.captured_queries]
    return visit
