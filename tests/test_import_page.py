"""Import in the browser: sealed on the way, checked before it is stored, thrown away after."""

import io
import json
import os
import re
import tempfile
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from connections import importing, keyring, runs, uploads
from connections.models import ConnectionAuth, ImportChunk, ImportRun
from connections.pages import imports
from connections.sources import CHUNK, SpooledSource

from .helpers import FULL_AUTH, SECRET, Text, make, user_with

pytestmark = pytest.mark.django_db
URL = reverse("admin:connections_import")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """A confirmed import is done here, where its process would not see the test's database."""
    monkeypatch.setattr(runs, "launch", lambda run: runs.work(run.pk))


@pytest.fixture
def client(admin_client):
    return admin_client


def text_of(response):
    """The text of a page, without tags and with single blanks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def upload(client, content, name="connections.json"):
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    content = content.encode() if isinstance(content, str) else content
    file = io.BytesIO(content)
    file.name = name
    return client.post(URL, {"file": file, "text": ""})


def paste(client, content):
    text = content if isinstance(content, str) else json.dumps(content)
    return client.post(URL, {"text": text})


def check(client, response, **query):
    """Follow an upload to its check; returns that page."""
    assert response.status_code == 302, response.content.decode()
    return client.get(response.url, query)


def connection(number=1, **auth):
    return {"id": f"c-{number}", "integrationType": "hubspot", "auth": {"name": "N", **auth}}


# What comes in is sealed


@pytest.mark.parametrize("send", [upload, paste])
def test_an_upload_is_sealed_in_the_database(client, send):
    response = send(client, [FULL_AUTH])
    run = ImportRun.objects.get()
    assert response.url == reverse("admin:connections_import_run", args=[run.pk])
    tokens = [bytes(chunk.token) for chunk in ImportChunk.objects.all()]
    assert tokens
    for token in tokens:
        assert SECRET.encode() not in token
        assert b"accessToken" not in token
        assert token.startswith(b"gAAAA")
    assert b"".join(runs.StoredUpload(run).chunks()) == json.dumps([FULL_AUTH]).encode()
    assert SECRET not in str(ImportRun.objects.values().get())
    assert run.size == len(json.dumps([FULL_AUTH]))


def test_chunks_open_at_their_own_place_only(client):
    upload(client, [FULL_AUTH])
    chunk = ImportChunk.objects.get()
    with pytest.raises(keyring.SealError):
        keyring.unseal_bytes(chunk.token, runs.chunk_place(chunk.run, chunk.position + 1))


@pytest.mark.parametrize("send", [upload, paste])
def test_no_plaintext_lies_in_the_temporary_folder(client, monkeypatch, tmp_path, send):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []
    keep_sealed = runs.keep_sealed

    def look_then_keep(source, user):
        source.write(b"")
        list(source.sealed_chunks())
        source._file.flush()
        for handle in os.listdir("/proc/self/fd"):
            path = Path(f"/proc/self/fd/{handle}")
            if os.path.lexists(path) and str(tmp_path) in os.readlink(path):  # unlinked too
                seen.append(path.read_bytes())
        seen.extend(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        return keep_sealed(source, user)

    monkeypatch.setattr(runs, "keep_sealed", look_then_keep)
    content = json.dumps([FULL_AUTH, {"token": "t" * 3_000_000}])
    send(client, content)
    assert sum(map(len, seen)) > 3_000_000
    assert not any(SECRET.encode() in data or b"tttttt" in data for data in seen)
    assert not list(tmp_path.iterdir())


def test_a_large_upload_is_read_a_chunk_at_a_time(client):
    source = SpooledSource("big.json", keyring.seal_bytes, keyring.unseal_bytes)
    source.write(bytes(24 * CHUNK))
    run = runs.keep_sealed(source, User.objects.get())
    tracemalloc.start()
    try:
        assert sum(map(len, runs.StoredUpload(run).chunks())) == 24 * CHUNK
        assert tracemalloc.get_traced_memory()[1] < 12 * CHUNK
    finally:
        tracemalloc.stop()


def test_a_chunk_is_opened_once_for_reads_that_follow_each_other(client, monkeypatch):
    source = SpooledSource("big.json", keyring.seal_bytes, keyring.unseal_bytes)
    source.write(bytes(3 * CHUNK))
    stored = runs.StoredUpload(runs.keep_sealed(source, User.objects.get()))
    opened = []
    unseal = keyring.unseal_bytes
    monkeypatch.setattr(
        keyring, "unseal_bytes", lambda *args: opened.append(args[1]) or unseal(*args)
    )
    length = CHUNK * 3 // 4
    for offset in range(0, 3 * CHUNK, length):
        stored.read(offset, length)
    assert len(opened) == len(set(opened)) == 3


def test_a_large_upload_takes_several_chunks_and_comes_out_whole(client):
    content = [connection(n, token=f"{n:06}" + "x" * 3000) for n in range(1000)]
    page = check(client, upload(client, content))
    assert ImportChunk.objects.count() == 3
    assert page.context["result"].created == 1000
    client.post(page.wsgi_request.path, {})
    assert ConnectionAuth.objects.get(connection_id="c-999").token.reveal().startswith("000999x")


# What can't be taken


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b'[{"token": "synth-SECRET"}', "truncated"),
        (b'[{"token": "synth-SECRET"}] x', "trailing_garbage"),
        (b"\x1f\x8b\x08synth-SECRET", "gzip"),
        ('[{"token": "ü"}]'.encode("utf-16"), "utf16"),
        (b'[{"token": "synth-SECRET \xff"}]', "not_utf8"),
        (b"<html>synth-SECRET</html>", "html"),
        (b"{token: 'synth-SECRET'}", "json5"),
        (b"42", "scalar"),
        (b'[{"token": NaN}]', "not_finite"),
        (b"[" * 300 + b"]" * 300, "too_deep"),
    ],
)
def test_a_refused_file_is_named_by_its_code(client, content, code):
    page = check(client, upload(client, content))
    assert page.status_code == 200
    assert "The file is refused as a whole." in text_of(page)
    assert f" {code} " in text_of(page)
    assert "synth-SECRET" not in page.content.decode()
    run = ImportRun.objects.get()
    done = client.post(reverse("admin:connections_import_run", args=[run.pk]), follow=True)
    assert done.status_code == 200
    assert "Nothing was stored" in text_of(done)
    assert not ConnectionAuth.objects.exists()


def test_nothing_given(client):
    response = client.post(URL, {"text": ""})
    assert "Choose a file, or paste JSON." in text_of(response)
    assert not ImportRun.objects.exists()


def test_a_file_and_a_paste_at_once_are_refused_and_not_sent_back(client):
    file = io.BytesIO(b"[]")
    file.name = "a.json"
    response = client.post(URL, {"file": file, "text": "synth-pasted"})
    assert "not both" in text_of(response)
    assert "synth-pasted" not in response.content.decode()


def test_a_paste_that_is_refused_is_not_sent_back(client):
    response = client.post(URL, {"text": 'synth-pasted "\0"'})
    assert response.status_code == 200
    assert "synth-pasted" not in response.content.decode()


def test_a_file_over_the_limit_is_refused(client, monkeypatch):
    for room in (imports, uploads):
        monkeypatch.setattr(room, "MAX_UPLOAD", 100_000)
    sealed = []
    seal = keyring.seal_bytes
    monkeypatch.setattr(
        keyring, "seal_bytes", lambda data, place: sealed.append(len(data)) or seal(data, place)
    )
    assert "import_connections" in text_of(upload(client, "[" + " " * 3_000_000 + "]"))
    assert not ImportRun.objects.exists()
    assert sum(sealed) < 200_000  # nor does the disk hold what is too much


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>.json",
        '"><img src=x onerror=alert(1)>.json',
        "{{ 7|add:7 }}.json",
        "n" * 300 + ".json",
        "../../etc/passwd",
        "ü日本.json",
        "a\u202egpj.json",
    ],
)
def test_hostile_file_names(client, name):
    response = client.post(
        URL, {"file": SimpleUploadedFile("x", b'[{"token": 1}, {"token": "a"}]')}
    )
    ImportRun.objects.update(file_name=name[:255])
    page = check(client, response)
    content = page.content.decode()
    assert "<script>alert" not in content
    assert "<img" not in content
    done = client.post(response.url, {}, follow=True)
    assert done.status_code == 200
    assert "<script>alert" not in done.content.decode()
    assert client.get(response.url + "report/").status_code == 200


@pytest.mark.parametrize("name", ["n" * 300 + ".json", "../../etc/passwd", "ü日本.json"])
def test_file_names_are_kept_short_and_without_folders(client, name):
    upload(client, "[]", name=name)
    kept = ImportRun.objects.get().file_name
    assert "/" not in kept
    assert len(kept) <= 255


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
    importing.run([Text([connection(1, key=SECRET), connection(2)], "first.json")])


def test_the_check_says_what_the_dry_run_says_and_writes_nothing(client, stored, tmp_path, capsys):
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


def test_a_made_up_policy_is_the_default(client, stored):
    page = check(client, upload(client, [connection(1)]), on_conflict="burn")
    assert page.context["options"].on_conflict == "update"


def test_all_or_nothing(client):
    response = upload(client, MIXED)
    page = check(client, response, atomic="1")
    assert "Nothing to import" in text_of(page)
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
        assert not ImportChunk.objects.exists()
        assert not ConnectionAuth.objects.exists()


def test_any_look_at_the_import_page_throws_old_uploads_away(client):
    with time_machine.travel("2026-11-24T09:00:00Z", tick=False) as clock:
        user = User.objects.get(is_superuser=True)
        client.force_login(user)
        upload(client, [connection(1)])
        clock.shift(timedelta(minutes=61))
        client.force_login(user)
        client.get(URL)
    assert not ImportRun.objects.exists()


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
def test_what_is_out_of_reach_is_refused(stored, permission, created, updated):
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
