"""What is uploaded or pasted: sealed on the way in, and refused where it is no such file."""

import io
import json
import os
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from connections.console import fields, uploads
from connections.console.pages import imports
from connections.encryption import keyring
from connections.jobs import chunks
from connections.json_format.stream.sources import CHUNK_SIZE, SpooledSource
from connections.models import ConnectionAuth, ImportChunk, ImportRun
from connections.models.runs import chunk_binding
from tests.support.helpers import FULL_AUTH, SECRET, text_of
from tests.support.import_form import URL, check, connection, paste, upload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_once")]


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
    assert b"".join(chunks.ChunkSource(run).chunks()) == json.dumps([FULL_AUTH]).encode()
    assert SECRET not in str(ImportRun.objects.values().get())
    assert run.size == len(json.dumps([FULL_AUTH]))


@pytest.fixture
def spooled(monkeypatch):
    """The names of the files that a request keeps."""
    names = []

    class Counted(SpooledSource):
        def __init__(self, name, *args):
            names.append(name)
            super().__init__(name, *args)

    monkeypatch.setattr(uploads, "SpooledSource", Counted)
    return names


def test_a_request_without_a_session_stores_no_upload(spooled):
    stranger = Client(enforce_csrf_checks=True)
    stranger.get("/admin/account/login/")
    token = stranger.cookies["csrftoken"].value
    for url in ("/admin/account/login/", URL):
        file = SimpleUploadedFile("a.json", b"[]")
        stranger.post(url, {"login": "a", "csrfmiddlewaretoken": token, "file": file})
    assert spooled == []


def test_of_many_files_in_a_request_the_first_is_kept(client, spooled):
    files = [SimpleUploadedFile(name, b'[{"key": "x"}]') for name in ("a.json", "b.json")]
    response = client.post(URL, {"file": files, "another": SimpleUploadedFile("c", b"[]")})
    assert response.status_code == 302
    assert spooled == ["a.json"]
    assert ImportRun.objects.get().file_name == "a.json"


def test_chunks_open_at_their_own_place_only(client):
    upload(client, [FULL_AUTH])
    chunk = ImportChunk.objects.get()
    with pytest.raises(keyring.SealError):
        keyring.unseal_bytes(chunk.token, chunk_binding(chunk.run, chunk.position + 1))


@pytest.mark.parametrize("send", [upload, paste])
def test_no_plaintext_lies_in_the_temporary_folder(client, monkeypatch, tmp_path, send):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []
    store_upload = chunks.store_upload

    def look_then_store(source, user):
        list(source.chunks())
        for handle in os.listdir("/proc/self/fd"):
            path = Path(f"/proc/self/fd/{handle}")
            if os.path.lexists(path) and str(tmp_path) in os.readlink(path):  # unlinked too
                seen.append(path.read_bytes())
        seen.extend(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        return store_upload(source, user)

    monkeypatch.setattr(chunks, "store_upload", look_then_store)
    content = json.dumps([FULL_AUTH, {"token": "t" * 3_000_000}])
    send(client, content)
    assert sum(map(len, seen)) > 3_000_000
    assert not any(SECRET.encode() in data or b"tttttt" in data for data in seen)
    assert not list(tmp_path.iterdir())


def test_a_large_upload_is_read_a_chunk_at_a_time(client):
    source = SpooledSource("big.json", keyring.seal_bytes, keyring.unseal_bytes)
    source.write(bytes(24 * CHUNK_SIZE))
    run = chunks.store_upload(source, User.objects.get())
    tracemalloc.start()
    try:
        assert sum(map(len, chunks.ChunkSource(run).chunks())) == 24 * CHUNK_SIZE
        assert tracemalloc.get_traced_memory()[1] < 12 * CHUNK_SIZE
    finally:
        tracemalloc.stop()


def test_a_chunk_is_opened_once_for_reads_that_follow_each_other(client, monkeypatch):
    source = SpooledSource("big.json", keyring.seal_bytes, keyring.unseal_bytes)
    source.write(bytes(3 * CHUNK_SIZE))
    stored = chunks.ChunkSource(chunks.store_upload(source, User.objects.get()))
    opened = []
    unseal = keyring.unseal_bytes
    monkeypatch.setattr(
        keyring, "unseal_bytes", lambda *args: opened.append(args[1]) or unseal(*args)
    )
    length = CHUNK_SIZE * 3 // 4
    for offset in range(0, 3 * CHUNK_SIZE, length):
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
    for room in (fields, imports, uploads):
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
