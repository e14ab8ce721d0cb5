"""What an export writes: shapes, spellings, order, masks; files are whole or not there."""

import io
import json
import os
import pty
import stat
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from connections.import_export import exporter
from connections.json_format import schema
from connections.json_format.issues import MESSAGES
from connections.models import ConnectionAuth
from tests.support.concurrent_import import FULL, MASK, snake
from tests.support.helpers import FULL_AUTH, SECRET, export_text, import_text, make
from tests.support.record_form import spoil

pytestmark = pytest.mark.django_db


def in_snake(record):
    """A record with known keys in snake_case."""
    unknown = ("future", "futureToo")
    return {
        name if name in unknown else snake(name): in_snake(value) if name == "auth" else value
        for name, value in record.items()
    }


@pytest.mark.parametrize("format", exporter.FORMATS)
@pytest.mark.parametrize("naming", exporter.NAMINGS)
@pytest.mark.parametrize("shape", exporter.SHAPES)
def test_every_shape_spelling_and_format_writes_all_in_order(shape, naming, format):
    import_text([FULL])
    text = export_text(shape=shape, naming=naming, format=format)
    expected = FULL if shape == "connection" else FULL["auth"]
    expected = in_snake(expected) if naming == "snake" else expected
    one = json.dumps(expected, ensure_ascii=False)  # the order of the keys counts
    assert text == (f"{one}\n" if format == "ndjson" else f"[\n{one}\n]\n")
    result, _ = import_text(text)
    assert (result.unchanged, result.read) == (1, 1)


@pytest.mark.parametrize("shape", exporter.SHAPES)
def test_a_fresh_store_exports_the_very_same_bytes(shape):
    odd = [
        {"accessToken": "", "emails": [], "expiresIn": 0, "meta": {}, "name": "Ü 漢 \u2028 😀"},
        {"pem": "a\r\nb\r\n", "expiresIn": 3599.9, "refreshTokenExpiresIn": -1},
        {"integrationType": "a", "id": "only"},
        {"token": "<script>\x1b[31m\x7f"},
    ]
    import_text([FULL, *odd])
    first = export_text(shape=shape)
    ConnectionAuth.all_objects.all().delete()
    import_text(first)
    assert export_text(shape=shape) == first


def test_numbers_and_dates_are_written_as_the_api_does():
    import_text(
        '[{"expiresIn":3600.0,"refreshTokenExpiresIn":3599.9,"expiryDate":1798761600,'
        '"refreshTokenExpiresDate":"2027-01-01T02:00:00.1239+02:00"},{"expiresIn":-0.0}]'
    )
    text = export_text()
    assert '"expiresIn": 3600,' in text and '"refreshTokenExpiresIn": 3599.9' in text
    assert '"expiryDate": "2027-01-01T00:00:00.000Z"' in text
    assert '"refreshTokenExpiresDate": "2027-01-01T00:00:00.123Z"' in text
    assert '"expiresIn": 0}' in text


def test_absent_keys_are_left_out_and_null_is_never_written():
    import_text([{"token": "a", "name": None}, {"id": "c", "integration_type": "h"}])
    assert json.loads(export_text(shape="connection")) == [
        {"auth": {"token": "a"}},
        {"id": "c", "integrationType": "h"},
    ]


def test_an_empty_store_is_an_empty_array():
    assert export_text() == "[]\n"
    assert export_text(format="ndjson") == ""


def test_a_connection_without_integration_and_auth_object_can_be_read_again():
    make(connection_id="c", is_paused=True)
    text = export_text(shape="connection")
    assert json.loads(text) == [{"id": "c", "isPaused": True, "auth": {}}]
    assert import_text(text)[0].unchanged == 1


def test_an_array_of_auth_objects_has_none_for_a_connection_without_one():
    import_text([{"id": "c", "integration_type": "h"}, {"token": "a"}])
    assert json.loads(export_text()) == [{"token": "a"}]
    assert json.loads(export_text(secrets="omit")) == [{}, {}]


@pytest.mark.parametrize("naming", exporter.NAMINGS)
def test_masked_exports_hold_a_mask_for_each_sealed_value(naming):
    import_text([FULL])
    text = export_text(shape="connection", secrets="mask", naming=naming)
    assert SECRET not in text and "ada@" not in text
    [written] = json.loads(text)
    auth = written["auth"]
    assert written[MASK] is True and "futureToo" not in written
    assert auth["meta"] == {MASK: True} and auth[MASK] is True and "future" not in auth
    assert auth["emails"] == [MASK, MASK]
    assert [auth[n] for n in ("pem", "token", "state", "key")] == [MASK] * 4
    assert auth["name"] == FULL_AUTH["name"]
    assert import_text(text)[0].unchanged == 1


def test_blank_and_empty_sealed_values_are_masked_without_a_loss():
    import_text([{"id": "c", "auth": {"token": "", "emails": [], "meta": {}, "pem": "x"}}])
    text = export_text(shape="connection", secrets="mask")
    assert json.loads(text)[0]["auth"]["emails"] == []
    assert import_text(text)[0].unchanged == 1


def test_secrets_can_be_left_out():
    import_text([FULL])
    text = export_text(shape="connection", secrets="omit")
    assert SECRET not in text and MASK not in text
    [written] = json.loads(text)
    assert sorted(map(snake, written["auth"])) == sorted(schema.PLAIN_FIELDS)


