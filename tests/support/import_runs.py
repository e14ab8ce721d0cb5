"""Imports that were confirmed in the browser, and a process for none of them."""

import socket
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from connections.import_export import importer
from connections.jobs import import_job, runs
from connections.json_format.stream import reader
from connections.models import ImportRun
from tests.support.helpers import SECRET
from tests.support.import_form import upload

HISTORY = reverse("admin:connections_import_history")
GONE = f"{socket.gethostname()} 999999999 1"


def entries(count):
    return [
        {"id": f"c-{n}", "integrationType": "hubspot", "auth": {"key": f"{SECRET}-{n}"}}
        for n in range(count)
    ]


@pytest.fixture
def launched(monkeypatch):
    """The runs that a process would have been started for; none is."""
    found = []
    monkeypatch.setattr(runs, "launch", lambda run: found.append(run.pk))
    return found


@pytest.fixture
def run(client, launched):
    """A confirmed import of 40 records and a refusal, which waits for its process."""
    return confirmed(client)


def confirmed(client, **choices):
    url = upload(client, [*entries(40), {"token": 1}]).url
    client.post(url, choices)
    return ImportRun.objects.latest("created_at")


def page_of(run):
    return reverse("admin:connections_import_run", args=[run.pk])


def progress(client, run):
    return client.get(page_of(run) + "progress/").json()


def interrupt(run):
    """As after a kill, when nothing was heard for a while."""
    ImportRun.objects.filter(pk=run.pk).update(
        process=GONE, heartbeat_at=timezone.now() - timedelta(seconds=31)
    )
    run.refresh_from_db()


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of a few records, and a note after each."""
    monkeypatch.setattr(reader, "ENTRIES_PER_PIECE", 8)
    monkeypatch.setattr(importer, "PIECES_PER_TRANSACTION", 1)
    monkeypatch.setattr(import_job, "PROGRESS_INTERVAL", 0)
