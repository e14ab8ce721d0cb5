"""`manage.py import_connections`: exit codes, JSON, the report, and where files come from."""

import io
import json
import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from connections.import_export import writer as import_export_writer
from connections.models import ConnectionAuth, ImportRun
from tests.support.helpers import SECRET

pytestmark = pytest.mark.django_db

GOOD = [{"token": "a"}, {"token": "b", "newKey": 1}]


class Outcome:
    """Exit code, outputs, and the parsed result of one run."""

    def __init__(self, *arguments, stdin=b""):
        out, err = io.StringIO(), io.StringIO()
        self.code, self.sentence = 0, ""
        real, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin))
        try:
            call_command("import_connections", *map(str, arguments), stdout=out, stderr=err)
        except SystemExit as ended:
            self.code = ended.code
        except CommandError as error:
            self.code, self.sentence = error.returncode, str(error)
        finally:
            sys.stdin = real
        self.out, self.err = out.getvalue(), err.getvalue()
        self.json = json.loads(self.out) if "--json" in arguments else None


@pytest.fixture
def file(tmp_path):
    def write(content, name="in.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_all_stored_is_exit_0(file):
    outcome = Outcome(file(GOOD), "--json")
    seconds = outcome.json.pop("seconds")
    assert outcome.json.pop("run") == str(ImportRun.objects.get().pk)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json == {
        "read": 2,
        "created": 2,
        "updated": 0,
        "unchanged": 0,
        "skipped": 0,
        "rejected": 0,
        "warnings": 1,
        "dry_run": False,
    }
    assert 0 <= seconds < 60
    assert list(json.loads(Outcome(file([]), "--json").out)) == [
        "read", "created", "updated", "unchanged", "skipped", "rejected", "warnings", "dry_run",
        "seconds",
    ]  # fmt: skip


def test_without_json_it_is_a_sentence(file):
    outcome = Outcome(file(GOOD))
    assert outcome.code == 0
    assert outcome.out.count("\n") == 1 and "2 created" in outcome.out
    assert "2 would be created" in Outcome(file([{"token": "c"}, {"token": "d"}]), "--dry-run").out


def test_a_refused_record_is_exit_1_and_named(file):
    outcome = Outcome(file([*GOOD, {"token": 5}]), "--json")
    assert outcome.code == 1
    assert (outcome.json["rejected"], outcome.json["created"]) == (1, 2)
    assert "error" not in outcome.json
    assert outcome.err == "in.json: record 2, token: Text belongs here. [wrong_type]\n"


def test_lines_are_named_for_ndjson(file):
    outcome = Outcome(file('{"token":"a"}\n\nx\n{"token":5}\n', "in.ndjson"))
    assert outcome.err == (
        "in.ndjson: record 1, line 3: The line is not JSON. [bad_line]\n"
        "in.ndjson: record 2, line 4, token: Text belongs here. [wrong_type]\n"
    )


def test_a_refused_file_is_exit_2_and_a_sentence(file):
    outcome = Outcome(file('[{"token":"a"}'), "--json")
    assert outcome.code == 2
    assert outcome.json["read"] == 0
    assert outcome.json["error"] == {
        "code": "truncated",
        "message": "in.json: The file ends in the middle of a value.",
    }
    assert outcome.sentence == outcome.json["error"]["message"]
    assert not ConnectionAuth.all_objects.exists()


def test_one_refused_file_keeps_all_out(file):
    outcome = Outcome(file(GOOD, "a.json"), file("[", "b.json"), "--json")
    assert (outcome.code, outcome.json["created"]) == (2, 0)
    assert "b.json" in outcome.sentence
    assert not ConnectionAuth.all_objects.exists()


def test_several_files_are_one_import(file):
    outcome = Outcome(file(GOOD, "a.json"), file('{"key":"k"}\n{"key":"l"}', "b.txt"), "--json")
    assert (outcome.code, outcome.json["created"]) == (0, 4)


@pytest.mark.parametrize("name", ["none.json", ""])
def test_a_file_that_is_not_there_is_exit_2(tmp_path, name):
    outcome = Outcome(tmp_path / name, "--json")
    assert outcome.code == 2
    assert outcome.json["error"]["code"] == "unreadable_file"


def test_atomic_that_stores_nothing_is_exit_2(file):
    outcome = Outcome(file([*GOOD, {"token": 5}]), "--atomic", "--json")
    assert outcome.code == 2
    assert outcome.json["error"]["code"] == "nothing_stored"
    assert (outcome.json["created"], outcome.json["rejected"], outcome.json["read"]) == (0, 1, 3)
    assert not ConnectionAuth.all_objects.exists()
    assert Outcome(file(GOOD), "--atomic").code == 0
    assert ConnectionAuth.objects.count() == 2


def test_a_dry_run_stores_nothing(file):
    outcome = Outcome(file([*GOOD, {"token": 5}]), "--dry-run", "--json")
    assert (outcome.code, outcome.json["created"], outcome.json["dry_run"]) == (1, 2, True)
    assert not ConnectionAuth.all_objects.exists()


def test_the_options_reach_the_import(file):
    entry = {"id": "c", "integration_type": "h", "updated_at": "2026-02-01T00:00:00Z"}
    assert Outcome(file([{**entry, "auth": {"token": "a"}}])).code == 0
    older = file([{**entry, "updated_at": "2026-01-01T00:00:00Z", "auth": {"key": "k"}}])
    assert Outcome(older).code == 1
    assert Outcome(older, "--on-conflict", "fail").code == 1
    assert Outcome(older, "--on-conflict", "skip", "--json").json["skipped"] == 1
    assert Outcome(older, "--allow-older", "--on-conflict", "replace").code == 0
    record = ConnectionAuth.objects.get()
    assert record.token is None and record.key.reveal() == "k"
    Outcome(file(GOOD), "--integration", "x", "--environment", "Test")
    assert ConnectionAuth.objects.filter(integration="x", environment="Test").count() == 2


@pytest.mark.parametrize("name", ["--integration", "--environment"])
@pytest.mark.parametrize("value", ["x" * 256, "\udcff"])
def test_a_default_for_a_field_is_checked_as_the_field_is(file, name, value):
    assert Outcome(file(GOOD), name, value).code == 2
    assert not ConnectionAuth.all_objects.exists()


def test_the_report_has_a_line_for_each_issue(file, tmp_path):
    report = tmp_path / "report.ndjson"
    outcome = Outcome(
        file([*GOOD, {"token": 5, "new\n": SECRET, "expiryDate": "x"}]),
        "--report",
        report,
        "--json",
    )
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert [list(line) for line in lines] == [
        ["file", "record", "line", "path", "level", "code", "message"]
    ] * 4
    assert [(i["record"], i["path"], i["level"], i["code"]) for i in lines] == [
        (1, "newKey", "warning", "unknown_key"),
        (2, "token", "error", "wrong_type"),
        (2, "expiryDate", "error", "bad_date"),
        (2, "new\\u000a", "warning", "unknown_key"),
    ]
    assert {(i["file"], i["line"]) for i in lines} == {("in.json", None)}
    assert outcome.json["warnings"] == 2
    assert SECRET not in report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600


def test_the_report_of_a_refused_file_says_why(file, tmp_path):
    report = tmp_path / "report.ndjson"
    Outcome(file("["), "--report", report)
    [line] = [json.loads(line) for line in report.read_text().splitlines()]
    assert (line["file"], line["record"], line["code"]) == ("in.json", None, "truncated")


def test_the_report_never_overwrites_what_is_imported(file):
    path = file(GOOD)
    outcome = Outcome(path, "--report", path)
    assert outcome.code == 2
    assert json.loads(path.read_text()) == GOOD


def test_a_report_to_standard_output_is_no_file_of_that_name(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = Outcome(file(GOOD), "--report", "-")
    assert (outcome.code, outcome.sentence) == (2, "--report takes the name of a file.")
    assert not (tmp_path / "-").exists()


def test_a_report_that_cannot_be_written_stops_before_anything_is_stored(file, tmp_path):
    outcome = Outcome(file(GOOD), "--report", tmp_path / "none" / "report")
    assert outcome.code == 2
    assert not ConnectionAuth.all_objects.exists()


@pytest.mark.parametrize("count", [2, 2000])
def test_the_import_continues_if_a_full_disk_cuts_the_report_off(file, count):
    outcome = Outcome(
        file([{"token": str(n), "newKey": 1} for n in range(count)]),
        "--report",
        "/dev/full",
        "--json",
    )
    assert (outcome.code, outcome.json["created"]) == (1, count)
    assert outcome.err == "--report: No space left on device. It is not whole.\n"
    assert ConnectionAuth.objects.count() == count


def test_the_terminal_shows_twenty_refusals_and_says_how_many_more(file):
    outcome = Outcome(file([{"token": n} for n in range(50)]))
    assert outcome.err.count("wrong_type") == 20
    assert "30 more" in outcome.err


def test_control_characters_of_a_file_do_not_reach_the_terminal(file):
    outcome = Outcome(file([{"token": "a\0", "\x1b[31m\u202e": "a\0"}], "\x1b[31m.json"))
    assert outcome.code == 1
    assert "\x1b" not in outcome.err and "\u202e" not in outcome.err


@pytest.mark.parametrize("text", [json.dumps(GOOD), "\n".join(map(json.dumps, GOOD))])
def test_standard_input_is_read(text):
    outcome = Outcome("-", "--json", stdin=text.encode())
    assert (outcome.code, outcome.json["created"]) == (0, 2)


def test_a_name_of_a_file_may_be_in_another_encoding(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.json")
    for content, codes in ((json.dumps(GOOD), ["unknown_key"]), ("[", ["truncated"])):
        with open(path, "w") as file:
            file.write(content)
        report = tmp_path / "report.ndjson"
        Outcome(path, "--report", report)
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        assert [(line["file"], line["code"]) for line in lines] == [
            ("caf\ufffd.json", code) for code in codes
        ]
    assert ImportRun.objects.get().file_name == "caf\ufffd.json"


def test_standard_input_is_read_once():
    assert Outcome("-", "-").code == 2


def test_empty_and_broken_standard_input_is_refused():
    assert Outcome("-", "--json").json["error"]["code"] == "empty"
    assert Outcome("-", "--json", stdin=b'[{"token":').json["error"]["code"] == "truncated"


def test_files_are_read_where_standard_input_is_closed(file, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    call_command("import_connections", str(file(GOOD)), stdout=io.StringIO())
    assert ConnectionAuth.objects.count() == 2


def test_a_pipe_is_read_like_a_file(tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = subprocess.Popen(
        [sys.executable, "-c", f"open({str(fifo)!r}, 'w').write({json.dumps(GOOD)!r})"]
    )
    outcome = Outcome(fifo, "--json")
    writer.wait(timeout=30)
    assert (outcome.code, outcome.json["created"]) == (0, 2)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("atomic", [False, True])
def test_a_file_that_changes_between_the_passes_stops_the_run(file, monkeypatch, atomic):
    path = file([{"token": f"{n:04}" * 10_000} for n in range(100)])
    write = import_export_writer.Writer.write

    def write_and_tamper(writer, group):
        write(writer, group)
        with open(path, "r+b") as opened:
            opened.seek(-20, os.SEEK_END)
            opened.write(b"x")

    monkeypatch.setattr(import_export_writer.Writer, "write", write_and_tamper)
    outcome = Outcome(path, "--json", *(["--atomic"] if atomic else []))
    assert outcome.json["error"]["code"] == "file_changed"
    stored = ConnectionAuth.objects.count()
    assert stored < 100
    assert outcome.json["created"] == stored
    assert outcome.code == (2 if atomic else 1)
    assert not (atomic and stored)


def test_usage_errors_are_exit_2():
    for arguments in ([], ["x.json", "--on-conflict", "merge"]):
        with pytest.raises(CommandError) as raised:
            call_command("import_connections", *arguments)
        assert getattr(raised.value, "returncode", 1) in (1, 2)
    ended = subprocess.run(
        [sys.executable, "manage.py", "import_connections"],
        capture_output=True, env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )  # fmt: skip
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr
