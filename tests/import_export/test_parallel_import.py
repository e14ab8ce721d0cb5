"""Imports by several processes: the same as by one, and clean when they are stopped or killed."""

import json
import os
import signal
import time

import pytest

from benchmarks.harness import children, members, wait, wait_for
from connections.import_export import importer
from connections.json_format.stream.reader import ENTRIES_PER_PIECE
from connections.lib import processes
from tests.support.stores import VENDORS, write

MANY = processes.MIN_PARALLEL_RECORDS + ENTRIES_PER_PIECE
GROUP = ENTRIES_PER_PIECE * importer.PIECES_PER_TRANSACTION  # entries of one transaction
SECRET = "synth-SECRET-51bc"


def connection(number, **auth):
    auth = auth or {"access_token": f"{SECRET}-{number}", "name": f"Company {number}"}
    return {"id": f"conn-{number:06}", "integration_type": f"system-{number % 7}", "auth": auth}


def bare(number):
    return {"token": f"{SECRET}-bare-{number}", "name": f"Company {number}"}


def same_outcomes(stores, paths, *options, before=None, stdin=b"", jobs=(1, 2)):
    """Import with each number of jobs into a store of its own; all must be alike.

    Returns the last Outcome and its store.
    """
    found = []
    for number in jobs:
        store = stores.make()
        if before:
            assert store.imports(before).code == 0
        report = store.folder / "report.ndjson"
        # First a preview: it must say the same as the import, which comes next.
        if not found:
            preview = store.imports(*paths, *options, "--dry-run", "--report", report, stdin=stdin)
            foretold = report.read_text()
        more = ["--jobs", str(number), "--report", report]
        outcome = store.imports(*paths, *options, *more, stdin=stdin)
        assert "Traceback" not in outcome.err
        assert {**preview.verdicts, "dry_run": False} == outcome.verdicts
        assert foretold == report.read_text()
        found.append(
            (outcome.code, outcome.verdicts, outcome.err, report.read_text(), store.export())
        )
    assert all(other == found[0] for other in found[1:])
    return outcome, store


@pytest.mark.parametrize("name", ["in.json", "in.ndjson", "-"])
def test_any_number_of_processes_gives_the_same(stores, tmp_path, name):
    entries = [connection(number) for number in range(MANY)]
    entries[3:3] = [{"token": 5}, {**connection(0), "auth": {"key": "k", "futureKey": 1}}]
    entries[-2:-2] = [{"name": "x" * 300}, bare(1), connection(7), bare(1)]
    path = write(tmp_path / ("in.json" if name == "-" else name), entries)
    stdin = path.read_bytes() if name == "-" else b""
    outcome, store = same_outcomes(
        stores, ["-" if name == "-" else path], stdin=stdin, jobs=(1, 3)
    )
    assert outcome.json["rejected"] == 4  # two faults, and two that share an id
    assert outcome.json["unchanged"] == 2
    exported = [entry["id"] for entry in store.exported() if "id" in entry]
    assert exported == [f"conn-{number:06}" for number in range(1, MANY)]  # as in the file


@pytest.mark.parametrize("policy", importer.CONFLICT_POLICIES)
def test_each_policy_gives_the_same(stores, tmp_path, policy):
    before = write(tmp_path / "before.json", [connection(number) for number in range(MANY)])
    entries = [connection(number) for number in range(MANY + 10)]
    for number in range(0, MANY, 100):
        entries[number]["auth"] = {"name": "Other", "refresh_token": f"{SECRET}-other"}
    for number in range(1, MANY, 400):
        entries[number]["auth"] = {"access_token": "********", "name": "Masked"}
    entries[MANY + 5]["auth"] = {"access_token": "********"}
    path = write(tmp_path / "in.json", entries)
    outcome, _ = same_outcomes(stores, [path], "--on-conflict", policy, before=before)
    changed = len(range(0, MANY, 100)) + len(range(1, MANY, 400))
    verdict = {"skip": "skipped", "fail": "rejected"}.get(policy, "updated")
    assert outcome.json[verdict] == changed + (policy == "fail")
    assert outcome.json["created"] == 9


