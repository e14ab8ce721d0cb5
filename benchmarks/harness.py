"""Throw-away databases, and commands run on them as processes: for benchmarks and for tests."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parents[1]
TABLE = "connections_connectionauth"


class Outcome:
    """How a command ended: `code`, `out`, `err`, `log`, and its result where it printed one."""

    def __init__(self, code, out, err):
        self.code, self.out = code, out
        lines = err.splitlines(keepends=True)
        self.log = [line for line in lines if line.endswith('"event": "audit"}\n')]
        self.err = "".join(line for line in lines if line not in self.log)
        self.json = json.loads(out) if out.startswith("{") else None

    @property
    def verdicts(self):
        """The result without the time that it took and the id of the run."""
        assert self.json, self.err
        return {name: value for name, value in self.json.items() if name not in ("seconds", "run")}


class Store:
    """A migrated database. `folder` holds its files, and those that a command leaves behind."""

    keys = Fernet.generate_key().decode()
    program = ("manage.py",)  # what Python runs, before the arguments of a command

    def __init__(self, folder, url):
        self.folder, self.url = Path(folder), url
        self.settings = {}  # environment variables beside those of environment()
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir(parents=True)

    def environment(self):
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "SECRET_KEY": "throw-away: " + "x1y2z3" * 10,
            "FERNET_KEYS": self.keys,
            "DATABASE_URL": self.url,
            "HTTPS": "off",
            "TMPDIR": str(self.temporary),
            **self.settings,
        }

    def command(self, *arguments):
        return [sys.executable, *self.program, *map(str, arguments)]

    def start(self, *arguments, **options):
        """Start a command in a session of its own. Returns a Popen."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment(),
            start_new_session=True,
            **{
                "preexec_fn": _answer_to_interrupts,
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **options,
            },
        )

    def run(self, *arguments, stdin=b"", **options):
        """Run a command to its end. Returns an Outcome."""
        process = self.start(*arguments, stdin=subprocess.PIPE, **options)
        return wait(process, stdin)

    def imports(self, *arguments, **options):
        return self.run("import_connections", "--json", *arguments, **options)

    def export(self, *arguments):
        """The text of an export that loses nothing."""
        outcome = self.run("export_connections", "--shape", "connection", *arguments)
        assert outcome.code == 0, outcome.err
        return outcome.out

    def exported(self):
        return json.loads(self.export())

    def fetch(self, query):
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as database:
                return database.execute(query).fetchall()
        with connect(self.url) as database:
            return database.execute(query).fetchall()

    def execute(self, statement):
        """Change the database from outside."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as database:
                database.execute(statement)
                database.commit()
        else:
            with connect(self.url) as database:
                database.execute(statement)

    def raw(self):
        """All bytes of the database: of its files, or of its rows where a server has those."""
        if self.url.startswith("sqlite"):
            files = [path for path in self.folder.iterdir() if path.is_file()]
            return b"".join(path.read_bytes() for path in files)
        tables = self.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [self.fetch(f'SELECT "{table}"::text FROM "{table}"') for (table,) in tables]
        return str(rows).encode()

    def count(self):
        return self.fetch(f"SELECT count(*) FROM {TABLE}")[0][0]


def _answer_to_interrupts():
    """As at a terminal: a shell starts what runs in its background deaf to them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait(process, stdin=None, timeout=120):
    """Wait for a command that was started. Returns an Outcome."""
    try:
        out, err = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return Outcome(process.returncode, out.decode(), err.decode())


def processes():
    """All processes that have not ended: `{id: (id of its parent, id of its session)}`."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue  # it has ended meanwhile
        state, parent, _, session = text.rpartition(")")[2].split()[:4]
        if state != "Z":
            found[int(pid)] = int(parent), int(session)
    return found


def members(session, patience=10):
    """The processes of a session that have not ended when `patience` seconds are over."""

    def alive():
        return [pid for pid, (_, its_session) in processes().items() if its_session == session]

    wait_for(lambda: not alive(), patience)
    return alive()


def children(pid):
    """The processes that a process has started."""
    return [child for child, (parent, _) in processes().items() if parent == pid]


def family(pid):
    """The ids of a process and of all that it started, directly or not."""
    parents, found = processes(), [pid]
    for one in found:
        found += [child for child, (parent, _) in parents.items() if parent == one]
    return found


def wait_for(condition, patience=30):
    """Wait until a condition holds. Returns what it returned, falsy where it never did."""
    deadline = time.monotonic() + patience
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def connect(url):
    """A connection to a PostgreSQL server that commits each statement."""
    import psycopg

    return psycopg.connect(url.replace("postgres://", "postgresql://"), autocommit=True)
