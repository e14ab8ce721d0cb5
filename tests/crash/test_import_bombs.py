"""Files made to exhaust memory, under a limit of 1 GB: refused in time, and nothing is stored."""

import gzip
import json
import os
import resource
import signal
import threading
import time

import pytest

from benchmarks.harness import wait
from tests.support.stores import write

pytestmark = pytest.mark.crash

LIMIT = 1 << 30  # bytes
PATIENCE = 30  # seconds
MIB = b"x" * (1 << 20)
MARK = "synth-BOMB"  # in values: no output may hold it
DIGITS = "7" * 10_000
MANY = 1_000_000
GOOD = '[{"token":"synth-good"},'


def limited():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def feed(pipe, parts):
    try:
        with pipe:
            for part in parts:
                pipe.write(part.encode() if isinstance(part, str) else part)
    except BrokenPipeError:
        pass


def detonate(store, parts, *options):
    """Import from a pipe. Returns the Outcome, and has looked at what holds for every bomb."""
    begun = time.monotonic()
    process = store.start(
        "import_connections", "-", "--json", *options, stdin=-1, preexec_fn=limited
    )
    feeder = threading.Thread(target=feed, args=(process.stdin, parts))
    feeder.start()
    feeder.join(PATIENCE)
    process.stdin = None
    outcome = wait(process, timeout=PATIENCE)
    assert "Traceback" not in outcome.err, outcome.err
    assert MARK not in outcome.out + outcome.err and DIGITS[:100] not in outcome.out + outcome.err
    assert time.monotonic() - begun < PATIENCE
    return outcome


def many_keys(separator=","):
    return separator.join(f'"k{number}":0' for number in range(MANY))


# Made when they are needed: (the code of the refusal, what the file consists of).
REFUSED_FILES = {
    "deep arrays": ("too_deep", lambda: [GOOD, "[" * 100_000]),
    "deep inside a record": (
        "too_deep",
        lambda: [GOOD, '{"token":"a","meta":', '{"a":' * 100_000],
    ),
    "one long text": ("entry_too_large", lambda: [GOOD, b'{"token":"', *[MIB] * 1024]),
    "one long key": ("entry_too_large", lambda: [GOOD, b'{"', *[MIB] * 1024]),
    "one long number": (
        "entry_too_large",
        lambda: [GOOD, '{"expiresIn":', *["7" * (1 << 20)] * 64],
    ),
    "blanks without end": ("truncated", lambda: [GOOD, *[" " * (1 << 20)] * 64]),
    "a ZIP archive": ("zip", lambda: [b"PK\x03\x04", *[MIB] * 64]),
    "a gzip bomb": ("gzip", lambda: [gzip.compress(b"[" + b" " * (64 << 20))]),
    "keys without end": ("entry_too_large", lambda: [GOOD, "{", *['"k":0,' * (1 << 18)] * 64]),
}


@pytest.mark.parametrize("name", REFUSED_FILES)
def test_a_bomb_is_refused_and_nothing_is_stored(stores, name):
    code, make_parts = REFUSED_FILES[name]
    store = stores.make()
    outcome = detonate(store, make_parts())
    assert outcome.code == 2
    assert outcome.json["error"]["code"] == code
    assert store.count() == 0
    assert not os.listdir(store.temporary)


REFUSED_RECORDS = {
    "a million unknown keys": ("too_many_keys", lambda: "{" + many_keys() + ',"token":"a"}'),
    "a million keys inside": (
        "too_many_keys",
        lambda: '{"token":"a","meta":{' + many_keys() + "}}",
    ),
    "digits in a number": ("bad_number", lambda: '{"token":"a","expiresIn":' + DIGITS + "}"),
    "digits in an unknown key": ("bad_number", lambda: '{"token":"a","later":' + DIGITS + "}"),
    "digits inside": ("bad_number", lambda: '{"token":"a","meta":{"x":[' + DIGITS + "]}}"),
    "digits as an id": ("wrong_type", lambda: '{"auth":{"token":"a"},"id":' + DIGITS + "}"),
    "digits as a date": ("bad_date", lambda: '{"token":"a","expiryDate":' + DIGITS + "}"),
    "one key, over and over": (
        "conflicting_keys",
        lambda: "{" + ",".join(f'"token":"{MARK}{number}"' for number in range(300_000)) + "}",
    ),
}


@pytest.mark.parametrize("name", REFUSED_RECORDS)
def test_a_bomb_in_one_record_leaves_the_others(stores, tmp_path, name):
    code, make_record = REFUSED_RECORDS[name]
    store, report = stores.make(), tmp_path / "report"
    good = ['{"token":"synth-one"}', '{"token":"synth-two"}']
    outcome = detonate(store, [f"[{good[0]},{make_record()},{good[1]}]"], "--report", report)
    assert outcome.code == 1
    assert (outcome.json["created"], outcome.json["rejected"]) == (2, 1)
    assert code in {json.loads(line)["code"] for line in report.read_text().splitlines()}
    assert MARK not in report.read_text() and DIGITS[:100] not in report.read_text()
    assert len(report.read_text()) < 50_000
    assert store.count() == 2


@pytest.mark.parametrize(
    "line",
    [[MIB] * 64, ["{" * 100_000], ['{"meta":{"a":' + DIGITS + "1e999}"]],
    ids=["long", "deep", "digits"],
)
def test_a_line_that_is_a_bomb_leaves_the_others(stores, line):
    store = stores.make()
    good = ['{"token":"synth-one"}\n', '\n{"token":"synth-two"}\n']
    outcome = detonate(store, [good[0], *line, good[1]])
    assert outcome.code == 1
    assert (outcome.json["created"], outcome.json["rejected"]) == (2, 1)


def test_a_file_of_nothing_but_refusals(stores, tmp_path):
    count = 100_000
    store, report = stores.make(), tmp_path / "report"
    outcome = detonate(store, ["[0", ",{}" * (count - 1), "]"], "--report", report)
    assert outcome.code == 1
    assert (outcome.json["rejected"], outcome.json["created"]) == (count, 0)
    with open(report) as lines:
        assert sum(1 for _ in lines) == count
    assert outcome.err.count("\n") < 50


def test_four_imports_at_once_in_little_memory(stores, tmp_path):
    store, count = stores.make(), 4000
    files = [
        write(
            tmp_path / f"{place}.json",
            [
                {"id": f"{place}-{number}", "auth": {"token": f"synth-{number}"}}
                for number in range(count)
            ],
        )
        for place in range(4)
    ]
    arguments = ("import_connections", "--json", "--jobs", "2")
    started = [store.start(*arguments, file, preexec_fn=limited) for file in files]
    outcomes = [wait(process) for process in started]
    assert [(outcome.code, outcome.err) for outcome in outcomes] == [(0, "")] * 4
    assert store.count() == 4 * count
