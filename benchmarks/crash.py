"""Kills imports at 20 random moments and looks at what is left: `make bench-crash`.

After each kill -9: no secret stands in clear in a file of the store, no process stays behind, an
import with --atomic has stored nothing, and a second run makes the store equal to the file.
Every other kill hits a random process of the import, not its first one; it must then end by
itself. BENCH_RECORDS and BENCH_SEED choose other runs.
"""

import json
import os
import sqlite3
import subprocess
import tempfile
import time
from random import Random

import mix
from floor import TABLE
from machine import ROOT, Store, strike

RECORDS = int(os.environ.get("BENCH_RECORDS", 30_000))
SEED = int(os.environ.get("BENCH_SEED", 1))
KILLS = 20


def main():
    random = Random(SEED)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as elsewhere:
        store = Store(folder)
        file = os.path.join(elsewhere, "connections.json")  # in clear, so not beside the store
        exported = os.path.join(elsewhere, "export.json")
        mix.write(file, RECORDS)
        given = read(file)
        whole = store.manage("import_connections", file).seconds
        for number in range(KILLS):
            is_atomic = number % 4 >= 2
            stored, latest = None, whole
            while stored is None:  # again, and sooner, where it had ended by then
                moment = latest = random.uniform(0, latest)
                store.reset()
                stored = killed(store, file, moment, is_atomic, random if number % 2 else None)
            store.manage("import_connections", file)
            look_for_secrets(store.folder)
            store.manage(
                *("export_connections", "--shape", "connection", "--naming", "snake"),
                *("--overwrite", "-o", exported),
            )
            assert count(store) == RECORDS and read(exported) == given, "store and file differ"
            kind = "--atomic" if is_atomic else "in batches"
            print(
                f"{number + 1:2}: killed at {moment:5.2f} s, {kind}: {stored:,} stored", flush=True
            )
    print(f"{KILLS} kills: each time the second run made the store equal to the file.")


def killed(store, file, moment, is_atomic, random):
    """Start an import, kill it, and return how many records were stored; None: it had ended."""
    command = store.command("import_connections", file, *["--atomic"] * is_atomic)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=store.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        time.sleep(moment)
        if process.poll() is not None:
            return None
        strike(process, random)
    look_for_secrets(store.folder)
    stored = count(store)
    if is_atomic:
        assert stored in (0, RECORDS), f"--atomic has stored {stored}"
    return stored


def look_for_secrets(folder):
    """No file beside the store may hold the mark that every secret of the mix has."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert mix.MARK.encode() not in path.read_bytes(), f"a secret in clear: {path.name}"


def count(store):
    connection = sqlite3.connect(store.database)
    try:
        return connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0]  # noqa: S608
    finally:
        connection.close()


def read(path):
    """The connections of a file, by id: equal where their JSON is."""
    with open(path) as file:
        entries = {entry["id"]: entry for entry in json.load(file)}
    for entry in entries.values():
        entry["auth"] = entry.get("auth") or {}
    return entries


if __name__ == "__main__":
    main()
