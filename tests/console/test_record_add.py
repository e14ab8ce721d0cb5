"""A connection is added in the browser, and refused where another one is it already."""

import re
from datetime import datetime, timezone

import pytest
from django.urls import resolve

from connections.models import SEALED_COLUMNS, ConnectionAuth, Integration
from tests.support.helpers import NOW, make
from tests.support.record_form import ADD, PLAIN_TEXT, add, errors_of, messages_of, save, stored

pytestmark = pytest.mark.django_db


def test_adding(client):
    Integration.objects.create(type="hubspot", name="HubSpot")
    response = add(
        client,
        name="New one",
        connection_id="c-9",
        integration="hubspot",
        access_token="t",
        meta='{"a": 1}',
        expiry_date="2030-01-01 00:00 Z",
    )
    assert messages_of(response) == ["<b>Added New one.</b> "]
    record = ConnectionAuth.objects.get()
    assert record.open_auth()[0] == {
        "access_token": "t",
        "meta": {"a": 1},
        "name": "New one",
        "expiry_date": datetime(2030, 1, 1, tzinfo=timezone.utc),
    }
    assert record.is_paused is None
    assert (record.connection_id, record.integration_id) == ("c-9", "hubspot")
    assert record.breaks_at == record.expiry_date
    assert record.locally_changed_at


def test_adding_has_an_input_for_each_field(client):
    content = client.get(ADD).content.decode()
    for name in {*SEALED_COLUMNS, *PLAIN_TEXT, "connection_id", "expiry_date"} - {"extra"}:
        assert f'name="{name}"' in content


def test_the_add_page_begins_with_the_identity(client):
    content = client.get(ADD).content.decode()
    asked = re.findall(r'<(?:input type="text"|select|textarea)[^>]* name="(\w+)"', content)
    assert asked[:4] == ["name", "connection_id", "integration", "environment"]


def test_refused_fields_are_named_and_linked_above_the_form(client):
    content = add(client, api_url="ftp://a", expiry_date="31 November").content.decode()
    alert = content.split('role="alert"')[1].split("</div>")[0]
    links = re.findall(r'<a href="#(\w+)">(.*?)</a>', alert)
    assert links == [("id_api_url", "API address"), ("id_expiry_date", "Access ends")]
    assert all(f'id="{place}"' in content for place, _ in links)
    assert "data-model-name" not in content, "the focus stays above, where that is said"


def test_an_id_that_is_taken_is_an_error_of_the_form(client):
    make(name="A", connection_id="c-1")
    response = add(client, connection_id="c-1", key="synth-typed")
    assert response.status_code == 200
    assert "connection_id" in errors_of(response)
    assert "synth-typed" not in response.content.decode()
    assert ConnectionAuth.objects.count() == 1


def test_an_id_that_a_record_in_the_bin_has_is_refused(client):
    make(name="A", connection_id="c-1", binned_at=NOW)
    response = add(client, connection_id="c-1")
    assert "Nothing is saved" in messages_of(response)[-1]
    assert ConnectionAuth.all_objects.count() == 1


def test_the_same_content_without_an_id_is_refused(client):
    add(client, name="A", key="k")
    response = add(client, name="A", key="k")
    assert "another connection without an id holds exactly this" in messages_of(response)[-1]
    assert ConnectionAuth.objects.count() == 1


def test_a_change_to_the_content_of_another_record_is_refused(client):
    make(name="A", key="k")
    record = make(name="B", key="k")
    assert "Nothing is saved" in messages_of(save(client, record, name="A"))[-1]
    assert stored(record).name == "B"


def test_an_address_fills_in_nothing(client):
    response = client.get(ADD, {"name": "From the link", "key": "synth-link", "is_paused": "1"})
    assert "From the link" not in response.content.decode()
    assert "synth-link" not in response.content.decode()
    client.post(ADD + "?name=Same&app_id=Same", {"name": "Same", "app_id": "Same"})
    assert ConnectionAuth.objects.get().app_id == "Same"


@pytest.mark.parametrize(
    ("button", "name"),
    [("_addanother", "add"), ("_continue", "change"), ("_save", "changelist")],
)
def test_the_links_of_the_buttons(client, button, name):
    response = add(client, name="A", **{button: "1"})
    assert resolve(response.url).url_name == f"connections_connectionauth_{name}"
