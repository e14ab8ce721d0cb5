"""No text of ours passes by gettext: every page, in a language that is made up for it."""

import base64
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from django.utils import translation

from connections.console import wording
from connections.jobs import import_job, runs
from connections.json_format import issues
from connections.models import ConnectionAuth, ImportRun
from connections.records.counts import NO_INTEGRATION
from tests.support.crawl import crawl
from tests.support.helpers import FULL_AUTH, SECRET, prove_present
from tests.support.import_form import upload
from tests.support.made_up_language import (
    LANGUAGE,
    assert_none_is_stored,
    made_up_language,
    stored_names,
    untranslated,
)
from tests.support.urls import address, things

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("crawl")]

LIST = reverse("admin:connections_connectionauth_changelist")
WHILE = timedelta(minutes=5)


@pytest.fixture(autouse=True)
def language():
    with made_up_language():
        yield


class Reader:
    """Reads pages as a test client shows them, and notes what is untranslated, in `found`."""

    def __init__(self):
        self.found, self.seen, self.client = [], 0, None

    def be(self, name, **fields):
        user = User.objects.create_user(name, password="password", is_staff=True, **fields)
        self.client = Client(HTTP_ACCEPT_LANGUAGE=LANGUAGE)
        self.client.force_login(user)
        prove_present(self.client)
        return user

    def read(self, response, place):
        if not response["Content-Type"].startswith("text/html"):
            # What machines read; words for a page are in the progress of a run alone.
            text = response.getvalue().decode()
            if "⟦" in text and not place.endswith(("/progress/", "/jsi18n/")):
                self.found.append((place, "translated"))
            return
        if response.status_code in (301, 302, 405):
            return
        self.seen += 1
        html = response.content.decode()
        assert f'<html lang="{LANGUAGE}"' in html, place
        words = untranslated(html, stored_names())
        self.found += [(place, text) for text in words]

    def get(self, path, data=None):
        response = self.client.get(path, data, follow=True)
        self.read(response, path)
        return response

    def post(self, path, data):
        response = self.client.post(path, data, follow=True)
        self.read(response, f"POST {path}")
        return response

    def assert_content(self):
        assert not self.found, "\n".join(map(str, dict.fromkeys(self.found)))
        assert_none_is_stored()


@pytest.fixture
def reader():
    return Reader()


def test_what_is_not_translated_is_found():
    with translation.override(LANGUAGE):
        text = translation.gettext("Save")
    page = f'<p title="Left over">{text} <b>everything</b> <code>accessToken</code></p>'
    assert untranslated(page) == ["Left over", "everything"]


def test_pages_of_all_addresses():
    visits = crawl("superuser").visits
    assert len([visit for visit in visits if visit.is_page]) > 40
    assert {visit.route: visit.untranslated for visit in visits if visit.untranslated} == {}
    assert all(f'<html lang="{LANGUAGE}"' in visit.content for visit in visits if visit.is_page)
    # Of what machines read, only the progress of a run has words: those that a page shows.
    translated = {visit.route for visit in visits if "⟦" in visit.content and not visit.is_html}
    assert translated <= {"import/<id>/progress/", "changes/<id>/progress/", "jsi18n/"}


