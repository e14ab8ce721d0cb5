"""Changes of many records, chosen and confirmed as a browser would."""

import pytest
from django.urls import reverse

from connections.jobs import bulk_change, runs
from connections.models import ChangeRun, ConnectionAuth, Integration
from tests.support.helpers import SECRET, make

LIST = reverse("admin:connections_connectionauth_changelist")


@pytest.fixture
def three():
    """Three in use: `a` is paused, `b` and `c` are not; `c` is in Sandbox."""
    Integration.objects.create(type="xero", name="Xero")
    Integration.objects.create(type="hubspot", name="HubSpot")
    return {
        "a": make(name="A", key=SECRET, integration_id="xero", is_paused=True),
        "b": make(name="B", key=SECRET + "b", integration_id="xero"),
        "c": make(name="C", key=SECRET + "c", environment="Sandbox", is_paused=False),
    }


def choose(client, action, records=(), query="", **value):
    """The address of the page that says what an action would do."""
    chosen = [str(record.pk) for record in records] or ["x"]
    across = {} if records else {"select_across": "1"}
    posted = {"action": action, "_selected_action": chosen, **across}
    url = client.post(LIST + query, posted).url
    if value:
        client.post(url, value)
    return url


def confirm(client, url):
    return client.post(url, {"confirm": "1"}, follow=True)


def run_of(url):
    return ChangeRun.objects.get(pk=url.rstrip("/").rpartition("/")[2])


def counts(url):
    result = run_of(url).result
    return result["changed"], result["already"], result["refused"]


def state(record):
    """What of a record a change of many may touch."""
    record = ConnectionAuth.all_objects.get(pk=record.pk)
    return record.is_paused, record.environment, record.integration_id, record.version


@pytest.fixture
def many(monkeypatch):
    """250 records, and batches of a hundred in the background, which the test calls."""
    for name, size in (("BATCH_SIZE", 100), ("MAX_IN_REQUEST", 10)):
        monkeypatch.setattr(bulk_change, name, size)
    monkeypatch.setattr(runs, "launch", lambda run: None)
    ConnectionAuth.objects.bulk_create(ConnectionAuth(name=f"N{n:03}") for n in range(250))
