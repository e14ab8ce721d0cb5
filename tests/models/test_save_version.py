"""Writing a stored connection: its version, its derived columns and its fingerprints."""

import pytest
from django.db import IntegrityError

from connections.models import ConnectionAuth, SecretFingerprint, VersionConflict
from tests.support.helpers import SECRET, make
from tests.support.sealed_columns import load

pytestmark = pytest.mark.django_db


def fingerprints(record):
    return {*SecretFingerprint.objects.filter(record=record.pk).values_list("field", flat=True)}


def test_save_creates_and_derives():
    record = ConnectionAuth(name="Acme", token=SECRET)
    record.save()
    assert (record.version, record.auth_kind) == (1, "api_key")
    assert load(record).content_digest and fingerprints(record) == {"token"}


def test_save_refuses_a_stored_record():
    record = make(name="Acme")
    record.name = "Other"
    for known in (record, load(record)):
        with pytest.raises(TypeError, match="save_version"):
            known.save()
    with pytest.raises(TypeError, match="save_version"):
        ConnectionAuth.objects.update_or_create(pk=record.pk, defaults={"name": "Other"})
    assert load(record).name == "Acme"


def test_save_never_replaces_a_record_of_the_same_id():
    record = make(name="Acme")
    with pytest.raises(IntegrityError):
        ConnectionAuth(pk=record.pk, name="Other").save()


def test_save_version_writes_what_is_named_and_what_follows_from_it():
    record = make(name="Acme", token=SECRET)
    before = load(record)
    record.name, record.key, record.app_id = "Other", "synth-key", "not named"
    record.save_version(["name", "key"])
    stored = load(record)
    assert (stored.name, stored.key.reveal(), stored.app_id) == ("Other", "synth-key", None)
    assert record.version == stored.version == 2
    assert record.updated_at == stored.updated_at > before.updated_at
    assert stored.content_digest not in (None, before.content_digest)
    assert fingerprints(record) == {"token", "key"}


def test_save_version_of_the_whole_record():
    record = load(make(name="Acme", token=SECRET))
    record.token, record.integration_name, record.workspace_id = None, "X", "w-1"
    record.save_version()
    stored = load(record)
    assert (stored.integration_name, stored.workspace_id) == ("X", "w-1")
    assert stored.auth_kind == "empty"
    assert fingerprints(record) == set()


def test_columns_may_be_named_as_attributes():
    record = make(name="Acme", token=SECRET)
    record.environment, before = "Sandbox", load(record).identity_digest
    record.save_version(["integration_id", "environment"])
    assert load(record).identity_digest not in (None, before)


@pytest.mark.parametrize("update_fields", [None, ["name"], ["external_xref"]])
def test_save_version_never_overwrites_another_change(update_fields):
    ours = make(name="Acme", token=SECRET)
    theirs = load(ours)
    theirs.name = "Theirs"
    theirs.save_version(["name"])
    ours.name = ours.external_xref = "Ours"
    with pytest.raises(VersionConflict):
        ours.save_version(update_fields)
    assert ours.version == 1
    stored = load(ours)
    assert (stored.name, stored.external_xref, stored.version) == ("Theirs", None, 2)


def test_save_version_of_a_record_that_is_gone_is_a_conflict():
    record = make(name="Acme", token=SECRET)
    ConnectionAuth.objects.all().delete()
    with pytest.raises(VersionConflict):
        record.save_version()
