"""What pages weigh: at most 12 queries each, and little script in all."""

import base64
import re

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings
from django.contrib.staticfiles import finders
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support.helpers import prove_present
from tests.support.urls import address, admin_names, things

pytestmark = pytest.mark.django_db
MOST_QUERIES = 12
MOST_SCRIPT = 60 * 1024  # bytes, of all pages together
SCRIPT = re.compile(rf'<script src="{settings.STATIC_URL}([^"?]+)')


@pytest.fixture
def looks(admin_client, admin_user):
    """How often each page asks the database: address -> queries; and the scripts of all."""
    objects = things(admin_user)
    TOTP.activate(admin_user, base64.b32encode(b"a secret of 20 bytes").decode())
    RecoveryCodes.activate(admin_user)
    prove_present(admin_client)
    admin_client.get("/admin/")  # what is done once a day is done
    asked, scripts = {}, set()
    for name in sorted(admin_names() - {"logout", "account_logout"}):
        path = address(name, objects)
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(path)
        if response.status_code == 200 and not response.streaming:
            asked[path] = [query["sql"] for query in queries.captured_queries]
            scripts.update(SCRIPT.findall(response.content.decode()))
    assert len(asked) > 40
    return asked, scripts


def test_no_page_asks_the_database_more_than_twelve_times(looks):
    asked, _ = looks
    heavy = {path: len(queries) for path, queries in asked.items() if len(queries) > MOST_QUERIES}
    assert heavy == {}, "\n".join(f"{path}:\n" + "\n".join(asked[path]) for path in heavy)


def test_all_scripts_together_are_small(looks):
    _, scripts = looks
    sizes = {name: len(open(finders.find(name), "rb").read()) for name in scripts}
    assert "connections/latchkey.js" in sizes
    assert sum(sizes.values()) <= MOST_SCRIPT, sizes
