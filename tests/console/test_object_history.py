"""The history pages of integrations, users and groups: their entries of the audit log."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.urls import reverse

from connections.audit import log
from connections.models import ConnectionAuth, Integration
from tests.support.helpers import make, text_of
from tests.support.record_form import form_data, page

pytestmark = pytest.mark.django_db


def history_of(client, record):
    name = f"admin:{record._meta.app_label}_{record._meta.model_name}_history"
    return text_of(client.get(reverse(name, args=[record.pk])))


def test_an_integration(admin_client):
    admin_client.post(
        reverse("admin:connections_integration_add"),
        {"type": "hubspot", "name": "HubSpot", "token_names": "", "scopes": ""},
    )
    integration = Integration.objects.get()
    admin_client.post(
        reverse("admin:connections_integration_change", args=[integration.pk]),
        {"name": "Hub", "token_names": "", "scopes": ""},
    )
    text = history_of(admin_client, integration)
    assert "2 entries" in text
    assert text.index("Changed") < text.index("Added")
    assert "admin" in text


def test_a_user_and_a_group_of_the_same_id(admin_client):
    user = User.objects.create_user("bob", pk=4711)
    group = Group.objects.create(pk=4711, name="Night shift")
    user.groups.add(group)
    assert "Added: Night shift" in history_of(admin_client, user)
    assert "2 entries" in history_of(admin_client, user)
    assert "1 entry" in history_of(admin_client, group)


def test_without_any_entry(admin_client):
    assert "No history" in history_of(admin_client, Integration.objects.create(type="xero"))


def test_many_entries_have_pages(admin_client):
    integration = Integration.objects.create(type="xero")
    for _ in range(101):
        log.log_event("change", record=integration, user="ada")
    assert "101 entries" in history_of(admin_client, integration)
    url = reverse("admin:connections_integration_history", args=[integration.pk])
    assert admin_client.get(url, {"page": "2"}).content.decode().count("ada") == 1


def test_the_log_of_django_stays_empty(admin_client):
    record = make(name="CRM", key="k")
    admin_client.post(page(record), {**form_data(record), "app_id": "x"})
    admin_client.post(page(record, "delete"), {"post": "yes"})
    admin_client.post(reverse("admin:auth_group_add"), {"name": "Night shift"})
    group = Group.objects.get(name="Night shift")
    admin_client.post(reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"})
    assert not ConnectionAuth.objects.exists()
    assert not Group.objects.filter(pk=group.pk).exists()
    assert not LogEntry.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_post_to_the_history_of_a_connection_does_not_fail(admin_client):
    record = make(name="A")
    assert admin_client.post(page(record, "history")).status_code < 500
