"""Import in the browser: checked before it is stored, confirmed by who may, thrown away after."""

import io
import json
import re
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.core.management import call_command

from connections.import_export import importer
from connections.jobs import cleanup
from connections.models import ConnectionAuth, ImportChunk, ImportRun, Integration
from tests.support.helpers import FULL_AUTH, SECRET, Text, make, text_of, user_with
from tests.support.import_form import URL, check, connection, paste, upload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_once")]


# What would happen

MIXED = [
    connection(1, key="new"),  # changed
    connection(2),  # unchanged
    connection(3, apiUrl="javascript:1"),  # refused
    connection(4, token=" x ", accessToken="y", unknownKey="z"),  # new, with warnings
    "nothing",  # refused
]


@pytest.fixture
def stored():
    importer.run_import([Text([connection(1, key=SECRET), connection(2)], "first.json")])


def test_the_check_equals_the_dry_run_and_writes_nothing(client, stored, tmp_path, capsys):
    before = list(ConnectionAuth.objects.order_by("id").values())
    page = check(client, upload(client, MIXED))
    path = tmp_path / "connections.json"
    path.write_text(json.dumps(MIXED))
    with pytest.raises(SystemExit):
        call_command("import_connections", str(path), "--dry-run", "--json")
    expected = json.loads(capsys.readouterr().out)
    shown = page.context["result"].as_json()
    assert {**shown, "seconds": 0} == {**expected, "seconds": 0}
    assert (shown["created"], shown["updated"], shown["unchanged"], shown["rejected"]) == (
        1,
        1,
        1,
        2,
    )
    figures = re.findall(r'<span class="figure[^"]*">(\d+)</span> <small>', page.content.decode())
    assert figures == ["1", "1", "1", "0", "2"]
    assert list(ConnectionAuth.objects.order_by("id").values()) == before


def test_the_check_names_fields_and_places_and_no_value(client, stored):
    page = check(client, upload(client, MIXED))
    text = text_of(page)
    assert " key " in text  # the name of what changes
    assert "bad_url" in text
    assert "not_an_object" in text
    assert "auth.apiUrl" in text
    assert "auth.unknownKey" in text
    content = page.content.decode()
    for value in (SECRET, "javascript:1"):
        assert value not in content


def test_the_check_calls_integrations_by_their_names(client, stored):
    Integration.objects.update(name="HubSpot CRM")
    text = text_of(check(client, upload(client, MIXED)))
    assert text.count("HubSpot CRM") == 3  # one changed, one new, one unchanged


def test_looking_again_never_imports(client):
    response = upload(client, [connection(1)])
    for query in ({}, {"on_conflict": "replace", "atomic": "1"}, {"confirm": "1"}):
        assert check(client, response, **query).status_code == 200
    assert client.head(response.url).status_code in (200, 405)
    assert not ConnectionAuth.objects.exists()
    assert ImportRun.objects.get().finished_at is None


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [("update", "updated"), ("replace", "updated"), ("skip", "skipped"), ("fail", "rejected")],
)
def test_policies(client, stored, policy, verdict):
    response = upload(client, [connection(1, token="t")])
    page = check(client, response, on_conflict=policy)
    assert getattr(page.context["result"], verdict) == 1
    client.post(response.url, {"on_conflict": policy})
    record = ConnectionAuth.objects.get(connection_id="c-1")
    assert bool(record.token) == (verdict == "updated")
    assert bool(record.key) == (policy != "replace")


def test_the_check_lists_unchanged_records(client, stored):
    entries = [connection(1, key="new", name="Skipped one"), connection(2)]
    text = text_of(check(client, upload(client, entries), on_conflict="skip"))
    columns = "Record Connection Integration"
    assert f"Skipped 1 {columns} Status 0 Skipped one Hubspot" in text
    assert f"Unchanged 1 {columns} 1 N Hubspot" in text
    many = [{"token": str(n)} for n in range(150)]
    importer.run_import([Text(many)])
    assert "Unchanged the first 100 of 150" in text_of(check(client, upload(client, many)))


def test_a_made_up_policy_is_the_default(client, stored):
    page = check(client, upload(client, [connection(1)]), on_conflict="burn")
    assert page.context["options"].on_conflict == "update"


