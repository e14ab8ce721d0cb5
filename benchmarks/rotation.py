"""Rotates keys under fire, and against the clock: `make bench-rotation`.

First, `rotate_keys` over BENCH_RECORDS connections is killed with kill -9 at 100 random moments
(its first process, and every other time any one of them) while an editor keeps saving. Each time
that it gets to its end, the old key goes: everything has to open under the new one alone, every
connection is there once, and each field that was edited holds what was written last. Then the
next key comes. Second, a rotation of BENCH_LARGE connections, from the start of its process to
the end, against opening and sealing the same tokens on all cores; the median of three rounds.
BENCH_SEED chooses other moments.
"""

import hashlib
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from random import Random
from statistics import median

import crash
import mix
from cryptography.fernet import Fernet, MultiFernet
from floor import TABLE
from machine import CORES, HERE, ROOT, Store, describe, measure, strike

RECORDS = int(os.environ.get("BENCH_RECORDS", 10_000))
LARGE = int(os.environ.get("BENCH_LARGE", 200_000))
KILLS = int(os.environ.get("BENCH_KILLS", 100))
SEED = int(os.environ.get("BENCH_SEED", 1))
ROUNDS = 3
LEAST = 0.5  # of the speed of opening and sealing alone


def main():
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as elsewhere:
        store = Store(folder)
        under_fire(store, os.path.join(elsewhere, "connections.json"))
        against_the_clock(store, os.path.join(elsewhere, "connections.json"))
    print(f"\n{describe()}, seed {SEED}")


def under_fire(store, file):
    """Rotate from key to key until KILLS have struck."""
    random = Random(SEED)  # noqa: S311
    fill(store, file, RECORDS)
    expected = crash.read(file)
    kills = edits = again = number = 0
    shares, longest = [], 0
    while kills < KILLS:
        number += 1
        add_key(store)
        editor = subprocess.Popen(
            [sys.executable, HERE / "editor.py", str(number)],
            cwd=ROOT,
            env={**store.environment, "DJANGO_SETTINGS_MODULE": "project.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        reached = []
        while kills < KILLS:
            moment = random.uniform(0, longest) if longest else None
            if seconds := rotate(store, moment, random if kills % 2 else None):
                if not reached:  # the newest that nobody struck; the first one is let through
                    longest = seconds
                break
            kills += 1
            reached.append(share_done(store))
            if reached[-1] in (0, *reached[-2:-1]):  # too soon, as on a machine that is busy now
                longest *= 1.2
        store.manage("rotate_keys")
        while needs_old(store):  # an edit that was under way has brought an old token back
            again += 1
            store.manage("rotate_keys")
        edited = json.loads(editor.communicate()[0])
        assert editor.returncode == 0 and edited["edits"], "the editor has failed"
        drop_old_key(store)
        look(store, file, expected, edited["last"])
        edits += edited["edits"]
        shares += reached
        killed_at = ", ".join(f"{share:.0%}" for share in reached)
        print(f"key {number:2}: {edited['edits']} edits, killed at {killed_at or '-'}", flush=True)
    midway = sum(0.1 < share < 0.9 for share in shares)
    print(
        f"{kills} kills, {midway} of them at 10 to 90%, in {number} rotations of {RECORDS:,} "
        f"connections beside {edits:,} edits: each time everything opened under the new key "
        "alone, with every edit, and nothing twice. "
        f"{again} times --verify asked for one more run."
    )


def fill(store, file, count):
    mix.write(file, count)
    store.manage("import_connections", file)


def add_key(store):
    """Put a new key in front."""
    store.environment["FERNET_KEYS"] = f"{store.manage('generate_key').output.strip()},{store.key}"


def drop_old_key(store):
    store.environment["FERNET_KEYS"] = store.key.split(",")[0]


def rotate(store, moment, random):
    """Rotate, and kill that after `moment` seconds. How many it took, None where it was struck."""
    begun = time.monotonic()
    with subprocess.Popen(
        store.command("rotate_keys"),
        cwd=ROOT,
        env=store.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            strike(process, random)
            return None
    assert process.returncode == 0, "a rotation has failed"
    return time.monotonic() - begun


def share_done(store):
    """The part of the connections that is under the newest key, 0 to 1."""
    newest = hashlib.sha256(store.key.split(",")[0].encode()).hexdigest()[:8]
    query = f"SELECT avg(sealed_under = ?) FROM {TABLE} WHERE sealed_under IS NOT NULL"  # noqa: S608
    with closing(sqlite3.connect(store.database)) as connection:
        return connection.execute(query, [newest]).fetchone()[0]


def needs_old(store):
    verify = store.command("rotate_keys", "--verify", "--json")
    done = subprocess.run(
        verify, cwd=ROOT, env=store.environment, capture_output=True, text=True, check=False
    )
    left = json.loads(done.stdout)
    assert left["unreadable"] == 0, left
    return left["needs_old"]


def look(store, file, expected, edits):
    """Whether everything is there, as it was given or written last, under one key."""
    for connection_id, field, value in edits:
        expected[connection_id]["auth"][field] = value
        if value is None:
            del expected[connection_id]["auth"][field]
    store.manage("verify_records")
    store.manage(
        *("export_connections", "--shape", "connection", "--naming", "snake"),
        *("--overwrite", "-o", file),
    )
    assert crash.count(store) == len(expected), "a connection is gone, or there twice"
    assert crash.read(file) == expected, "an edit is lost"


def against_the_clock(store, file):
    store.reset()
    fill(store, file, LARGE)
    print(f"\n{LARGE:,} connections\n")
    print("| | seconds | records/s | others |\n| --- | --: | --: | --: |")
    ratios = []
    for _ in range(ROUNDS):
        add_key(store)
        floor = measure(
            [sys.executable, HERE / "rotation.py", "floor", store.database, store.key], {}
        )
        alone = float(floor.output)
        rotation = store.manage("rotate_keys")
        print_row("opening and sealing alone", alone, floor.foreign)
        print_row("rotate_keys", rotation.seconds, rotation.foreign)
        ratios.append(alone / rotation.seconds)
        drop_old_key(store)
    ratio = median(ratios)
    is_met = "met" if ratio >= LEAST else "not met"
    print(f"\nrotate_keys: {ratio:.2f} of opening and sealing alone, at least {LEAST}: {is_met}")


def print_row(name, seconds, foreign):
    print(f"| {name} | {seconds:.2f} | {LARGE / seconds:,.0f} | {foreign:.0%} |", flush=True)


def floor(database, keys):
    """Print the seconds that opening and sealing all tokens of a store takes on all cores."""
    ring = MultiFernet([Fernet(key) for key in keys.split(",")])
    rows = sqlite3.connect(database).execute(f"SELECT * FROM {TABLE}")  # noqa: S608
    tokens = [v for row in rows for v in row if isinstance(v, str) and v.startswith("gAAAA")]

    def work(first):
        for token in tokens[first::CORES]:
            ring.encrypt(ring.decrypt(token))

    start = multiprocessing.get_context("fork").Process
    processes = [start(target=work, args=(number,)) for number in range(CORES)]
    begun = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    floor(*sys.argv[2:]) if sys.argv[1:2] == ["floor"] else main()
