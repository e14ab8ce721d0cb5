"""Time and memory of 100,000 and of 1,000,000 connections: `make bench-million`.

Imports and exports a JSON array, then NDJSON. Memory is that of all processes together (PSS,
looked at every 50 ms). BENCH_SIZES="10000 100000" makes a shorter run; it takes 5 GB of disk.
"""

import os
import tempfile

import mix
from machine import Store, describe

SIZES = [int(size) for size in os.environ.get("BENCH_SIZES", "100000 1000000").split()]
MOST_GROWTH = 1.3
MOST_MEMORY = 400e6


def main():
    print("| | records | seconds | records/s | peak MB | others' share |")
    print("| --- | --: | --: | --: | --: | --: |", flush=True)
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for form in ("json", "ndjson"):
            for size in SIZES:
                for work, measured in run(store, form, size):
                    peaks.setdefault(f"{work}, {form}", []).append(measured.peak)
                    print(
                        f"| {work}, {form} | {size:,} | {measured.seconds:.1f} "
                        f"| {size / measured.seconds:,.0f} | {measured.peak / 1e6:.0f} "
                        f"| {measured.foreign:.0%} |",
                        flush=True,
                    )
    print(f"\nBounds: growth {MOST_GROWTH}, {MOST_MEMORY / 1e6:.0f} MB")
    for what, (small, *_, large) in peaks.items():
        is_met = large <= MOST_GROWTH * small and large <= MOST_MEMORY
        print(f"{what:20}{large / small:6.2f} {'met' if is_met else 'not met'}")
    print(f"\n{describe()}")


def run(store, form, size):
    """Import and export, as (name, Measured)."""
    file, exported = store.folder / f"given.{form}", store.folder / f"exported.{form}"
    mix.write(file, size, lines=form == "ndjson")
    store.reset()
    yield "import", store.manage("import_connections", file, watch_memory=True)
    file.unlink()
    export = ("export_connections", "--shape", "connection", "--format", form, "-o", exported)
    yield "export", store.manage(*export, watch_memory=True)
    exported.unlink()


if __name__ == "__main__":
    main()
