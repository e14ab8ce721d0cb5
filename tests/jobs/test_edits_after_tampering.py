"""Edits and imports of a tampered record do not hide what was changed behind the console."""

import pytest
from django.urls import reverse

from connections.jobs import integrity
from connections.models import ConnectionAuth, Integration
from connections.records import recycle_bin
from tests.support.helpers import import_text, make, member_of
from tests.support.record_form import page, save

pytestmark = pytest.mark.django_db

GOOD, EVIL = "https://login.example.com/token", "https://evil.example/token"
ENTRY = {"id": "c1", "auth": {"key": "k", "tokenUrl": GOOD, "name": "A"}}


def stored(**changed):
    """A record, then changed with SQL."""
    record = make(name="A", key="k", token_url=GOOD, connection_id="c1")
    ConnectionAuth.objects.filter(pk=record.pk).update(**(changed or {"token_url": EVIL}))
    return ConnectionAuth.objects.get(pk=record.pk)


def codes():
    return [fault.code for fault in integrity.verify().faults]


@pytest.mark.parametrize(
    "changes", [{"name": "B"}, {"environment": "Test"}, {"key": "new"}, {"token_url": EVIL + "2"}]
)
def test_an_edit_does_not_legitimise_a_tampered_endpoint(changes):
    record = stored()
    new = {"key": "new"} if "token_url" in changes else {}
    assert save(member_of("Operator"), record, **changes, **new).status_code == 302
    record.refresh_from_db()
    assert record.version == 2
    assert codes() == ["content_changed"]


def test_an_edit_does_not_replace_a_removed_digest():
    record = stored(token_url=EVIL, content_digest=None)
    save(member_of("Operator"), record, name="B")
    assert codes() == ["no_digest"]


def test_an_edit_that_repairs_the_tampered_field_makes_the_record_sound():
    save(member_of("Operator"), stored(), token_url=GOOD, key="k")
    assert codes() == []
    record = ConnectionAuth.objects.get()
    save(member_of("Operator", "another"), record, name="B")
    assert codes() == []


def test_restoring_a_version_does_not_legitimise_a_tampered_endpoint():
    client, record = member_of("Operator"), make(name="A", key="k", connection_id="c1")
    save(client, record, environment="Test")
    ConnectionAuth.objects.update(refresh_url=EVIL)
    posted = {"former_version": record.former_versions.get().pk, "version": 2}
    assert client.post(page(record, "versions"), posted).status_code == 302
    assert ConnectionAuth.objects.get().environment is None
    assert codes() == ["content_changed"]


@pytest.mark.parametrize("on_conflict", ["update", "replace"])
def test_an_import_does_not_legitimise_what_it_keeps(on_conflict):
    stored(refresh_url=EVIL)
    around = {"id": "c1", "environment": "Test"}
    masked = {**ENTRY["auth"], "name": "B", "refreshUrl": EVIL, "key": "********"}
    import_text([{**around, "auth": masked}], on_conflict=on_conflict)
    assert ConnectionAuth.objects.get().environment == "Test"
    assert codes() == ["content_changed"]


def test_an_import_that_replaces_a_record_in_the_bin_makes_it_sound():
    record = stored(refresh_url=EVIL)
    import_text([ENTRY], on_conflict="replace")
    assert codes() == ["content_changed"]  # by its digest it is what the file says
    recycle_bin.move(ConnectionAuth.objects.filter(pk=record.pk), None)
    import_text([ENTRY], on_conflict="replace")
    assert ConnectionAuth.objects.get().refresh_url is None
    assert codes() == []


def test_an_edit_of_an_integration_does_not_legitimise_a_tampered_token_url():
    integration = Integration.objects.create(type="x", name="X", token_url=GOOD)
    Integration.objects.update(token_url=EVIL)
    url = reverse("admin:connections_integration_change", args=[integration.pk])
    data = {"name": "Y", "auth_type": "", "token_names": "", "token_instructions": ""}
    for role, address in (("Operator", {}), ("Custodian", {"token_url": EVIL})):
        changed = {**data, "name": role, "categories": "", **address}
        assert member_of(role).post(url, changed).status_code == 302
        assert Integration.objects.get().name == role
        assert codes() == ["token_url_changed"]
    member_of("Custodian", "another").post(url, {**changed, "token_url": GOOD})
    assert codes() == []
