"""What the benchmarks share: a throw-away store, and a stop watch that watches the machine too."""

import os
import platform
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
CORES = os.cpu_count()
PATIENCE = 60  # seconds until what should end by itself counts as hanging


@dataclass
class Measured:
    seconds: float
    foreign: float  # what others used of the processor time meanwhile, 0 to 1
    peak: int  # bytes of all its processes together, 0 where nobody looked
    output: str


class Store:
    """A migrated SQLite database in a folder of its own, with keys of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.database = self.folder / "store.sqlite3"
        self.environment = {
            **os.environ,
            "SECRET_KEY": "benchmarks only",
            "HTTPS": "off",
            "DATABASE_URL": f"sqlite:///{self.database}",
            "TMPDIR": str(self.folder),
        }
        self.environment["FERNET_KEYS"] = self.manage("generate_key").output.strip()
        self.manage("migrate")
        self._empty = self.folder / "empty.sqlite3"
        self.database.rename(self._empty)
        self.reset()

    @property
    def key(self):
        return self.environment["FERNET_KEYS"]

    def reset(self):
        """Begin again with an empty store."""
        for name in ("", "-wal", "-shm"):
            self.database.with_name(self.database.name + name).unlink(missing_ok=True)
        shutil.copy(self._empty, self.database)

    def command(self, *arguments):
        return [sys.executable, str(ROOT / "manage.py"), *map(str, arguments)]

    def manage(self, *arguments, **options):
        return measure(self.command(*arguments), self.environment, **options)


def measure(command, environment, watch_memory=False):
    """Run a command to its end and return what was Measured; leave where it fails."""
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
        if process.returncode:
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


def family(pid):
    """The ids of a process and of all that it started."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(entry)] = int(
                Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1]
            )
        except OSError:
            pass  # it has ended meanwhile
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found


def strike(process, random=None):
    """kill -9 a process that leads its session, or any one of its family where `random` is given.

    The others must end by themselves, soon.
    """
    victim = random.choice(family(process.pid)) if random else process.pid
    with suppress(ProcessLookupError):  # a helper that had just ended
        os.kill(victim, signal.SIGKILL)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        sys.exit("A command hangs whose helper was killed.")
    if left := _remaining(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
        sys.exit(f"Processes that outlive a killed command: {left}")


def _remaining(session):
    """The processes of a session that are still there after a grace of 10 seconds."""
    for _ in range(100):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    state, _, _, its_session = file.read().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(its_session) == session and state != "Z":
                found.append(int(pid))
        if not found:
            return []
        time.sleep(0.1)
    return found


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