def test_what_repeats_is_found_across_pieces_transactions_and_processes(stores, tmp_path):
    entries = [connection(number) for number in range(GROUP + 2 * ENTRIES_PER_PIECE)]
    twice = {**connection(1), "auth": {"name": "One", "token": "t"}, "external_xref": "x"}
    respelled = {"externalXref": "x", "auth": {"token": "t", "name": "One"}}
    respelled.update(id=twice["id"], integrationType=twice["integration_type"])
    entries[1] = twice
    entries[ENTRIES_PER_PIECE + 1] = respelled  # another piece
    entries[GROUP + 1] = twice  # another transaction
    entries[2] = connection(2, key="one")
    entries[GROUP + 2] = connection(2, key="two")
    for place in (3, ENTRIES_PER_PIECE + 3, GROUP + 3):
        entries[place] = bare(1)
    entries[4] = {"token": "spelled", "expires_in": 60}
    entries[ENTRIES_PER_PIECE + 4] = {"expiresIn": 60.0, "token": "spelled"}
    entries[GROUP + 4] = {"expires_in": 60, "token": "spelled"}
    path = write(tmp_path / "in.json", entries)
    outcome, store = same_outcomes(stores, [path])
    assert (outcome.json["rejected"], outcome.json["unchanged"]) == (2, 6)
    assert store.count() == len(entries) - 8


@pytest.mark.parametrize("far", [10, ENTRIES_PER_PIECE, GROUP])
def test_where_the_first_of_two_is_refused_the_second_is_too(stores, tmp_path, far):
    before = [
        {**connection(1), "updated_at": "2026-02-01T00:00:00Z"},
        connection(2, access_token="a", api_url="https://one.example.com"),
    ]
    older = {**connection(1, key="k"), "updated_at": "2026-01-01T00:00:00Z"}
    moved = connection(2, api_url="https://other.example.com")
    entries = [connection(number) for number in range(10, GROUP + ENTRIES_PER_PIECE)]
    for place in (0, far):
        entries[place : place + 2] = [older, moved]
    path = write(tmp_path / "in.json", entries)
    before = write(tmp_path / "before.json", before)
    outcome, store = same_outcomes(stores, [path], before=before)
    assert outcome.json["rejected"] == 4
    assert [entry.get("auth") for entry in store.exported()[:2]] == [
        {"accessToken": f"{SECRET}-1", "name": "Company 1"},
        {"accessToken": "a", "apiUrl": "https://one.example.com"},
    ]


@pytest.mark.parametrize("is_atomic", [False, True])
def test_several_files_are_read_in_their_order(stores, tmp_path, is_atomic):
    """The last file to name a record has the last word, as if they were imported one by one."""
    before = write(tmp_path / "before.json", [connection(1), connection(5)])
    one = [connection(number) for number in range(MANY)]
    one[1] = connection(1, access_token="changed")
    two = [connection(1), connection(2), connection(3, key="new"), bare(1), {"token": "spelled"}]
    three = [connection(1, access_token="changed"), bare(1), bare(2), {"token": "spelled"}]
    paths = [
        write(tmp_path / "one.json", one),
        write(tmp_path / "two.ndjson", two),
        write(tmp_path / "three.json", three),
    ]
    singly = stores.make()
    assert singly.imports(before).code == 0
    apart = [singly.imports(path).json for path in paths]
    for jobs in (1, 2):
        store = stores.make()
        assert store.imports(before).code == 0
        outcome = store.imports(*paths, "--jobs", jobs, *["--atomic"] * is_atomic)
        for name in ("read", "created", "updated", "unchanged", "rejected"):
            assert outcome.json[name] == sum(one[name] for one in apart), name
        assert store.export() == singly.export()


