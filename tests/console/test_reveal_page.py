"""Revealing a secret: who may, after which proof, with which trace, and that it is shown once."""

import html
import json
import re
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.audit import log
from connections.console.pages.reveal import FORM_SESSION_KEY
from connections.encryption.fields import Sealed
from connections.encryption.keyring import KeyringError, SealError
from connections.models import SEALED_COLUMNS, AccessEvent, ConnectionAuth
from connections.records import reveal as records_reveal
from tests.support.helpers import (
    FULL_AUTH,
    NOW,
    SECRET,
    import_text,
    latest_event,
    make,
    member_of,
    prove_present,
)

pytestmark = pytest.mark.django_db

REASON = "OPS-2318: the provider asks for its last digits"
LINE_ENDS = f"\n{SECRET} one\r\ntwo \n\rthree\r\n"


def present(group, **limits):
    """A client of a member of the group who has given the password just now."""
    return prove_present(member_of(group, **limits))


@pytest.fixture
def custodian():
    return present("Custodian")


@pytest.fixture
def record():
    return make(name="Acorn Ltd", access_token=SECRET, environment="Sandbox")


def url_of(record, field="access_token"):
    return reverse("admin:connections_connectionauth_reveal", args=[record.pk, field])


def record_page(record):
    return reverse("admin:connections_connectionauth_change", args=[record.pk])


def form_of(client, url, reason=REASON):
    """What the page that asks would send."""
    return {"nonce": client.get(url).context["form"].initial["nonce"], "reason": reason}


def reveal(client, record, field="access_token", **form):
    url = url_of(record, field)
    return client.post(url, {**form_of(client, url), **form}, REMOTE_ADDR="192.0.2.7")


def shown(response):
    """The value on the page, as a browser reads it."""
    text = response.content.decode()
    [value] = re.findall(r"<pre[^>]*>\n(.*)</pre>", text, re.DOTALL)
    assert response["Cache-Control"] == "no-store"
    return html.unescape(value.replace("\r\n", "\n").replace("\r", "\n"))


def reveals():
    return AccessEvent.objects.filter(action="reveal")


# What is shown


def test_each_sealed_field(custodian):
    import_text([{"id": "c-1", "auth": {**FULL_AUTH, "newKey": {"a": SECRET}}}])
    record = ConnectionAuth.objects.get()
    for name in SEALED_COLUMNS:
        stored = getattr(record, name).reveal()
        text = shown(reveal(custodian, record, name))
        assert (text if isinstance(stored, str) else json.loads(text)) == stored, name
    assert reveals().count() == len(SEALED_COLUMNS)


def test_objects_are_indented(custodian):
    record = make(meta={"realm": "Zürich <b>", "list": [1]})
    expected = '{\n  "realm": "Zürich <b>",\n  "list": [\n    1\n  ]\n}'
    assert shown(reveal(custodian, record, "meta")) == expected


def test_text_is_unaltered(custodian):
    for value in ("", LINE_ENDS, "<script>&amp;'\"</pre>", " \t ü\U0001f511"):
        assert shown(reveal(custodian, make(pem=value), "pem")) == value


def test_the_page_that_asks_for_a_reason_shows_and_audits_nothing(custodian, record):
    page = custodian.get(url_of(record))
    content = page.content.decode()
    assert "Reveal the access token?" in content
    assert SECRET not in content
    assert page["Cache-Control"] == "no-store"
    assert not reveals().exists()


def test_without_scripts_the_page_leaves_by_itself(custodian, record):
    content = reveal(custodian, record).content.decode()
    refresh = f'<meta http-equiv="refresh" content="30; url={record_page(record)}">'
    assert f"<noscript>{refresh}</noscript>" in content


def test_it_leaves_no_trace_in_the_session(custodian, record):
    assert shown(reveal(custodian, record)) == SECRET
    for session in Session.objects.all():
        assert SECRET not in json.dumps(session.get_decoded())


# Shown once


def test_a_form_cannot_be_sent_twice(custodian, record):
    form = form_of(custodian, url_of(record))
    assert shown(custodian.post(url_of(record), form)) == SECRET
    again = custodian.post(url_of(record), form)
    assert again.url == url_of(record)
    assert reveals().count() == 1
    asked = custodian.get(again.url).content.decode()
    assert "A value is shown once." in asked
    assert REASON not in asked


def test_of_two_posts_at_once_one_shows_the_value(custodian, record):
    form = form_of(custodian, url_of(record))
    before = custodian.session[FORM_SESSION_KEY]
    assert shown(custodian.post(url_of(record), form)) == SECRET
    session = custodian.session  # as the second found it, before the first was done
    session[FORM_SESSION_KEY] = before
    session.save()
    assert custodian.post(url_of(record), form).url == url_of(record)
    assert reveals().count() == 1


def test_the_form_of_another_field_or_record_is_refused(custodian):
    record, other = make(access_token=SECRET, token=SECRET), make(access_token=SECRET)
    for place in (url_of(record, "token"), url_of(other)):
        form = form_of(custodian, place)
        assert custodian.post(url_of(record), form).status_code == 302
    assert custodian.post(url_of(record), {"reason": REASON}).status_code == 302
    assert not reveals().exists()


# Who may


@pytest.mark.parametrize("group", ["Viewer", "Operator", "Auditor"])
def test_only_custodians_reveal(group, record):
    client = present(group)
    form = {"reason": REASON, "nonce": "x"}
    for response in (client.get(url_of(record)), client.post(url_of(record), form)):
        assert response.status_code == 403
    assert "/reveal/" not in client.get(record_page(record)).content.decode()
    assert not reveals().exists()


