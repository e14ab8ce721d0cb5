"""Which actions have entries in the audit log, and that no entry holds a value."""

import json
import signal

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.urls import reverse

from connections.import_export import integrations
from connections.jobs import import_job
from connections.models import AccessEvent, ConnectionAuth, Integration
from tests.support.helpers import FULL_AUTH, SECRET, Text, import_text, make, prove_present
from tests.support.import_runs import confirmed
from tests.support.record_form import form_data, page
from tests.support.stores import VENDORS, write

pytestmark = pytest.mark.django_db
ME = "command: tester"


@pytest.fixture(autouse=True)
def account(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "tester")


def latest(**expected):
    """The newest entry, which must have these values."""
    shown = AccessEvent.objects.order_by("-id")[0].as_dict()
    assert {name: shown[name] for name in expected} == expected
    return shown


def newest():
    """The number of the newest entry."""
    return AccessEvent.objects.count()


def test_logins(client, admin_user):
    login = reverse("account_login")
    client.post(login, {"login": "admin", "password": "wrong"}, REMOTE_ADDR="192.0.2.1")
    latest(action="login_failed", user="admin", address="192.0.2.1", result="failed", reason="")
    client.post(login, {"login": "admin", "password": "password"})
    latest(action="login", user="admin", address="127.0.0.1", result="done")
    client.post(reverse("account_logout"))
    latest(action="logout", user="admin")


def test_changes_of_a_user():
    user = User.objects.create_user("bob", password=SECRET)
    latest(action="add", record_type="user", record_name="bob", user=ME)
    user.set_password(f"{SECRET}-2")
    user.save()
    latest(action="change", record_id=str(user.pk), fields=["password"])
    user.is_staff = True
    user.save()
    latest(action="permission", fields=["is_staff"])
    before = newest()
    user.save()
    user.save(update_fields=["last_login"])
    assert newest() == before
    user.delete()
    latest(action="delete", record_type="user", record_name="bob")


def test_changes_of_groups_and_permissions_from_either_side():
    user, group = User.objects.create_user("bob"), Group.objects.get(name="Custodian")
    user.groups.add(group)
    added = latest(action="permission", record_name="bob", fields=["groups"], count=1)
    assert added["reason"] == "Added: Custodian"
    group.user_set.remove(user)
    removed = latest(action="permission", record_type="group", fields=["groups"], count=1)
    assert removed["reason"] == "Removed: bob"
    reveal = Permission.objects.get(codename="reveal_secrets")
    user.user_permissions.set([reveal])
    latest(action="permission", fields=["user_permissions"], reason="Added: reveal_secrets")
    user.user_permissions.clear()
    latest(action="permission", fields=["user_permissions"], reason="Removed: reveal_secrets")
    group.permissions.remove(reveal)
    latest(action="permission", record_name="Custodian", fields=["permissions"])
    before = newest()
    user.groups.clear()
    assert newest() == before


def test_the_administrator_who_changes_a_user_is_named(admin_client):
    user = User.objects.create_user("bob")
    admin_client.post(
        reverse("admin:auth_user_change", args=[user.pk]),
        {
            "username": "bob",
            "is_active": "on",
            "is_staff": "on",
            "groups": [Group.objects.get(name="Viewer").pk],
            "date_joined_0": f"{user.date_joined:%Y-%m-%d}",
            "date_joined_1": f"{user.date_joined:%H:%M:%S}",
        },
    )
    latest(action="permission", user="admin", address="127.0.0.1", fields=["groups"])
    assert AccessEvent.objects.filter(fields=["is_staff"], user="admin").exists()


def test_changes_of_a_connection_name_its_fields(admin_client):
    record = make(name="CRM", access_token=SECRET)
    data = {**form_data(record), "client_secret": f"{SECRET}-new", "app_id": "app-value-2"}
    admin_client.post(page(record), data)
    shown = latest(action="change", user="admin", record_type="connection", record_name="CRM")
    assert shown["fields"] == ["app_id", "client_secret"]
    assert shown["record_id"] == str(record.pk)
    assert SECRET not in json.dumps(shown)
    assert "app-value-2" not in json.dumps(shown)
    before = newest()
    admin_client.post(page(record), form_data(ConnectionAuth.objects.get()))
    assert newest() == before


def test_adding_and_deleting_in_the_admin(admin_client):
    add = reverse("admin:connections_connectionauth_add")
    admin_client.post(add, {"name": "CRM", "access_token": SECRET, "version": "1"})
    latest(action="add", record_name="CRM", fields=["access_token", "name"])
    admin_client.post(page(ConnectionAuth.objects.get(), "delete"), {"post": "yes"})
    latest(action="delete", record_name="CRM", user="admin")
    assert not ConnectionAuth.objects.exists()


