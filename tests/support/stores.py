"""Databases of their own, and commands run on them as processes: what imports at once need."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from connections.encryption import ring

ROOT = Path(__file__).resolve().parents[2]
SERVER = os.environ.get("TEST_DATABASE_URL", "")
TABLE = "connections_connectionauth"
VENDOR = "postgresql" if SERVER.startswith("postgres") else "sqlite"
VENDORS = [VENDOR]  # for the ids of tests that know how to make a store of either


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

    keys = ring.generate_key()
    program = ("manage.py",)  # what Python runs, before the arguments of a command

    def __init__(self, folder, url):
        self.folder, self.url = folder, url
        self.temporary = folder / "temporary"
        self.temporary.mkdir(parents=True)

    def environment(self):
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONDONTWRITEBYTECODE": "1",
            "SECRET_KEY": "tests only: " + "x1y2z3" * 10,
            "FERNET_KEYS": self.keys,
            "DATABASE_URL": self.url,
            "HTTPS": "off",
            "TMPDIR": str(self.temporary),
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
        with _server(self.url) as database:
            return database.execute(query).fetchall()

    def execute(self, statement):
        """Change the database from outside."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as database:
                database.execute(statement)
                database.commit()
        else:
            with _server(self.url) as database:
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


def members(session, patience=10):
    """The processes of a session that have not ended when `patience` seconds are over."""
    deadline = time.monotonic() + patience
    while found := _members(session):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return found


def _members(session):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, _, _, its_session = _stat(pid)[:4]
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(pid))
    return found


def _stat(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def children(pid):
    """The processes that a process has started."""
    found = []
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = _stat(other)[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(other))
    return found


def wait_for(condition, patience=30):
    """Wait until a condition holds. Returns what it returned, falsy where it never did."""
    deadline = time.monotonic() + patience
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


class Stores:
    """Makes stores: copies of one that is migrated, and whose keys are proven."""

    def __init__(self, folder):
        self.folder, self._templates, self._databases, self._made = folder, {}, [], 0

    def make(self, vendor="sqlite"):
        if vendor not in self._templates:
            template = self.empty(vendor)
            for arguments in (["migrate"], ["check_expiry"]):
                outcome = template.run(*arguments)
                assert outcome.code == 0, outcome.err
            assert template.imports("-", stdin=b"[]").code == 0  # makes the key of digests
            self._templates[vendor] = template
        template, folder = self._templates[vendor], self._new_folder(vendor)
        if vendor == "sqlite":
            folder.mkdir()
            path = folder / "store.sqlite3"
            shutil.copy(template.url.removeprefix("sqlite:///"), path)
            return Store(folder, f"sqlite:///{path}")
        return Store(folder, self._create_database(urlsplit(template.url).path[1:]))

    def empty(self, vendor="sqlite"):
        """A store without a table."""
        folder = self._new_folder(vendor)
        if vendor == "sqlite":
            folder.mkdir()
            return Store(folder, f"sqlite:///{folder / 'store.sqlite3'}")
        return Store(folder, self._create_database("template0"))

    def _new_folder(self, vendor):
        self._made += 1
        return self.folder / f"{vendor}-{self._made}"

    def _create_database(self, template):
        name = f"latchkey_{uuid.uuid4().hex}"
        with _server(SERVER) as server:
            server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self._databases.append(name)
        return urlsplit(SERVER)._replace(path=f"/{name}").geturl()

    def clean(self):
        if self._databases:
            with _server(SERVER) as server:
                for name in self._databases:
                    server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _server(url):
    import psycopg

    return psycopg.connect(url.replace("postgres://", "postgresql://"), autocommit=True)


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    made = Stores(tmp_path_factory.mktemp("stores"))
    yield made
    made.clean()


def write(path, entries):
    """Write entries: NDJSON where the name of the file says so, else an array."""
    texts = (json.dumps(entry, ensure_ascii=False) for entry in entries)
    is_lines = path.suffix == ".ndjson"
    path.write_text("\n".join(texts) if is_lines else "[" + ",\n".join(texts) + "]")
    return path