def test_users_with_a_scope_reveal_inside_it_only(record):
    client = present("Custodian", environments=["Sandbox"])
    assert shown(reveal(client, record)) == SECRET
    outside = url_of(make(access_token=SECRET))
    assert client.get(outside).status_code == 404
    assert client.post(outside, {"reason": REASON, "nonce": "x"}).status_code == 404


def test_only_sealed_fields_that_are_set_are_found(custodian, record):
    for field in ("refresh_token", "name", "content_digest", "pk", "__class__"):
        assert custodian.get(url_of(record, field)).status_code == 404, field


def test_nothing_is_revealed_from_the_bin(custodian, record):
    form = form_of(custodian, url_of(record))
    ConnectionAuth.objects.filter(pk=record.pk).update(binned_at=timezone.now())
    assert custodian.get(url_of(record)).status_code == 404
    assert custodian.post(url_of(record), form).status_code == 404


def test_it_takes_a_proof_of_the_last_five_minutes(record):
    with time_machine.travel(NOW, tick=False) as clock:
        client = present("Custodian")
        form = form_of(client, url_of(record))
        clock.shift(timedelta(minutes=5))
        for response in (client.get(url_of(record)), client.post(url_of(record), form)):
            assert response.url.startswith("/admin/account/reauthenticate/?next=")
        back = client.post(response.url, {"password": "password"}, follow=True)
        assert "Reveal the access token?" in back.content.decode()
    assert not reveals().exists()


def test_a_post_needs_the_token_of_its_form(record):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    assert client.post(url_of(record), {"reason": REASON}).status_code == 403


# Why


def test_it_takes_a_reason(custodian, record):
    url = url_of(record)
    form = form_of(custodian, url)
    for reason in ("", "   ", "...", "\u200b", "two\nlines", "a\x00b", "a\u202eb", "x" * 201):
        refused = custodian.post(url, {**form, "reason": reason})
        assert refused.status_code == 200
        assert "reason" in refused.context["form"].errors, reason
        assert SECRET not in refused.content.decode()
    assert not reveals().exists()
    assert shown(custodian.post(url, form)) == SECRET


def test_the_audit_log_has_user_field_and_reason(custodian, record):
    reveal(custodian, record)
    event = latest_event("reveal")
    assert (event.user, event.address, event.reason) == ("Custodian", "192.0.2.7", REASON)
    assert (event.record_id, event.record_name) == (str(record.pk), "Acorn Ltd")
    assert (event.fields, event.result) == (["access_token"], "done")


# What goes wrong


@pytest.mark.parametrize("error", [DatabaseError(), KeyringError("No.", ""), SealError()])
def test_without_an_entry_in_the_audit_log_there_is_no_secret(
    custodian, record, error, monkeypatch
):
    def refuse(*args, **kwargs):
        raise error

    form = form_of(custodian, url_of(record))
    with monkeypatch.context() as patched:
        patched.setattr(AccessEvent, "save", refuse)
        patched.setattr(Sealed, "reveal", lambda self: pytest.fail("It was opened."))
        response = custodian.post(url_of(record), form)
    assert response.status_code == 503
    assert "Nothing was revealed" in response.content.decode()
    assert response["Cache-Control"] == "no-store"
    # Nothing was shown, so that the same form may be sent again.
    assert shown(custodian.post(url_of(record), form)) == SECRET


def test_a_value_that_does_not_open_is_shown_as_such_and_audited(custodian, record):
    other = make(access_token=f"{SECRET}-other")
    for token in ("garbage", other.access_token.token):
        moved = Sealed(token, "access_token", str(record.pk))
        ConnectionAuth.objects.filter(pk=record.pk).update(access_token=moved)
        page = custodian.get(reveal(custodian, record).url).content.decode()
        assert "Access token does not open" in page
        assert SECRET not in page
        assert latest_event("reveal").result == "failed"
        assert ConnectionAuth.objects.get(pk=record.pk).unreadable_fields == ["access_token"]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("is_atomic", [False, True])
def test_the_entry_is_committed_before_the_value_is_opened(monkeypatch, is_atomic):
    record, client = make(access_token=SECRET), present("Custodian")
    form = form_of(client, url_of(record))
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    seen = []

    def committed():
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute(
                f"SELECT reason FROM {AccessEvent._meta.db_table} WHERE action = 'reveal'"
            )
            found = cursor.fetchall()
        other.close()
        return found

    def look_and_fail(self):
        seen.append((committed(), connection.in_atomic_block))
        raise RuntimeError("after the entry")

    monkeypatch.setattr(Sealed, "reveal", look_and_fail)
    client.raise_request_exception = False
    assert client.post(url_of(record), form).status_code == 500
    assert seen == [([(REASON,)], False)]
    assert committed() == [(REASON,)]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_inside_a_transaction_nothing_is_revealed(monkeypatch):
    record = make(access_token=SECRET)
    monkeypatch.setattr(log, "log_event", lambda *args, **kwargs: pytest.fail("It was audited."))
    monkeypatch.setattr(Sealed, "reveal", lambda self: pytest.fail("It was opened."))
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        records_reveal.reveal(record, "access_token", REASON)


# On the page of the record


def test_the_record_offers_a_reveal_of_each_value_that_opens(custodian):
    record = make(access_token=SECRET, pem=SECRET, extra={"a": 1})
    record.mark_unreadable(["pem"])
    links = re.findall(
        r'href="([^"]*/reveal/[^"]*)"', custodian.get(record_page(record)).content.decode()
    )
    assert links == [url_of(record, "access_token"), url_of(record, "extra")]
