"""Two people save one connection: nothing is overwritten, and the second is told."""

import threading

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from connections.console.records.admin import ConnectionAuthAdmin
from connections.models import AccessEvent, ConnectionAuth
from connections.records import recycle_bin
from tests.support.change_runs import choose, confirm
from tests.support.helpers import import_text, user_with
from tests.support.record_form import form_data, full_record, messages_of, page, save, stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(admin_client):
    return admin_client  # of the test alone, since one of them commits


def test_the_second_to_save_sees_who_was_first_and_overwrites_nothing(client):
    record = full_record()
    opened = form_data(record)
    ada = user_with("view_connectionauth", "change_connectionauth")
    save(ada, record, app_id="ada's", key="ada-key")
    response = client.post(page(record), {**opened, "app_id": "mine", "key": "synth-my-key"})
    assert response.status_code == 200
    content = response.content.decode()
    assert "Somebody else saved this connection meanwhile" in content
    assert "<strong>somebody</strong>" in content
    assert "synth-my-key" not in content
    after = stored(record)
    assert after.app_id == "ada's"
    assert after.key.reveal() == "ada-key"
    # Sending it again without a look changes nothing either.
    client.post(page(record), {**opened, "app_id": "mine"})
    assert stored(record).app_id == "ada's"


def test_the_second_to_save_sees_who_made_a_bulk_change(client, monkeypatch):
    monkeypatch.setattr(recycle_bin, "MAX_LOGGED_BY_NAME", 0)  # one audit entry for all of them
    record = full_record()
    opened = form_data(record)
    ada = user_with("view_connectionauth", "change_connectionauth")
    confirm(ada, choose(ada, "pause", [record]))
    response = client.post(page(record), {**opened, "app_id": "mine"})
    assert "<strong>somebody</strong>" in response.content.decode()


def test_a_change_by_an_import_names_no_user(client):
    record = full_record()
    save(client, record, app_id="first")
    opened = form_data(record)
    import_text([{"id": "conn-1", "integrationType": "hubspot", "environment": "Live"}])
    response = client.post(page(record), {**opened, "app_id": "mine"})
    assert "Somebody else saved" in response.content.decode()
    assert not response.context["conflict"]
    assert stored(record).app_id == "first"


@pytest.mark.parametrize("version", ["", "x", "0", "-1", "99999999999999999999"])
def test_a_form_without_the_version_that_was_seen_changes_nothing(client, version):
    record = full_record()
    response = save(client, record, version=version, app_id="mine")
    assert response.status_code == 200
    assert stored(record).app_id == "app-1"


def test_when_both_post_at_once_the_second_meets_a_conflict(client, monkeypatch):
    record = full_record()
    save_model = ConnectionAuthAdmin.save_model

    def first_somebody_else(self, request, obj, form, change):
        ConnectionAuth.objects.filter(pk=obj.pk).update(app_id="theirs", version=obj.version + 1)
        save_model(self, request, obj, form, change)

    monkeypatch.setattr(ConnectionAuthAdmin, "save_model", first_somebody_else)
    response = save(client, record, app_id="mine")
    assert (
        "changed by somebody else meanwhile. Nothing is overwritten." in messages_of(response)[-1]
    )
    assert stored(record).app_id == "app-1"  # theirs was part of the same transaction here
    assert not AccessEvent.objects.filter(action="change").exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_two_threads_one_saves_and_one_meets_a_conflict(admin_user):
    if not connection.features.has_select_for_update:
        pytest.skip("SQLite in memory is one connection's own.")
    record = full_record()
    data, answers, start = form_data(record), [], threading.Barrier(2)
    clients = [Client(), Client()]
    for client in clients:
        client.force_login(admin_user)

    def send(client):
        start.wait()
        answers.append(client.post(page(record), {**data, "app_id": "x", "key": "k"}))
        connection.close()

    threads = [threading.Thread(target=send, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told, saved = sorted(answers, key=lambda answer: answer.status_code)
    assert (told.status_code, saved.status_code) == (200, 302)
    assert "Somebody else saved this connection meanwhile" in told.content.decode()
    assert stored(record).version == record.version + 1


def test_saving_locks_the_row(client):
    record = full_record()
    data = form_data(record)
    with CaptureQueriesContext(connection) as queries:
        client.post(page(record), {**data, "app_id": "x"})
    locks = [query for query in queries if "FOR UPDATE" in query["sql"]]
    assert bool(locks) == connection.features.has_select_for_update


def test_deleted_meanwhile(client):
    record = full_record()
    data = form_data(record)
    record.delete()
    assert client.post(page(record), {**data, "app_id": "x"}).status_code == 404
    assert not ConnectionAuth.all_objects.exists()