def test_changes_of_an_integration(admin_client):
    integration = Integration.objects.create(type="hubspot")
    change = reverse("admin:connections_integration_change", args=[integration.pk])
    admin_client.post(change, {"name": "HubSpot", "auth_type": "oauth2"})
    latest(action="change", record_type="integration", fields=["auth_type", "name"])
    delete = reverse("admin:connections_integration_delete", args=[integration.pk])
    admin_client.post(delete, {"post": "yes"})
    latest(action="delete", record_type="integration", record_name="HubSpot", user="admin")


def test_an_import_has_an_entry_at_its_start_and_one_with_its_counts(tmp_path):
    path = tmp_path / "crm.json"
    path.write_text(json.dumps([FULL_AUTH, {"name": "Second"}, 7]))
    before = newest()
    with pytest.raises(SystemExit):
        call_command("import_connections", str(path), "--json")
    assert newest() == before + 2
    started = AccessEvent.objects.get(id=before + 1).as_dict()
    assert (started["result"], started["user"], started["count"]) == ("started", ME, None)
    assert started["reason"] == "(update): crm.json"
    shown = latest(action="import", user=ME, count=2, result="done")
    assert shown["reason"].startswith("2 created, 0 updated, 0 unchanged, 0 skipped, 1 refused")
    assert "crm.json" in shown["reason"]
    assert SECRET not in json.dumps(shown)


def test_without_an_entry_nothing_is_imported(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("The log can't be written.")

    monkeypatch.setattr("connections.audit.log.log_event", fail)
    with pytest.raises(OSError, match="log"):
        import_text([FULL_AUTH])
    assert not ConnectionAuth.objects.exists()


KILLED = """
import os, signal
from django.core.management import call_command
from connections.import_export.writer import Writer
write = Writer.write
def write_and_die(*args):
    write(*args)
    os.kill(os.getpid(), signal.SIGKILL)
Writer.write = write_and_die
call_command("import_connections", FILE)
"""


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_import_that_is_killed_leaves_its_first_entry(stores, vendor, tmp_path):
    store = stores.make(vendor)
    path = write(tmp_path / "crm.json", [FULL_AUTH])
    script = KILLED.replace("FILE", repr(str(path)))
    assert store.run("shell", "-v", "0", "-c", script).code == -signal.SIGKILL
    assert store.count() == 1
    asked = "SELECT result FROM connections_accessevent WHERE reason LIKE '%crm.json'"
    assert store.fetch(asked) == [("started",)]


def test_a_dry_run_has_no_entry_and_a_refused_file_a_failed_one():
    before = newest()
    import_text([FULL_AUTH], dry_run=True)
    assert newest() == before
    import_text("[")
    assert newest() == before + 2
    latest(action="import", count=0, result="failed")
    import_text([FULL_AUTH, 7], atomic=True)
    latest(action="import", count=0, result="failed")


def test_an_import_that_raises_an_error_has_a_failed_entry(monkeypatch):
    monkeypatch.setattr("connections.import_export.writer.Writer.write", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        import_text([FULL_AUTH])
    latest(action="import", count=0, result="failed")


def test_an_import_in_the_browser_names_its_user(admin_client, launched):
    import_job.execute(confirmed(admin_client).pk)
    latest(action="import", user="admin", count=40)


def test_an_import_of_integrations():
    integrations.import_integrations(Text([{"type": "hubspot"}, {"type": 7}], "kinds.json"))
    shown = latest(action="import", record_type="integrations", count=1)
    assert shown["reason"] == "1 created, 0 updated, 0 unchanged, 1 refused: kinds.json"


def test_an_export_has_its_entry_before_anything_is_opened(admin_client):
    make(name="CRM", access_token=SECRET)
    prove_present(admin_client)
    before = newest()
    form = {"shape": "auth", "naming": "camel", "format": "json", "secrets": "include"}
    admin_client.post(reverse("admin:connections_export"), form)  # without reading the response
    assert newest() == before + 1
    shown = latest(action="export", user="admin", count=1, address="127.0.0.1")
    assert shown["reason"] == "auth, camel, json, secrets: include"


def test_an_export_on_the_command_line(tmp_path, capsys):
    make(name="CRM", access_token=SECRET)
    call_command("export_connections", "-o", str(tmp_path / "out.json"), "--secrets", "mask")
    latest(action="export", user=ME, count=1, reason="auth, camel, json, secrets: mask")
    before = newest()
    with pytest.raises(Exception, match="exists"):
        call_command("export_connections", "-o", str(tmp_path / "out.json"))
    assert newest() == before


def test_demo_data():
    call_command("seed_demo", "--count", "3")
    latest(action="import", count=3)
    call_command("seed_demo", "--clear")
    latest(action="delete", record_type="demo connections", count=3)
