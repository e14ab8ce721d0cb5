"""How long everyday work takes on 10,000 connections: `make bench-everyday`.

Works in a temporary folder with keys of its own; nothing of yours is touched. Commands are timed
as a person would, from the start of the process to its end; pages as the server's own time, the
median of five after a first one.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNT = 10_000

PAGES = """
import statistics, time
import django
django.setup()
from django.contrib.auth import get_user_model
from django.test import Client
user = get_user_model().objects.create_superuser("bench")
client = Client(headers={"host": "localhost"})
client.force_login(user)
for name, path in (
    ("dashboard", "/admin/"),
    ("first page of the list", "/admin/connections/connectionauth/"),
):
    times = []
    for _ in range(6):
        started = time.perf_counter()
        response = client.get(path)
        times.append(time.perf_counter() - started)
        assert response.status_code == 200, response.status_code
    print(f"{name}\\t{statistics.median(times[1:]) * 1000:.0f} ms")
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "SECRET_KEY": "benchmarks only",
            "HTTPS": "off",
            "FERNET_KEYS": python("manage.py", "generate_key").strip(),
        }
        file = Path(folder) / "connections.json"

        def timed(*arguments, database):
            environment["DATABASE_URL"] = f"sqlite:///{folder}/{database}.sqlite3"
            started = time.perf_counter()
            output = python(*arguments, env=environment)
            return time.perf_counter() - started, output

        timed("manage.py", "migrate", database="first")
        timed("manage.py", "seed_demo", "--count", str(COUNT), database="first")
        export = ("manage.py", "export_connections", "--shape", "connection", "-o", str(file))
        rows = [("export with secrets", timed(*export, database="first")[0])]
        timed("manage.py", "migrate", database="second")
        load = ("manage.py", "import_connections", str(file))
        rows.append(("import", timed(*load, database="second")[0]))
        rows.append(("import again, unchanged", timed(*load, database="second")[0]))
        rows.append(("check_expiry --summary", timed(*EXPIRY, database="second")[0]))
        print(f"{COUNT:,} connections, {file.stat().st_size / 1e6:.0f} MB of JSON, SQLite")
        for name, seconds in rows:
            print(f"{name:26}{seconds:6.2f} s")
        for line in timed("-c", PAGES, database="second")[1].splitlines():
            name, figure = line.split("\t")
            print(f"{name:26}{figure:>8}")


EXPIRY = (
    "-c",
    "import sys, subprocess;"
    "sys.exit(subprocess.run([sys.executable, 'manage.py', 'check_expiry', '--summary'],"
    "stdout=subprocess.DEVNULL).returncode not in (0, 1, 2))",
)


def python(*arguments, env=None):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
