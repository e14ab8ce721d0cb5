"""The audit log: entries are chained, appended one at a time, and never changed or deleted."""

import io
import json
import sys
from importlib import import_module

import pytest
from allauth.core.context import request_context
from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory

from connections.audit import log
from connections.encryption import keyring
from connections.models import AccessEvent, AppendOnlyError, ConnectionAuth

pytestmark = pytest.mark.django_db
TABLE = AccessEvent._meta.db_table
protect = import_module("connections.migrations.0001_initial").protect_audit_log


def test_an_entry_records_who_what_when_and_from_where():
    connection_ = ConnectionAuth.objects.create(name="CRM\nEU", access_token="secret-7f3a")
    request = RequestFactory().post("/", REMOTE_ADDR="192.0.2.7")
    request.user = User(username="alice")
    entry = log.log_event(
        "reveal", request=request, record=connection_, fields=["access_token"], reason="Ticket 7"
    )
    stored = AccessEvent.objects.get()
    assert (
        stored.as_dict()
        == entry.as_dict()
        == {
            "entry": 1,
            "at": stored.at.isoformat(timespec="microseconds"),
            "action": "reveal",
            "user": "alice",
            "address": "192.0.2.7",
            "record_type": "connection",
            "record_id": str(connection_.pk),
            "record_name": "CRM EU",
            "fields": ["access_token"],
            "count": None,
            "reason": "Ticket 7",
            "result": "done",
        }
    )


def test_without_a_request_the_user_is_the_account_that_runs_the_command(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "backup")
    assert log.log_event("export").user == "command: backup"


def test_the_current_request_is_the_default():
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.8")
    request.user = AnonymousUser()
    with request_context(request):
        entry = log.log_event("login_failed")
    assert (entry.user, entry.address) == ("", "192.0.2.8")
    assert log.log_event("export").address == ""


def test_each_entry_is_bound_to_the_one_before():
    first, second = log.log_event("export"), log.log_event("import")
    assert (first.previous, second.previous) == ("", first.mac)
    for entry in AccessEvent.objects.all():
        assert entry.mac == log.compute_mac(entry, keyring.audit_key())


def test_unknown_actions_and_results_are_refused():
    for words in ({"action": "peek"}, {"action": "export", "result": "perhaps"}):
        with pytest.raises(ValueError, match="knows no"):
            log.log_event(**words)
    assert not AccessEvent.objects.exists()


def test_an_entry_that_cannot_be_written_raises_an_error(monkeypatch):
    log.log_event("export")
    monkeypatch.setattr(AccessEvent, "save", lambda self: (_ for _ in ()).throw(DatabaseError))
    with pytest.raises(DatabaseError):
        log.log_event("export")


def test_names_are_escaped_so_that_none_can_forge_a_line():
    entry = log.log_event("export", user="a\x1b[2J\x00\u202eb", reason="one\ntwo")
    assert entry.user == r"a\u001b[2J\u0000\u202eb"
    assert "\n" not in entry.reason


def test_models_refuse_to_change_or_delete_an_entry():
    entry = log.log_event("export")
    entries = AccessEvent.objects.all()
    for attempt in (
        entry.save,
        entry.delete,
        entries.delete,
        lambda: entries.update(user="mallory"),
        lambda: entries.bulk_update([entry], ["user"]),
        lambda: entries.bulk_create([AccessEvent(id=2)]),
        lambda: AccessEvent(id=entry.id).save(force_update=True),
    ):
        with pytest.raises((AppendOnlyError, ValueError, DatabaseError)), transaction.atomic():
            attempt()
    assert AccessEvent.objects.get().user == entry.user


@pytest.mark.parametrize("statement", ["UPDATE {} SET reason = 'x'", "DELETE FROM {}"])
def test_the_database_refuses_to_change_or_delete_an_entry(statement):
    log.log_event("export")
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":  # the tests' database lacks one of the triggers
            cursor.execute("DROP TRIGGER audit_no_update")
            protect(None, connection.schema_editor())
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(statement.format(TABLE))
    assert AccessEvent.objects.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no TRUNCATE")
def test_postgresql_refuses_to_empty_the_log():
    log.log_event("export")
    with connection.cursor() as cursor:
        for event in ("update", "delete"):
            cursor.execute(f"DROP TRIGGER audit_no_{event} ON {TABLE}")
        protect(None, connection.schema_editor())
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(f"TRUNCATE {TABLE}")
    assert AccessEvent.objects.exists()


def test_an_entry_is_also_a_line_of_json(django_capture_on_commit_callbacks):
    out = io.StringIO()
    log.log_to(out)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            entry = log.log_event("export", user="alice", count=3)
    finally:
        log.log_to(sys.stderr)
    assert json.loads(out.getvalue()) == {"event": "audit", **entry.as_dict()}


def test_a_transaction_that_is_rolled_back_logs_nothing(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        log.log_event("export")
        transaction.set_rollback(True)
    assert not callbacks
    assert not AccessEvent.objects.exists()
