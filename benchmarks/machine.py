"""What benchmarks share: a throw-away store, and a stop watch that watches the machine too."""

import os
import platform
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import harness
from harness import ROOT, family

HERE = ROOT / "benchmarks"
CORES = os.cpu_count()


@dataclass
class Measured:
    seconds: float
    foreign: float  # what others used of the processor time meanwhile, 0 to 1
    peak: int  # bytes of all its processes together, 0 where nobody looked
    output: str


class Store(harness.Store):
    """A migrated SQLite database that can be emptied again; `manage` measures commands."""

    def __init__(self, folder):
        self.database = Path(folder) / "store.sqlite3"
        super().__init__(folder, f"sqlite:///{self.database}")
        # What chooses another run is for the scripts that a benchmark starts, too.
        self.settings = {name: os.environ[name] for name in os.environ if name[:6] == "BENCH_"}
        self.manage("migrate")
        self._empty = self.folder / "empty.sqlite3"
        self.database.rename(self._empty)
        self.reset()

    def reset(self):
        """Begin again with an empty store."""
        for name in ("", "-wal", "-shm"):
            self.database.with_name(self.database.name + name).unlink(missing_ok=True)
        shutil.copy(self._empty, self.database)

    def manage(self, *arguments, **options):
        return self.measure(*self.program, *arguments, **options)

    def measure(self, *arguments, **options):
        """Run Python with these arguments and the settings of this store."""
        command = [sys.executable, *map(str, arguments)]
        return measure(command, self.environment(), **options)


def measure(command, environment, watch_memory=False, codes=(0,)):
    """Run a command to its end and return what was Measured; leave where it fails.

    `codes` are the exit statuses that are no failure.
    """
    peak = 0
    os.sync()  # what was written before is not this one's to wait for
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        busy, own, started = _busy_time(), _own_time(), time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=errors
        )
        while watch_memory and process.poll() is None:
            peak = max(peak, sum(map(_memory, family(process.pid))))
            time.sleep(0.05)
        process.wait()
        seconds = time.perf_counter() - started
        others = (_busy_time() - busy) - (_own_time() - own)
        output.seek(0)
        errors.seek(0)
        if process.returncode not in codes:
            sys.exit(f"{' '.join(command)}\n{errors.read()}")
        return Measured(seconds, max(others, 0) / (seconds * CORES), peak, output.read())


def _busy_time():
    """Seconds that all cores together have worked (or were taken away) since the start."""
    user, nice, system, _, _, irq, soft, stolen, *_ = map(int, _first_line("/proc/stat")[1:])
    return (user + nice + system + irq + soft + stolen) / os.sysconf("SC_CLK_TCK")


def _first_line(path):
    with open(path) as file:
        return file.readline().split()


def _own_time():
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _memory(pid):
    """Bytes of a process; memory that several share counts once in their sum (PSS)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended meanwhile
    return 0


def describe():
    """One line on where a figure was measured."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    model = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), ""
    )
    return (
        f"{time.strftime('%Y-%m-%d')}, commit {commit or 'unknown'}, {CORES} cores ({model}), "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