def test_pages_in_their_other_states(reader, monkeypatch):
    user = reader.be("ada", is_superuser=True)
    reader.get("/admin/")
    reader.get(LIST)
    objects = things(user)
    record = ConnectionAuth.objects.get(connection_id="c")
    page = reverse("admin:connections_connectionauth_change", args=[record.pk])

    # The list and the dashboard, narrowed.
    for query in (
        "?q=nothing+such",
        "?bucket=broken&kind=api_key&paused=1&renewable=0&environment=Production",
        f"?unreadable=1&old_key=missing&integration={NO_INTEGRATION}&needs=person&other_than=hubspot",
        "?breaks=2026-01-01T00:00:00Z..2027-01-01T00:00:00Z",
    ):
        reader.get(LIST + query)
        reader.get(f"{page}?{urlencode({'_changelist_filters': query[1:]})}")
        reader.get(reverse("admin:connections_views") + query)
    reader.get("/admin/?environment=Nowhere")

    # Records in all their states, and one that is changed.
    ConnectionAuth.objects.filter(pk=record.pk).update(
        unreadable_fields=["pem"], is_paused=True, last_unhealthy_code="TIMEOUT"
    )
    for one in ConnectionAuth.objects.all():
        reader.get(reverse("admin:connections_connectionauth_change", args=[one.pk]))
    reader.post(page, {"api_url": "ftp://example.com", "expiry_date": "31.2.", "emails": "x"})
    reader.post(page, {"version": record.version, "meta": "{", "key": "x", "clear_key": "on"})
    reader.post(page, {"version": record.version, "api_url": "https://other.example.com"})
    reader.post(
        page, {"version": record.version, "name": "Another", "refresh_token": " with a blank"}
    )
    reader.get(reverse("admin:connections_connectionauth_history", args=[record.pk]))
    versions = reverse("admin:connections_connectionauth_versions", args=[record.pk])
    reader.get(versions)
    reader.post(versions, {"former_version": "0"})
    reader.post(
        reverse("admin:connections_integration_change", args=[objects["integration"]]),
        {"type": "hubspot", "token_url": "ftp://x"},
    )

    # The bin, exports, views, secrets.
    reader.post(reverse("admin:connections_connectionauth_delete", args=[record.pk]), {"post": 1})
    reader.post(reverse("admin:connections_bin_restore", args=[record.pk]), {})
    reader.post(reverse("admin:connections_bin_purge", args=[objects["bin"]]), {})
    reader.get(reverse("admin:connections_bin"))
    reader.post(reverse("admin:connections_export"), {"secrets": "none"})
    views = reverse("admin:connections_views")
    reader.post(f"{views}?kind=other", {"name": "Mine"})
    reader.post(f"{views}?kind=other", {"name": "Mine"})
    reader.post(views, {"name": "All"})
    reader.get(LIST)
    find = reverse("admin:connections_find_secret")
    for secret in (SECRET, "nowhere", ""):
        reader.post(find, {"secret": secret, "former": "on"})
    reveal = address("connections_connectionauth_reveal", objects)
    once = reader.get(reveal).context["form"]["nonce"].value()
    reader.post(reveal, {"nonce": once, "reason": ""})
    reader.post(reveal, {"nonce": once, "reason": "OPS-1"})
    reader.post(reveal, {"nonce": once, "reason": "OPS-1"})
    reader.assert_content()


def test_pages_of_changes_of_many(reader):
    user = reader.be("ada", is_superuser=True)
    things(user)
    ids = [str(pk) for pk in ConnectionAuth.objects.values_list("pk", flat=True)]
    for action in ("pause", "resume", "set_environment", "set_integration", "move_to_bin"):
        asked = reader.post(LIST, {"action": action, "_selected_action": ids})
        run = asked.redirect_chain[-1][0]
        reader.post(run, {"value": ""})
        reader.post(run, {"value": "hubspot" if "integration" in action else "Sandbox"})
        reader.post(run, {"confirm": "1"})
        reader.post(run, {"undo": "1"})
    reader.post(LIST, {"action": "export_selected", "_selected_action": ids})
    reader.get(reverse("admin:connections_changes"))
    reader.get(reverse("admin:connections_audit"))
    reader.assert_content()


