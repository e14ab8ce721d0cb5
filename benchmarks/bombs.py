"""Gives imports what is made to exhaust them, each under 1 GB of memory: `make bench-bombs`.

Each bomb comes through a pipe, and is written while it is read. An import has to end with the
verdict that is named beside it, in time where that is a refusal, and to store as many records as
are named. BENCH_SIZE chooses how many MB the large ones have.
"""

import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from itertools import chain, repeat

from floor import TABLE
from machine import ROOT, Store, describe

SIZE = int(os.environ.get("BENCH_SIZE", 1024))  # MB
LIMIT = 1 << 30  # bytes of address space
TIME = 20  # seconds until a refusal; what is legal may take as long as its size asks
MB = b"x" * (1 << 20)
GOOD = b'{"id":"%d","auth":{"token":"a"}}\n'


def large(before, after=b"", filling=MB):
    return lambda: chain([before], repeat(filling, SIZE), [after])


def keys(count):
    def parts():
        yield b'{"token":"a"'
        for start in range(0, count, 10_000):
            yield b"".join(b',"k%d":1' % number for number in range(start, start + 10_000))
        yield b"}"

    return parts


# What it is: (its parts, the code of the refusal or "", records read, records stored)
BOMBS = {
    "one string": (large(b'[{"id":"1","token":"', b'"}]'), "entry_too_large", 0, 0),
    "one key": (large(b'[{"id":"1","', b'":1}]'), "entry_too_large", 0, 0),
    "one number": (large(b'[{"id":"1","n":1', b"}]", b"1" * (1 << 20)), "entry_too_large", 0, 0),
    "blanks": (large(b"", b"[]", b" " * (1 << 20)), "", 0, 0),
    "brackets": (large(b"", b"", b"[" * (1 << 20)), "too_deep", 0, 0),
    "a line between two": (large(GOOD % 1 + b'{"token":"', b'"}\n' + GOOD % 2), "", 3, 2),
    "1,000,000 unknown keys": (keys(1_000_000), "", 1, 0),
    "10,000,000 unknown keys": (keys(10_000_000), "entry_too_large", 0, 0),
    "1,000,000 empty lines of {}": (
        lambda: chain([GOOD % 1], repeat(b"{}\n" * 1000, 1000)),
        "",
        1_000_001,
        1,
    ),
}


def main():
    print(f"{describe()}: {SIZE} MB, at most {LIMIT >> 20} MB of memory\n", flush=True)
    print("| bomb | verdict | seconds | peak MB |\n| --- | --- | --: | --: |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for name, (parts, *expected) in BOMBS.items():
            store.reset()
            print(row(name, [explode(store, parts)], expected), flush=True)
            assert count(store) == expected[2]
        store.reset()
        parts, *expected = BOMBS["one string"]
        found = [None] * 4
        threads = [
            threading.Thread(target=lambda n=n: found.__setitem__(n, explode(store, parts)))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(row("4 times one string, at once", found, expected), flush=True)
        assert count(store) == 0


def row(name, outcomes, expected):
    """A line of the table; leaves where an outcome isn't the expected one."""
    for code, read, _, stored, errors, seconds, _ in outcomes:
        if [code, read, stored] != expected or "Traceback" in errors or (code and seconds > TIME):
            sys.exit(f"{name}: {code or 'no refusal'}, {read} read, {stored} stored\n{errors}")
    code, read, rejected, stored, _, _, _ = outcomes[0]
    verdict = f"`{code}`" if code else f"{read:,} read, {rejected:,} refused, {stored:,} stored"
    seconds, peak = (max(outcome[place] for outcome in outcomes) for place in (5, 6))
    return f"| {name} | {verdict} | {seconds:.1f} | {peak >> 20} |"


def explode(store, parts):
    """Import the parts. Returns (code, read, rejected, stored, errors, seconds, peak in bytes)."""
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            store.command("import_connections", "-", "--json"),
            cwd=ROOT,
            env=store.environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            preexec_fn=limited,
        )
        try:
            with process.stdin as pipe:
                for part in parts():
                    pipe.write(part)
        except BrokenPipeError:
            pass  # refused before its end
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        output.seek(0)
        errors.seek(0)
        said, written = errors.read(), output.read()
    result = json.loads(written) if written else {"read": -1, "rejected": 0, "created": 0}
    code = result.get("error", {}).get("code", "")
    counts = result["read"], result["rejected"], result["created"]
    return code, *counts, said, seconds, usage.ru_maxrss * 1024


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def count(store):
    with closing(sqlite3.connect(store.database)) as database:
        return database.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0]  # noqa: S608


if __name__ == "__main__":
    main()
