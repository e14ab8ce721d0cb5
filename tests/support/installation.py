"""Copies of the project, and their commands and servers run as processes of their own."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parents[2]
PARTS = ("manage.py", "project", "connections", "templates", "locale")
SERVE = ("-m", "gunicorn", "--config", "project/gunicorn.py")
PASSWORD = re.compile(r"Password: +(\S{20,})")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class Installation:
    """The project with nothing set up; or all that `like`, another one, has by now."""

    def __init__(self, path, like=None):
        self.path, self.password = path, None
        if like:
            shutil.copytree(like.path, path)
            self.password = like.password
            return
        path.mkdir()
        for part in PARTS:
            source = BASE_DIR / part
            if source.is_dir():
                shutil.copytree(source, path / part)  # __pycache__ too: it compiles nothing then
            else:
                shutil.copy(source, path / part)

    def environment(self, **settings):
        """Nothing of this machine's settings, and nothing of the tests'."""
        passed_on = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**passed_on, "PYTHONDONTWRITEBYTECODE": "1", **settings}

    def start(self, *arguments, **settings):
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.path,
            env=self.environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, **settings):
        """Run python with these arguments to its end; returns a CompletedProcess."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def bootstrap(self, **settings):
        """What `make run` does before it serves; `password` is that of the user admin then."""
        done = self.run("-m", "project.bootstrap", **settings)
        if printed := PASSWORD.search(done.stdout):
            self.password = printed[1]
        return done

    def dotenv(self):
        lines = (self.path / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


class Console:
    """An installation that is served, and a look into its database from outside."""

    def __init__(self, installation):
        self.installation, self.password = installation, installation.password
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.start()

    def start(self):
        self.server = self.installation.start(*SERVE, PORT=self.port)
        assert self.port in self.server.stdout.readline(), self.server.communicate()[1]

    def stop(self):
        """What it wrote to its output and its log."""
        self.server.terminate()
        return self.server.communicate(timeout=30)

    def manage(self, *arguments):
        """Run a command beside the server; returns what it printed. It must succeed."""
        done = self.installation.run("manage.py", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, sql, *values):
        path = self.installation.path / "db.sqlite3"
        with closing(sqlite3.connect(path, timeout=30)) as store, store:
            return store.execute(sql, values).fetchall()

    def value(self, sql):
        return self.ask(sql)[0][0]