# An entry for every text of a verdict that the page of an import shows.
ODD = (
    {"id": "1", "auth": {"name": "N", "accessToken": 5, "expiryDate": "x", "tokenUrl": "ftp:"}},
    {"id": "2", "auth": {"name": "N", "emails": ["x"] * 30, "expiryDate": "2026-11-30T10:00:00"}},
    {"id": "3", "auth": {"name": "x" * 300, "meta": [], "expiresIn": "1", "otherAuthInfo": 1}},
    {"id": "4", "auth": {"name": "N", "odd": 1, "apiUrl": "https://u@10.0.0.1", "key": " x "}},
    {"id": "", "auth": {"key": "********", "expiresIn": -1, "pem": "no"}, "is_paused": 1},
    {"id": "5", "auth": {"name": "N", "expiryDate": "", "expires_in": 1, "expiresIn": 2}},
    {"id": "6", "auth": FULL_AUTH},
    {"id": "6", "auth": {"name": "N"}},
    {"token": 5},
    5,
)


def test_pages_of_an_import(reader, monkeypatch):
    launched = []
    monkeypatch.setattr(runs, "launch", launched.append)
    reader.be("ada", is_superuser=True)
    start = reverse("admin:connections_import")
    reader.post(start, {"text": ""})
    for content in ("no JSON", "", b"\xff", "[1", "5"):
        reader.get(upload(reader.client, content).url)
    path = upload(reader.client, ODD).url
    reader.get(path)
    for policy in ("replace", "skip", "fail"):
        reader.get(path, {"on_conflict": policy, "atomic": "1", "allow_older": "1"})
    reader.post(path, {})
    run = ImportRun.objects.get(pk=launched[0].pk)
    progress = reader.client.get(path + "progress/").json()
    reader.found += [(path, text) for text in progress["words"].values() if untranslated(text)]
    ImportRun.objects.filter(pk=run.pk).update(heartbeat_at=run.heartbeat_at - WHILE)
    reader.get(path)
    reader.get(start)
    reader.post(path, {"continue": "1"})
    import_job.execute(run.pk)
    assert reader.get(path).context["result"]["rejected"] > 3
    reader.post(path, {"undo": "1"})
    reader.get(reverse("admin:connections_import_history"))
    reader.post(
        reverse("admin:connections_import_integrations"),
        {"text": '[{"type": "a"}, {"type": 5}, 5, {"type": "b", "name": 5}]'},
    )
    reader.assert_content()


def test_pages_of_who_may_do_little_and_of_errors(reader):
    reader.client = Client(HTTP_ACCEPT_LANGUAGE=LANGUAGE)
    login = reverse("account_login")
    reader.get(login)
    reader.post(login, {"login": "ada", "password": "wrong"})
    bob = reader.be("bob")
    for path in ("/admin/", LIST, "/admin/no/such/page/"):
        reader.get(path)
    reader.post(reverse("account_reauthenticate"), {"password": "wrong"})
    reader.post(reverse("account_change_password"), {"oldpassword": "x", "password1": "y"})
    reader.post(reverse("mfa_activate_totp"), {"code": "1"})
    for name in ("mfa_index", "mfa_list_webauthn", "mfa_view_recovery_codes"):
        reader.get(reverse(name))
    session = reader.client.session
    session["session_seen"] = 0
    session.save()
    reader.get("/admin/")

    TOTP.activate(bob, base64.b32encode(b"a secret of 20 bytes").decode())
    reader.client = Client(HTTP_ACCEPT_LANGUAGE=LANGUAGE)
    reader.post(login, {"login": "bob", "password": "password"})
    with translation.override(LANGUAGE):
        for name in ("400", "403", "403_csrf", "404", "429", "500", "503"):
            html = render_to_string(f"{name}.html")
            assert f'<html lang="{LANGUAGE}"' in html
            reader.found += [(name, text) for text in untranslated(html)]
    assert reader.seen > 12
    reader.assert_content()


def test_sentences_of_issues_are_all_translated():
    with translation.override(LANGUAGE):
        params = {"count": 3, "limit": 255}
        for key in issues.MESSAGES:
            message = wording.issue_message(issues.Issue(key, params=params))
            assert message.startswith("⟦"), message
        params = {"file": "a.json", "line": 3, "column": 4, "outcome": "nothing_stored"}
        late = wording.issue_message(issues.Issue("truncated", params=params))
        assert untranslated(late, ["a.json"]) == []
