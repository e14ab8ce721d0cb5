"""How long a rotation of keys takes: `make bench-rotation`.

`rotate_keys` over BENCH_RECORDS connections, from the start of its process to the end, against
opening and sealing the same tokens on all cores; the median of three rounds.
"""

import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
from statistics import median

import mix
from cryptography.fernet import Fernet, MultiFernet
from harness import TABLE
from machine import CORES, Store, describe

RECORDS = int(os.environ.get("BENCH_RECORDS", 200_000))
ROUNDS = 3
LEAST = 0.5  # of the speed of opening and sealing alone


def main():
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        file = store.folder / "connections.json"
        mix.write(file, RECORDS)
        store.manage("import_connections", file)
        print(f"{RECORDS:,} connections\n")
        print("| | seconds | records/s | others |\n| --- | --: | --: | --: |")
        ratios = []
        for _ in range(ROUNDS):
            store.keys = f"{Fernet.generate_key().decode()},{store.keys}"
            floor = store.measure(__file__, "floor", store.database, store.keys)
            alone = float(floor.output)
            rotation = store.manage("rotate_keys")
            print_row("opening and sealing alone", alone, floor.foreign)
            print_row("rotate_keys", rotation.seconds, rotation.foreign)
            ratios.append(alone / rotation.seconds)
            store.keys = store.keys.split(",")[0]
    ratio = median(ratios)
    is_met = "met" if ratio >= LEAST else "not met"
    print(f"\nrotate_keys: {ratio:.2f} of opening and sealing alone, at least {LEAST}: {is_met}")
    print(f"\n{describe()}")


def print_row(name, seconds, foreign):
    print(f"| {name} | {seconds:.2f} | {RECORDS / seconds:,.0f} | {foreign:.0%} |", flush=True)


def floor(database, keys):
    """Print the seconds that opening and sealing all tokens of a store takes on all cores."""
    ring = MultiFernet([Fernet(key) for key in keys.split(",")])
    rows = sqlite3.connect(database).execute(f"SELECT * FROM {TABLE}")
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
