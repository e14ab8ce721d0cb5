"""The page of a connection that does not open: it is shown, mended and deleted all the same."""

import pytest
from cryptography.fernet import Fernet

from connections.models import ConnectionAuth
from tests.support.helpers import FULL_AUTH, make
from tests.support.record_form import LIST, full_record, page, save, spoil, stored

pytestmark = pytest.mark.django_db


def unreadable_record():
    record = full_record()
    foreign = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    spoil(record, "key", token=foreign)
    spoil(record, "meta", token="garbage")
    spoil(record, "extra", token="")
    return record


def test_an_unreadable_record_gets_its_badge_when_it_is_opened(client):
    record = unreadable_record()
    assert ">Unreadable<" not in client.get(LIST).content.decode()
    content = client.get(page(record)).content.decode()
    assert content.count("Stored, does not open") == 3
    assert ">Unreadable<" in content
    assert stored(record).unreadable_fields == ["extra", "key", "meta"]
    assert stored(record).version == record.version
    assert ">Unreadable<" in client.get(LIST).content.decode()


def test_an_unreadable_record_can_be_corrected(client):
    record = unreadable_record()
    save(client, record, app_id="x")  # without the rest being in the way
    assert stored(record).app_id == "x"
    assert sorted(stored(record).unreadable_fields) == ["extra", "key", "meta"]
    assert stored(record).content_digest is None
    save(client, record, key="new", meta="{}", clear_extra="on")
    after = stored(record)
    assert after.unreadable_fields is None
    assert after.content_digest
    assert (after.key.reveal(), after.meta.reveal(), after.extra) == ("new", {}, None)
    assert after.access_token.reveal() == FULL_AUTH["accessToken"]
    assert ">Unreadable<" not in client.get(LIST).content.decode()


def test_a_token_copied_from_another_record_does_not_stop_the_page(client):
    record, other = full_record(), make(name="B", key="theirs")
    spoil(record, "key", token=other.key.token)
    assert client.get(page(record)).status_code == 200
    save(client, record, app_id="x")
    assert stored(record).unreadable_fields == ["key"]
    assert "Stored, does not open" in client.get(page(record)).content.decode()


def test_an_unreadable_record_can_be_deleted(client):
    record = unreadable_record()
    assert client.get(page(record, "delete")).status_code == 200
    client.post(page(record, "delete"), {"post": "yes"})
    assert not ConnectionAuth.objects.exists()
