"""How old the data of the dashboard are, how the keys stand, and who is told."""

from datetime import datetime, timedelta, timezone

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import override_settings

from connections.audit import log
from connections.encryption import keyring
from connections.jobs import key_rotation
from connections.models import ImportRun, UserScope
from tests.support.helpers import SECRET, import_text, make

pytestmark = pytest.mark.django_db


def user(*names, scope=None, **fields):
    """Somebody of these groups, or with these permissions."""
    made = User.objects.create_user("ada", is_staff=True, **fields)
    made.groups.set(Group.objects.filter(name__in=names))
    made.user_permissions.set(Permission.objects.filter(codename__in=names))
    if scope:
        UserScope.objects.create(user=made, **scope)
    return made


def board(client, who, **place):
    client.force_login(who)
    page = client.get("/admin/", place)
    return page.context["dashboard"], " ".join(page.content.decode().split())


def run(hours=None, status="done", **fields):
    now = datetime.now(timezone.utc)
    return ImportRun.objects.create(
        size=1,
        file_name="a.json",
        status=status,
        started_at=now,
        heartbeat_at=now,
        finished_at=hours and now - timedelta(hours=hours),
        **fields,
    )


COUNTS = {"created": 312, "updated": 118, "rejected": 13}


def test_the_latest_finished_import_is_named_with_its_counts(client):
    make(name="Ada")
    run(9)
    last = run(2.1, result=COUNTS)
    run(1, status="failed")  # nothing of it was stored
    run(status="uploaded")
    shown, page = board(client, user("Operator"))
    assert (shown.running_import, shown.last_import) == (None, last)
    assert '<a href="/admin/import/history/">2 hours ago</a>' in page
    assert "312 new, 118 changed, 13 refused" in page


def test_users_with_a_scope_see_only_their_own_imports(client):
    make(name="Ada", environment="Stage")
    who = user("Operator", scope={"environments": ["Stage"]})
    own = run(5, user=who)
    run(2)
    shown, _ = board(client, who)
    assert shown.last_import == own


def test_without_an_import_one_is_offered(client):
    make(name="Ada")
    who = user("Operator")
    assert ">Import a file</a>" in board(client, who)[1]
    who.groups.set(Group.objects.filter(name="Viewer"))
    assert "Import a file" not in board(client, User.objects.get(pk=who.pk))[1]


def test_a_running_import_is_shown_and_linked_for_the_user_who_started_it(client):
    make(name="Ada")
    who = user("Operator")
    under_way = run(status="running", user=who, done=314_000, total=500_000)
    shown, page = board(client, who)
    assert shown.running_import == under_way
    assert "314,000 of 500,000 records so far. Numbers on this page still change." in page
    assert f'<a href="/admin/import/{under_way.pk}/">See progress</a>' in page
    other = User.objects.create_superuser("other")
    assert "See progress" not in board(client, other)[1]


def test_the_last_export_is_for_readers_of_the_audit_log(client):
    make(name="Ada")
    log.log_event("export", count=4190, reason="connection, camel, json, secrets: include")
    log.log_event("export", count=7, result="failed", reason="auth, camel, json, secrets: mask")
    shown, page = board(client, user("Auditor"))
    assert shown.last_export.count == 4190
    assert "4,190 connections, with secrets" in page
    assert 'href="/admin/audit/?action=export"' in page


@pytest.mark.parametrize("scope", [None, {"environments": ["Production"]}])
def test_exports_are_hidden_from_other_users(client, scope):
    make(name="Ada")
    log.log_event("export", count=4190, reason="connection, camel, json, secrets: include")
    who = user("Auditor" if scope else "Custodian", scope=scope)
    shown, page = board(client, who)
    assert shown.last_export is None and "4,190" not in page


# Keys


@pytest.mark.parametrize(
    ("group", "is_told"),
    [("Viewer", False), ("Operator", False), ("Custodian", True), ("Auditor", True)],
)
def test_keys_are_for_users_who_may_reveal_or_read_the_audit_log(client, group, is_told):
    make(name="Ada", token=SECRET)
    shown, page = board(client, user(group))
    assert (shown.keys is not None) == is_told == ("Encryption keys" in page)


def test_all_is_under_the_newest_key(client):
    make(name="Ada", token=SECRET)
    shown, page = board(client, user("Custodian"))
    assert shown.keys.old.count == shown.keys.missing.count == 0
    assert shown.keys.since <= datetime.now(timezone.utc)
    assert "Everything is under it" in page


def test_a_new_key_waits_for_the_rotation_that_brings_it_in(client, settings):
    make(name="Ada", token=SECRET, environment="Stage")
    import_text([{"id": "b", "auth": {"token": SECRET}}])
    who = user("Custodian")
    with override_settings(FERNET_KEYS=[keyring.generate_key(), *settings.FERNET_KEYS]):
        shown, page = board(client, who)
        assert (shown.keys.since, shown.keys.old.count) == (None, 2)
        assert "The newest waits for a rotation" in page
        assert ">2 still under an old key</a>" in page
        narrowed, _ = board(client, who, environment="Stage")
        assert narrowed.keys.old.count == 1
        began = datetime.now(timezone.utc).replace(microsecond=0)
        key_rotation.rotate()
        shown, page = board(client, who)
        assert shown.keys.since >= began
        assert shown.keys.old.count == 0


def test_a_missing_key_is_shown(client, settings):
    make(name="Ada", token=SECRET, environment="Stage")
    make(name="Bea", token=SECRET)
    type(make(name="Cyd")).objects.filter(name="Bea").update(sealed_under="deadbeef")
    shown, page = board(client, user("Custodian"))
    assert shown.keys.missing.count == 1
    assert ">1 under a key that is not there</a>" in page


# Where there is nothing to show


def test_an_empty_store_offers_two_ways_to_import(client):
    _, page = board(client, user("Operator"))
    assert "Nothing is stored yet" in page and "/admin/import/" in page
    assert "import_connections" in page


def test_a_filter_without_connections_links_to_all(client):
    make(name="Ada")
    shown, page = board(client, user("Viewer"), environment="Nowhere")
    assert (shown.total, shown.filters.is_narrowed) == (0, True)
    assert "No connection is there" in page and ">Show all</a>" in page
    assert ">Nowhere</a>" in page


def test_an_odd_filter_is_escaped(client):
    make(name="Ada")
    _, page = board(client, user("Viewer"), environment="<b>", integration="\0")
    assert "&lt;b&gt;" in page and "<b>" not in page
