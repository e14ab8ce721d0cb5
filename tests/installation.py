"""A copy of the project with nothing set up, and its commands run as processes of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
PARTS = ("manage.py", "project", "connections", "templates", "locale")


class Installation:
    def __init__(self, path):
        self.path = path
        path.mkdir()
        for part in PARTS:
            source = BASE_DIR / part
            if source.is_dir():
                shutil.copytree(source, path / part, ignore=shutil.ignore_patterns("__pycache__"))
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
        return self.run("-m", "project.bootstrap", **settings)

    def dotenv(self):
        lines = (self.path / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))