def test_filters_choose_what_is_exported():
    for kind, environment in [("a", None), ("a", "Sandbox"), ("b", None)]:
        import_text([{"integration_type": kind, "environment": environment, "auth": {"key": "k"}}])
    make(access_token="x", binned_at="2026-01-01T00:00Z")

    def count(*arguments):
        out = io.StringIO()
        call_command("export_connections", *arguments, stdout=out)
        return len(json.loads(out.getvalue()))

    assert count() == 3
    assert count("--integration", "a") == 2
    assert count("--environment", "Production") == 2
    assert count("--environment", "Sandbox", "--integration", "a") == 1
    assert count("--bucket", "no_end") == 3
    assert count("--bucket", "broken") == 0


@pytest.mark.parametrize("option", ["--integration", "--environment"])
def test_a_filter_that_is_no_text_is_refused_in_a_sentence(option):
    with pytest.raises(CommandError, match=f"{option}: this is no text in UTF-8"):
        call_command("export_connections", option, "caf\udce9", stdout=io.StringIO())


def damaged(field="access_token"):
    import_text([FULL, {"token": "fine"}])
    spoil(ConnectionAuth.objects.get(connection_id="conn-1"), field)


@pytest.mark.parametrize("secrets", ["include", "mask"])
@pytest.mark.parametrize("field", ["access_token", "meta", "extra"])
def test_a_record_that_does_not_open_is_left_out_and_named(tmp_path, secrets, field):
    damaged(field)
    path, out, err = tmp_path / "out.json", io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(
            "export_connections", "-o", str(path), "--secrets", secrets, "--json",
            stdout=out, stderr=err,
        )  # fmt: skip
    assert ended.value.code == 1
    assert len(json.loads(path.read_text())) == 1
    assert json.loads(out.getvalue()) == {"exported": 1, "left_out": 1}
    assert err.getvalue() == f"conn-1: {MESSAGES['unreadable']} ({field})\n"
    assert ConnectionAuth.objects.get(connection_id="conn-1").unreadable_fields == [field]


def test_without_its_secrets_it_is_exported():
    damaged()
    assert len(json.loads(export_text(secrets="omit"))) == 2


def refusal_of(*arguments, **streams):
    """The sentence with which an export ends that is not begun."""
    with pytest.raises(CommandError) as raised:
        call_command("export_connections", *arguments, **streams)
    assert raised.value.returncode == 2
    return str(raised.value)


def test_a_file_is_for_its_owner_only_whatever_the_umask(tmp_path):
    make(token=SECRET)
    before = os.umask(0)
    try:
        path = tmp_path / "out.json"
        call_command("export_connections", "-o", str(path), stdout=io.StringIO())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["out.json"]


def test_an_existing_file_is_replaced_only_when_told(tmp_path):
    make(token=SECRET)
    path = tmp_path / "out.json"
    path.write_text("mine")
    path.chmod(0o644)
    assert "--overwrite" in refusal_of("-o", str(path))
    assert path.read_text() == "mine"
    call_command("export_connections", "-o", str(path), "--overwrite", stdout=io.StringIO())
    assert SECRET in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_no_part_of_a_file(tmp_path, monkeypatch, error, exists):
    def fail(*arguments):
        yield "[\n"
        raise error

    path = tmp_path / "out.json"
    if exists:
        path.write_text("mine")
    monkeypatch.setattr(exporter, "stream", fail)
    expected = CommandError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        call_command("export_connections", "-o", str(path), "--overwrite")
    assert os.listdir(tmp_path) == (["out.json"] if exists else [])
    assert not exists or path.read_text() == "mine"


def test_what_is_no_regular_file_is_never_replaced(tmp_path):
    make(token=SECRET)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path):
        refusal_of("-o", str(path), "--overwrite")
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    sentence = refusal_of("-o", str(tmp_path / "none" / "out.json"))
    assert "No such file or directory" in sentence


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_secrets_are_not_printed_to_a_terminal():
    make(token=SECRET, name="a\x1b[31mü")
    terminal = Terminal()
    refusal_of(stdout=terminal)
    assert terminal.getvalue() == ""
    call_command("export_connections", "--secrets", "mask", stdout=terminal)
    assert SECRET not in terminal.getvalue()
    assert terminal.getvalue().isascii() and "\x1b" not in terminal.getvalue()


def test_a_real_terminal_is_recognised():
    ours, theirs = pty.openpty()
    code = (
        "import django; django.setup();"
        "from connections.encryption import keyring; keyring.require_keys = lambda: None;"
        "from django.core.management import execute_from_command_line as run;"
        "run(['manage.py', 'export_connections'])"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        stdout=theirs, stderr=subprocess.PIPE, env=environment, timeout=60,
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert ended.returncode == 2
    assert ended.stderr.decode().count("\n") == 1
    assert "terminal" in ended.stderr.decode()


def test_a_reader_that_leaves_early_is_no_news(monkeypatch, capfd):
    def leave(*arguments):
        raise BrokenPipeError(32, "Broken pipe")
        yield

    monkeypatch.setattr(exporter, "stream", leave)
    monkeypatch.setattr(os, "dup2", lambda *arguments: None)
    with pytest.raises(SystemExit):
        call_command("export_connections", stdout=io.StringIO())
    assert capfd.readouterr().err == ""


def test_json_of_the_result_needs_a_file():
    refusal_of("--json")