def test_all_or_nothing(client):
    response = upload(client, MIXED)
    page = check(client, response, atomic="1")
    assert "Nothing to import" in text_of(page)
    assert "Fields that change" not in text_of(page)
    done = client.post(response.url, {"atomic": "1"}, follow=True)
    assert "Nothing was stored" in text_of(done)
    assert not ConnectionAuth.objects.exists()


def test_older_data(client):
    make(connection_id="c-1", source_updated_at="2030-01-01T00:00:00Z", key="k")
    record = ConnectionAuth.objects.get()
    entry = {**connection(1, key="old"), "updatedAt": "2020-01-01T00:00:00Z"}
    response = upload(client, [entry])
    assert check(client, response).context["result"].rejected == 1
    assert check(client, response, allow_older="1").context["result"].updated == 1
    client.post(response.url, {"allow_older": "1"})
    record.refresh_from_db()
    assert record.key.reveal() == "old"


# Confirm


@pytest.mark.parametrize("send", [upload, paste])
def test_confirming_stores_and_throws_the_upload_away(client, send):
    response = send(client, [FULL_AUTH, {"token": 1}])
    done = client.post(response.url, {"on_conflict": "update"}, follow=True)
    assert "Imported, with refusals" in text_of(done)
    assert "wrong_type" in text_of(done)
    record = ConnectionAuth.objects.get()
    assert record.pem.reveal() == FULL_AUTH["pem"]
    assert not ImportChunk.objects.exists()
    run = ImportRun.objects.get()
    assert run.sha256 in text_of(done)
    assert SECRET not in done.content.decode() + str(run.result)


def test_pasted_line_ends_of_a_browser_are_fine(client):
    text = json.dumps([FULL_AUTH], indent=1).replace("\n", "\r\n")
    response = paste(client, text)
    client.post(response.url, {})
    assert ConnectionAuth.objects.get().access_token.reveal() == FULL_AUTH["accessToken"]


def test_pasted_lines_are_fine(client):
    response = paste(client, '{"token": "a"}\r\n{"token": "b"}\r\n')
    assert check(client, response).context["result"].created == 2


def test_confirming_twice_imports_once(client):
    response = upload(client, [connection(1)])
    client.post(response.url, {})
    ConnectionAuth.objects.all().delete()
    again = client.post(response.url, {})
    assert again.status_code == 200
    assert "Imported" in text_of(again)
    assert not ConnectionAuth.objects.exists()


def test_discarding(client):
    response = upload(client, [connection(1)])
    gone = client.post(response.url, {"discard": "1"}, follow=True)
    assert "thrown away" in str(list(get_messages(gone.wsgi_request))[-1])
    assert not ImportRun.objects.exists()
    assert not ImportChunk.objects.exists()
    assert not ConnectionAuth.objects.exists()
    assert client.get(response.url).status_code == 404
    assert client.post(response.url, {}).status_code == 404


def test_after_an_hour_the_upload_is_thrown_away(client):
    with time_machine.travel("2026-11-24T09:00:00Z", tick=False) as clock:
        user = User.objects.get(is_superuser=True)
        client.force_login(user)
        response = upload(client, [connection(1)])
        clock.shift(timedelta(minutes=59))
        client.force_login(user)
        assert client.get(response.url).status_code == 200
        clock.shift(timedelta(minutes=2))
        for answer in (client.get(response.url), client.post(response.url, {})):
            assert answer.status_code == 404
        cleanup.delete_expired()
        assert not ImportChunk.objects.exists()
        assert not ConnectionAuth.objects.exists()


# The report


def report_of(client, url, **query):
    response = client.get(url + "report/", query)
    assert response["Content-Type"] == "application/x-ndjson"
    assert "attachment" in response["Content-Disposition"]
    text = response.getvalue().decode()
    return text, [json.loads(line) for line in text.splitlines()]


