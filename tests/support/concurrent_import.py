"""A connection that is stored, and what an import of it once more makes of it."""

import json

from connections.models import ConnectionAuth
from tests.support.helpers import FULL_AUTH, SECRET, export_text, import_text

MASK = "********"
# All fields, in the order of the API.
FULL = {
    "id": "conn-1",
    "createdAt": "2026-01-01T00:00:00.000Z",
    "updatedAt": "2026-11-01T00:00:00.500Z",
    "workspaceId": "w",
    "integrationType": "hubspot",
    "integrationName": "HubSpot",
    "externalXref": "x",
    "permissions": ["crm_read", "not_known_yet"],
    "categories": [],
    "isPaused": False,
    "environment": "Sandbox",
    "lastHealthyAt": "2026-11-01T00:00:00.000Z",
    "lastUnhealthyAt": "2026-10-01T00:00:00.000Z",
    "lastUnhealthyCode": "401",
    "secretsmanagerId": "",
    "secretsmanagerKey": "k",
    "auth": {**FULL_AUTH, "future": {"deep": [SECRET]}},
    "futureToo": 1,
}


def snake(name):
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def connection(auth=None, **fields):
    """A Connection with the id `conn-1`."""
    entry = {"id": "conn-1", "integrationType": "hubspot", **fields}
    return entry if auth is None else {**entry, "auth": auth}


def store(*entries, **options):
    """Import entries into the store; all must be stored without an error."""
    result, _ = import_text(list(entries), **options)
    assert result.error is None and result.rejected == 0
    return ConnectionAuth.all_objects.order_by("id").last()


def verdict_of(entry, **options):
    """The verdict of one entry on its own."""
    result, verdicts = import_text([entry], **options)
    assert result.error is None
    return verdicts[0]


def auth_now(record=None):
    """The auth object of the record, or of the only one, as it is exported."""
    rows = ConnectionAuth.all_objects.all()
    if record:
        rows = rows.filter(pk=record.pk)
    [written] = json.loads(export_text(rows))
    return written


def table():
    """All that is stored of all records, to be compared."""
    return list(ConnectionAuth.all_objects.order_by("id").values())
