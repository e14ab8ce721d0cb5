"""How long everyday work takes on 10,000 connections: `make bench-everyday`.

Commands are timed as a person would, from the start of the process to its end; pages as the
server's own time, the median of five after a first one.
"""

import tempfile

from machine import Store

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
        store = Store(folder)
        store.settings["DJANGO_SETTINGS_MODULE"] = "project.settings"
        file = store.folder / "connections.json"
        store.manage("seed_demo", "--count", COUNT)
        export = store.manage("export_connections", "--shape", "connection", "-o", file)
        store.reset()
        rows = {
            "export with secrets": export,
            "import": store.manage("import_connections", file),
            "import again, unchanged": store.manage("import_connections", file),
            "check_expiry --summary": store.manage("check_expiry", "--summary", codes=(0, 1, 2)),
        }
        print(f"{COUNT:,} connections, {file.stat().st_size / 1e6:.0f} MB of JSON, SQLite")
        for name, measured in rows.items():
            print(f"{name:26}{measured.seconds:6.2f} s")
        for line in store.measure("-c", PAGES).output.splitlines():
            name, figure = line.split("\t")
            print(f"{name:26}{figure:>8}")


if __name__ == "__main__":
    main()