def test_a_refusal_in_the_last_piece_keeps_all_out(stores, tmp_path):
    entries = [connection(number) for number in range(GROUP + 10)] + [{"token": 5}]
    store = stores.make()
    outcome = store.imports(write(tmp_path / "in.json", entries), "--atomic", "--jobs", "2")
    assert outcome.code == 2
    assert outcome.json["error"]["code"] == "nothing_stored"
    assert store.count() == 0


def test_a_file_that_changes_meanwhile_stops_all_processes(stores, tmp_path):
    path = write(tmp_path / "in.json", [connection(n, token="x" * 2000) for n in range(20_000)])
    store = stores.make()
    process = store.start("import_connections", path, "--jobs", "2", "--json")
    assert wait_for(store.count)
    with open(path, "r+b") as file:
        file.seek(-30, os.SEEK_END)
        file.write(b"y")
    outcome = wait(process)
    assert outcome.json["error"]["code"] == "file_changed"
    assert outcome.err.endswith("What was stored stays.\n")
    assert outcome.code == 1 and "Traceback" not in outcome.err
    assert outcome.json["created"] == store.count() < 20_000
    assert not members(process.pid)


def started(store, path, *options):
    """An import of many records by two processes that has stored some (or is about to)."""
    process = store.start("import_connections", path, "--jobs", "2", "--json", *options)
    ready = store.count if "--atomic" not in options else lambda: len(children(process.pid)) == 2
    assert wait_for(ready)
    return process


@pytest.fixture
def long_file(tmp_path):
    return write(tmp_path / "in.json", [connection(number) for number in range(30_000)])


@pytest.mark.parametrize("options", [[], ["--atomic"]])
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_worker_that_is_killed_ends_the_import_with_a_sentence(
    stores, long_file, vendor, options
):
    store = stores.make(vendor)
    process = started(store, long_file, *options)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    outcome = wait(process, timeout=30)
    assert outcome.code == (2 if options else 1)
    assert outcome.json["error"]["code"] == "process_died"
    rest = "Nothing was stored." if options else "What was stored stays."
    assert outcome.err.endswith(f"{rest}\n")
    assert outcome.err.count("\n") == 1 and "Traceback" not in outcome.err
    assert outcome.json["created"] == store.count() < 30_000
    assert not (options and store.count())
    assert not members(process.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_all", [True, False])
def test_an_import_that_is_stopped_says_so(stores, long_file, number, to_all):
    """Ctrl-C reaches all processes of a terminal, `kill` the first one."""
    store = stores.make()
    process = started(store, long_file)
    (os.killpg if to_all else os.kill)(process.pid, number)
    begun = time.monotonic()
    outcome = wait(process, timeout=30)
    assert time.monotonic() - begun < 5
    if number == signal.SIGINT:
        assert outcome.code == 130, outcome.err
        assert outcome.err.count("\n") == 1 and "again" in outcome.err
    else:
        assert outcome.code == -number
        assert outcome.err == ""
    assert 0 < store.count() < 30_000
    assert not members(process.pid)


def test_no_process_outlives_the_first_one(stores, long_file):
    process = started(stores.make(), long_file)
    os.kill(process.pid, signal.SIGKILL)
    wait(process, timeout=30)
    assert not members(process.pid, patience=5)


def test_an_import_that_is_stopped_while_it_reads_says_so(stores):
    store = stores.make()
    read, write_end = os.pipe()
    process = store.start("import_connections", "-", stdin=read)
    os.close(read)
    os.write(write_end, json.dumps(connection(1)).encode())
    assert wait_for(lambda: any(store.temporary.iterdir()) or _has_spool(process.pid))
    os.kill(process.pid, signal.SIGINT)
    outcome = wait(process, timeout=30)
    os.close(write_end)
    assert (outcome.code, store.count()) == (130, 0)
    assert outcome.err.count("\n") == 1 and "Traceback" not in outcome.err


def _has_spool(pid):
    """Whether a process has an open file that no name leads to."""
    try:
        folder = f"/proc/{pid}/fd"
        return any("(deleted)" in os.readlink(f"{folder}/{name}") for name in os.listdir(folder))
    except OSError:
        return False
