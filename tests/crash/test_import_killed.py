"""Imports that are killed: a second run completes the store, and no secret is left in clear."""

import os
import signal
import time
from contextlib import suppress
from random import Random

import pytest

from benchmarks.harness import family, members, wait, wait_for
from tests.support.stores import write
from tests.support.thorough import is_thorough

COUNT = 6000
KILLS = 5 if is_thorough() else 2  # of each kind of import
MARK = "synth-SECRET-9d2e"


@pytest.mark.crash
@pytest.mark.parametrize("options", [[], ["--atomic"]])
def test_a_second_run_completes_what_a_kill_left_half(stores, tmp_path, options):
    """Every other kill hits any one of its processes, and not the first; it ends by itself."""
    entries = [
        {"id": f"conn-{number:05}", "integration_type": "x", "auth": {"token": f"{MARK}-{number}"}}
        for number in range(COUNT)
    ]
    path = write(tmp_path / "in.json", entries)
    seed = time.time_ns()
    print(f"seed {seed}")
    random = Random(seed)
    for number in range(KILLS):
        store = stores.make()
        with open(path, "rb") as file:  # no regular file's way: through the spool
            process = store.start("import_connections", "-", "--jobs", "2", *options, stdin=file)
            wait_for(store.count, 1.5)
            time.sleep(random.uniform(0, 0.3))
            victims = family(process.pid) if number % 2 else [process.pid]
            with suppress(ProcessLookupError):  # one that had just ended
                os.kill(random.choice(victims), signal.SIGKILL)
            wait(process)
        assert not members(process.pid)
        assert not options or store.count() in (0, COUNT)
        look_for_secrets(store.folder)
        assert store.imports("-", stdin=path.read_bytes()).code == 0
        assert store.count() == COUNT
        assert [one["auth"]["token"] for one in store.exported()] == [
            one["auth"]["token"] for one in entries
        ]
        look_for_secrets(store.folder)


def look_for_secrets(folder):
    for path in folder.rglob("*"):
        assert not path.is_file() or MARK.encode() not in path.read_bytes(), path.name