def test_the_report_is_that_of_the_command(client, stored, tmp_path):
    response = upload(client, MIXED)
    path, report = tmp_path / "connections.json", tmp_path / "report.ndjson"
    path.write_text(json.dumps(MIXED))
    with pytest.raises(SystemExit):
        call_command(
            "import_connections",
            str(path),
            "--dry-run",
            "--report",
            str(report),
            stdout=io.StringIO(),
            stderr=io.StringIO(),
        )
    text, lines = report_of(client, response.url)
    assert text == report.read_text()
    assert {line["level"] for line in lines} == {"error", "warning"}
    assert "javascript" not in text
    client.post(response.url, {})
    assert report_of(client, response.url)[0] == text


def test_the_report_of_a_finished_import_has_more_than_the_page(client):
    response = upload(client, [{"token": 1}] * 150)
    page = check(client, response)
    assert "50 more are in the report." in text_of(page)
    done = client.post(response.url, {}, follow=True)
    assert text_of(done).count("wrong_type") == 100
    assert "50 more are in the report." in text_of(done)
    assert len(report_of(client, response.url)[1]) == 150


def test_where_nothing_is_refused_the_report_says_which_records_the_warnings_are_of(client):
    response = upload(client, [connection(1), connection(2, unknownKey="z")])
    for page in (check(client, response), client.post(response.url, {}, follow=True)):
        assert f'href="{response.url}report/' in page.content.decode()
        assert [line["record"] for line in report_of(client, response.url)[1]] == [1]
    quiet = upload(client, [connection(3)])
    for page in (check(client, quiet), client.post(quiet.url, {}, follow=True)):
        assert "report/" not in page.content.decode()


# Whose it is, and who may


def test_another_user_does_not_find_it(client):
    response = upload(client, [connection(1)])
    other = user_with("import_connections", "add_connectionauth")
    assert other.get(response.url).status_code == 404
    assert other.post(response.url, {}).status_code == 404
    assert other.post(response.url, {"discard": "1"}).status_code == 404
    assert other.get(response.url + "report/").status_code == 404
    assert ImportRun.objects.exists()


def test_without_the_permission_there_is_no_page(client):
    response = upload(client, [connection(1)])
    other = user_with("view_connectionauth", "add_connectionauth", "change_connectionauth")
    for url in (URL, response.url, response.url + "report/"):
        assert other.get(url).status_code == 403
    assert upload(other, [connection(1)]).status_code == 403
    assert ImportRun.objects.count() == 1


@pytest.mark.parametrize(
    ("permission", "created", "updated"),
    [(None, 0, 0), ("add_connectionauth", 1, 0), ("change_connectionauth", 0, 1)],
)
def test_records_outside_the_scope_are_refused(stored, permission, created, updated):
    client = user_with("import_connections", permission)
    response = upload(client, [connection(1, token="t"), connection(9)])
    page = check(client, response)
    assert (page.context["result"].created, page.context["result"].updated) == (created, updated)
    assert "not_permitted" in text_of(page)
    client.post(response.url, {})
    assert ConnectionAuth.objects.filter(connection_id="c-9").count() == created
    assert ConnectionAuth.objects.filter(connection_id="c-1", token=None).count() == 1 - updated


def test_a_permission_that_is_gone_at_the_confirmation_counts(stored):
    client = user_with("import_connections", "add_connectionauth")
    response = upload(client, [connection(9)])
    User.objects.get(username="somebody").user_permissions.set(
        Permission.objects.filter(codename="import_connections")
    )
    client.post(response.url, {})
    assert not ConnectionAuth.objects.filter(connection_id="c-9").exists()


def test_hostile_content_is_text_on_every_page(client):
    name = "<script>alert(1)</script>{{ 7|add:7 }}\x1b"
    entry = {
        "id": name,
        "integrationType": name,
        "auth": {"name": name, "token": "t", name: 1, "apiUrl": "javascript:1"},
    }
    response = upload(client, [entry, {**entry, "id": "x", "auth": {"name": name, "token": "t"}}])
    page = check(client, response)
    done = client.post(response.url, {}, follow=True)
    for answer in (page, done):
        assert answer.status_code == 200
        assert "<script>alert" not in answer.content.decode()
        assert "\x1b" not in answer.content.decode()
    assert "{{ 7|add:7 }}" in page.content.decode()


@pytest.mark.parametrize("pk", ["x", "00000000-0000-0000-0000-000000000000"])
def test_a_run_that_is_not_there(client, pk):
    assert client.get(f"{URL}{pk}/").status_code == 404
