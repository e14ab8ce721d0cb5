"""Undoing an import: created, changed, and since changed records."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.urls import reverse
from django.utils import timezone

from connections.jobs import undo as jobs_undo
from connections.lib import processes
from connections.models import AccessEvent, ConnectionAuth, FormerVersion, ImportRun
from connections.records import recycle_bin
from tests.support.helpers import FULL_AUTH, SECRET, export_text, member_of, run_command
from tests.support.import_runs import HISTORY

pytestmark = pytest.mark.django_db


def entry(number, **auth):
    return {"id": f"c-{number}", "auth": {"name": f"N{number}", "token": SECRET, **auth}}


@pytest.fixture
def imports(tmp_path):
    """Import entries with the command; the id of the run."""

    def run(*entries):
        path = tmp_path / "crm.json"
        path.write_text(json.dumps(entries))
        _, out, _ = run_command("import_connections", str(path), "--json")
        return json.loads(out).get("run")

    return run


def undo(run):
    """The JSON of `undo_import`, and its exit status."""
    code, out, _ = run_command("undo_import", run, "--json")
    return json.loads(out), code


def whole():
    return export_text(shape="connection")


def test_created_records_are_moved_to_the_bin(imports):
    imports(entry(1))
    run = imports(entry(1), entry(2), entry(3))
    undone, code = undo(run)
    assert (undone["binned"], undone["put_back"], undone["left"], code) == (2, 0, 0, 0)
    assert [record.name for record in ConnectionAuth.objects.all()] == ["N1"]
    assert ConnectionAuth.all_objects.binned().count() == 2


def test_changed_records_get_every_byte_back(imports):
    imports(entry(1, **FULL_AUTH), entry(2))
    before = whole()
    run = imports(entry(1, token="new", appId="9"), entry(2, key="new"), entry(3))
    undone, _ = undo(run)
    assert (undone["binned"], undone["put_back"]) == (1, 2)
    assert whole() == before


def test_records_that_were_changed_since_are_left_and_named(imports):
    imports(entry(1))
    run = imports(entry(1, key="new"), entry(2), entry(3))
    for name in ("N1", "N2"):
        record = ConnectionAuth.objects.get(name=name)
        record.app_id = "mine"
        record.save_version(["app_id"])
    undone, code = undo(run)
    assert (undone["binned"], undone["put_back"], undone["left"], code) == (1, 0, 2, 1)
    assert sorted(left["name"] for left in undone["named"]) == ["N1", "N2"]
    assert {*ConnectionAuth.objects.values_list("app_id", flat=True)} == {"mine"}


def test_a_second_undo_changes_nothing_more(imports):
    imports(entry(1))
    run = imports(entry(1, key="new"), entry(2))
    undo(run)
    after = whole()
    undone, _ = undo(run)
    assert (undone["binned"], undone["put_back"], undone["left"]) == (0, 0, 0)
    assert whole() == after


def test_a_stopped_undo_continues(imports, monkeypatch):
    monkeypatch.setattr(jobs_undo, "BATCH_SIZE", 1)
    imports(entry(1), entry(2))
    before = whole()
    run = ImportRun.objects.get(pk=imports(*(entry(n, key="new") for n in range(1, 5))))
    steps = 0
    while not jobs_undo.undo(run, time_limit=1e-9).finished:
        steps += 1
    assert steps >= 3
    assert whole() == before
    assert (run.undo_result["binned"], run.undo_result["put_back"]) == (2, 2)


def test_an_undo_can_be_undone(imports):
    imports(entry(1))
    run = imports(entry(1, key="new"))
    undo(run)
    held = FormerVersion.objects.filter(run=None).get()
    assert held.content.reveal()["auth"]["key"] == "new"


def test_records_that_the_import_restored_go_back_to_the_bin(imports):
    imports(entry(1))
    recycle_bin.move(ConnectionAuth.objects.all(), None)
    run = imports(entry(1, key="new"))
    assert ConnectionAuth.objects.exists()
    undo(run)
    (record,) = ConnectionAuth.all_objects.binned()
    assert record.key is None


def listed():
    return json.loads(run_command("undo_import", "--json")[1])["runs"]


def kill():
    """Make finished imports look as if they had been killed a while ago."""
    ImportRun.objects.update(
        status="running",
        finished_at=None,
        result=None,
        process="",
        heartbeat_at=timezone.now() - ImportRun.HEARTBEAT_TIMEOUT,
    )


def test_a_killed_import_can_be_undone(imports):
    run = imports(entry(1))
    kill()
    assert undo(run)[0]["binned"] == 1


def test_a_killed_import_is_listed(imports):
    """It has not printed its id. An import of the browser may still be continued there."""
    imports(entry(1))
    run = imports(entry(1, key="new"), entry(2), entry(3))
    kill()
    ImportRun.objects.create(
        user=User.objects.create_user("ada"),
        status="running",
        size=1,
        heartbeat_at=timezone.now() - ImportRun.HEARTBEAT_TIMEOUT,
    )
    (row,) = [row for row in listed() if row["run"] == run]
    assert (row["created"], row["updated"]) == (2, 1)
    assert ImportRun.objects.get(status="running").user


def test_only_imports_of_the_last_week_that_stored_something(imports):
    run = imports(entry(1))
    assert imports(entry(1)) is None
    ImportRun.objects.update(finished_at=timezone.now() - ImportRun.UNDO_PERIOD)
    for wrong in (run, "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(CommandError) as error:
            undo(wrong)
        assert error.value.returncode == 2


def test_recent_imports_are_listed(imports):
    run = imports(entry(1))
    (row,) = listed()
    assert (row["run"], row["created"], row["undone"]) == (run, 1, False)


def test_undoing_is_audited(imports):
    run = imports(entry(1), entry(2))
    undo(run)
    event = AccessEvent.objects.get(action="undo")
    assert event.count == 2
    assert run in event.reason


@pytest.fixture
def own_run(imports):
    """A client, and the page of a run of its user."""
    client, run = member_of("Operator"), imports(entry(1))
    ImportRun.objects.filter(pk=run).update(user=client.user)
    return client, page_of(run)


def test_the_result_page_undoes(own_run):
    client, url = own_run
    assert "Undo this import" in client.get(url).content.decode()
    content = client.post(url, {"undo": "1"}, follow=True).content.decode()
    assert "Undone." in content
    assert "Undo this import" not in content
    assert not ConnectionAuth.objects.exists()


def page_of(run):
    return reverse("admin:connections_import_run", args=[run])


def test_an_import_of_the_command_line_has_a_page_in_the_history_which_undoes_it(tmp_path):
    path = tmp_path / "crm.json"
    path.write_text(json.dumps([entry(1), {"id": "c-2", "auth": {"token": 5}}]))
    run_command("import_connections", str(path))
    run = ImportRun.objects.get()
    client = member_of("Operator")
    listed = client.get(HISTORY).content.decode()
    assert "Command line" in listed
    assert f'href="{page_of(run.pk)}"' in listed
    content = client.get(page_of(run.pk)).content.decode()
    for text in ("Imported, with refusals", "on the command line", "wrong_type"):
        assert text in content
    for text in (SECRET, "SHA-256", "The upload itself", "Choose"):
        assert text not in content
    report = b"".join(client.get(page_of(run.pk) + "report/").streaming_content)
    assert json.loads(report)["code"] == "wrong_type"
    undone = client.post(page_of(run.pk), {"undo": "1"}, follow=True).content.decode()
    assert "Undone." in undone
    assert not ConnectionAuth.objects.exists()
    assert AccessEvent.objects.filter(action="undo", user="Operator").exists()


def test_users_with_limits_or_without_permission_have_no_page_of_an_import(imports):
    run = imports(entry(1))
    assert member_of("Viewer").get(page_of(run)).status_code == 403
    client = member_of("Operator", environments=["Production"])
    assert client.get(page_of(run)).status_code == 404
    assert client.post(page_of(run), {"undo": "1"}).status_code == 404
    assert ConnectionAuth.objects.exists()


def test_an_import_of_the_command_has_a_page_when_it_has_ended(imports):
    run = imports(entry(1))
    under_way = {"status": "running", "finished_at": None, "result": None}
    stored = ImportRun.objects.filter(pk=run)
    stored.update(**under_way, heartbeat_at=timezone.now(), process=processes.process_name())
    client = member_of("Operator")
    assert page_of(run) not in client.get(HISTORY).content.decode()
    assert client.get(page_of(run)).status_code == 404
    stored.update(heartbeat_at=timezone.now() - timedelta(minutes=1), process="gone 1 1")
    assert page_of(run) in client.get(HISTORY).content.decode()
    content = client.get(page_of(run)).content.decode()
    assert "What was stored until then stays." in content
    assert "Undo this import" in content
    client.post(page_of(run), {"undo": "1"})
    assert not ConnectionAuth.objects.exists()


def test_undoing_stays_in_the_scope_of_the_user(imports):
    imports({**entry(1), "environment": "Theirs"})
    run = ImportRun.objects.get(
        pk=imports(
            {**entry(1, key="new"), "environment": "Theirs"},
            {**entry(2), "environment": "Theirs"},
            {**entry(3), "environment": "Ours"},
        )
    )
    user = member_of("Operator", environments=["Ours"]).user
    undone = jobs_undo.undo(run, user)
    assert (undone.binned, undone.put_back, undone.left) == (1, 0, 0)
    assert {*ConnectionAuth.objects.values_list("name", flat=True)} == {"N1", "N2"}


def test_a_record_that_the_import_moved_into_the_scope_stays(imports):
    imports({**entry(1), "environment": "Theirs"})
    run = ImportRun.objects.get(pk=imports({**entry(1, key="new"), "environment": "Ours"}))
    user = member_of("Operator", environments=["Ours"]).user
    undone = jobs_undo.undo(run, user)
    assert (undone.put_back, undone.left, undone.named[0]["name"]) == (0, 1, "N1")
    assert ConnectionAuth.objects.get().environment == "Ours"
