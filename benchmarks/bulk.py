"""Bulk work against what people would use instead, and against the floor: `make bench`.

All contestants work on the same connections, one after the other, in three rounds; a process is
timed from its start to its end, and the median counts. BENCH_RECORDS=6000 makes a quick run.
Works in a temporary folder with keys of its own; nothing of yours is touched.
"""

import os
import sys
import tempfile
from statistics import median

import mix
from machine import HERE, Store, describe

RECORDS = int(os.environ.get("BENCH_RECORDS", 60_000))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
RENEWED = RECORDS // 10  # the rival would take ten minutes for all of them

# What is asked of us: (contestant, compared with, at least, aim).
TARGETS = (
    ("import", "rival import", 5, 8),
    ("import", "rival import, tuned", 5, 8),
    ("import", "floor", 0.6, 1),
    ("import again, unchanged", "import", 1.5, None),
    ("import again, tokens renewed", "rival import, tokens renewed", None, None),
    ("export with secrets", "rival export", 3, None),
    ("export, masked", "export with secrets", 1.5, None),
)


def main():
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder)
        print(f"{RECORDS:,} connections, {bench.file.stat().st_size / 1e6:.0f} MB of JSON")
        rounds = [bench.round(number) for number in range(1, ROUNDS + 1)]
    print_table(rounds)


class Bench:
    def __init__(self, folder):
        self.store = Store(folder)
        folder = self.store.folder
        self.file, self.flat = folder / "connections.json", folder / "flat.json"
        self.renewed, self.flat_renewed = folder / "renewed.json", folder / "flat-renewed.json"
        self.rows, self.exported = folder / "rows.pickle", folder / "export.json"
        self.rival_database = folder / "rival.sqlite3"
        self.store.settings["RIVAL_DATABASE"] = str(self.rival_database)
        mix.write(self.file, RECORDS)
        mix.renew(self.file, self.renewed, RENEWED)
        self.rival("flatten", self.file, self.flat)
        self.rival("flatten", self.renewed, self.flat_renewed)
        self.store.manage("import_connections", self.file)
        self.floor("prepare")

    def rival(self, *arguments, lookup="row"):
        self.store.settings["RIVAL_LOOKUP"] = lookup
        return self.script("rival/run.py", *arguments)

    def rival_import(self, lookup):
        self.rival_database.unlink(missing_ok=True)
        self.rival("create")
        return self.rival("import", self.flat, lookup=lookup)

    def floor(self, command):
        return self.script("floor.py", command, self.store.database, self.rows, self.store.keys)

    def script(self, name, *arguments):
        return self.store.measure(HERE / name, *arguments)

    def export(self, *options):
        self.exported.unlink(missing_ok=True)
        return self.store.manage(
            "export_connections", "--shape", "connection", "-o", self.exported, *options
        )

    def round(self, number):
        """One run of each contestant, as `{name: Measured}`."""
        run = {"rival import": self.rival_import("row")}
        run["rival import, tuned"] = self.rival_import("cached")
        # The closest race is run side by side: a machine changes its speed within minutes.
        self.store.reset()
        run["floor"] = self.floor("run")
        self.store.reset()
        run["import"] = self.store.manage("import_connections", self.file)
        expect(f"{RECORDS} created", run["import"])
        run["import again, unchanged"] = self.store.manage("import_connections", self.file)
        expect(f"{RECORDS} unchanged", run["import again, unchanged"])
        run["rival export"] = self.rival("export", self.exported)
        run["rival import, tokens renewed"] = self.rival(
            "import", self.flat_renewed, lookup="cached"
        )
        run["export with secrets"] = self.export()
        expect(f"{RECORDS} connections", run["export with secrets"])
        run["export, masked"] = self.export("--secrets", "mask")
        run["import again, tokens renewed"] = self.store.manage("import_connections", self.renewed)
        expect("0 created", run["import again, tokens renewed"])
        foreign = sum(m.foreign * m.seconds for m in run.values())
        foreign /= sum(m.seconds for m in run.values())
        print(f"Round {number}: others used {foreign:.0%} of the processors", flush=True)
        for name, measured in run.items():
            print(f"  {name:30}{measured.seconds:7.2f} s   (others {measured.foreign:.0%})")
        return run


def expect(words, measured):
    if words not in measured.output:
        sys.exit(f"Expected {words}: {measured.output}")


def print_table(rounds):
    sizes = {name: RENEWED if "renewed" in name else RECORDS for name in rounds[0]}
    speed = {
        name: size / median(run[name].seconds for run in rounds) for name, size in sizes.items()
    }
    print(f"\n{describe()}\n")
    print("| | records/s | against | ratio | at least | |")
    print("| --- | --: | --- | --: | --: | --- |")
    for name, other, least, aim in TARGETS:
        ratio = speed[name] / speed[other]
        wanted = f"{least or ''}" + (f" (aim {aim})" if aim else "")
        is_met = "" if least is None else "met" if ratio >= least else "not met"
        print(
            f"| {name} | {speed[name]:,.0f} | {other}, {speed[other]:,.0f} | **{ratio:.2f}** "
            f"| {wanted} | {is_met} |"
        )


if __name__ == "__main__":
    main()
