"""How long a look for a secret takes among 1,000,000 connections: `make bench-find`.

The connections are 2,000 imported ones over and over: rows of that size, with ids, digests and
fingerprints of their own. The fingerprints of the copies are random numbers, which is what real
ones are to who has no key. What is looked for is stored by the console's own code.
BENCH_RECORDS=100000 makes it shorter; BENCH_DATABASE_URL names an empty PostgreSQL database to be
used instead of SQLite.
"""

import os
import secrets
import statistics
import sys
import tempfile
import time
import uuid
from itertools import cycle, islice

import mix
from harness import ROOT
from machine import Store, describe

RECORDS = int(os.environ.get("BENCH_RECORDS", "1000000"))
URL = os.environ.get("BENCH_DATABASE_URL")
TEMPLATES = 2000
TOGETHER = 20_000  # rows in a transaction
SHARED = 50  # connections that hold one and the same
VERSIONS = 5000  # kept former ones
LOOKS = 40
MOST = 0.1  # seconds


def main():
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.settings["PYTHONPATH"] = str(ROOT)
        if URL:
            store.url = URL
            store.manage("migrate")
        file = store.folder / "given.json"
        mix.write(file, TEMPLATES)
        store.manage("import_connections", file)
        print(store.measure(__file__, "fill").output.strip())
        looked = store.measure(__file__, "look")
        print(looked.output)
        print(f"Others used {looked.foreign:.0%}. {describe()}")


def fill():
    """Copy the connections until there are RECORDS, then store what will be looked for."""
    from django.db import connection, transaction

    from connections.import_export import rows
    from connections.models import ConnectionAuth, SecretFingerprint, former_version

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(rows.COLUMNS)} FROM {rows.TABLE}")
        templates = [list(values) for values in cursor.fetchall()]
    held = {}
    for record, field in SecretFingerprint.objects.values_list("record", "field"):
        held.setdefault(record, []).append(field)
    names = ("connection_id", "content_digest", "identity_digest")
    connection_id, content, identity = map(rows.ATTNAMES.index, names)
    left = RECORDS - len(templates)
    copies = cycle(templates)
    while left > 0:
        made, prints = [], []
        for template in islice(copies, min(left, TOGETHER)):
            pk, values = uuid.uuid4(), template.copy()
            values[0] = pk.hex if connection.vendor == "sqlite" else pk
            values[connection_id] = pk.hex
            values[content], values[identity] = secrets.token_hex(32), None
            made.append(tuple(values))
            fields = held.get(uuid.UUID(str(template[0])), ())
            prints += [(values[0], name, secrets.randbits(64) - 2**63) for name in fields]
        with transaction.atomic():
            rows.insert(made)
            rows.insert_fingerprints(prints)
        left -= len(made)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for number in range(LOOKS):
        ConnectionAuth.objects.create(name=f"Sought {number}", token=f"synth-{number}")
    for number in range(SHARED):
        ConnectionAuth.objects.create(name=f"Shared {number}", key="synth-shared")
    chosen = ConnectionAuth.objects.filter(name__startswith="Sought")
    kept = (former_version.build_former_version(record, ["token"]) for record in cycle(chosen))
    for held in islice(kept, VERSIONS):
        held.save(force_insert=True)
    print(f"{RECORDS:,} connections, {SecretFingerprint.objects.count():,} fingerprints")


def look():
    """Time each kind of look; the first of all is in a process that has read nothing yet."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client

    from connections.records import secret_search

    def find(secret):
        return len(secret_search.search(secret))

    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.create_superuser("bench"))

    def page(secret, **more):
        response = client.post("/admin/find-secret/", {"secret": secret, **more})
        assert response.status_code == 200, response.status_code
        return response.content.count(b'<tr><th scope="row"')  # the places that it names

    def report():
        assert client.get("/admin/find-secret/shared/").status_code == 200

    sought = [f"synth-{number}" for number in range(LOOKS)]
    print(f"{connection.vendor}\n\n| | median ms | slowest ms | median at most 100 |")
    print("| --- | --: | --: | --- |")
    show("the function, found once", [(find, secret, 1) for secret in sought])
    show("the function, found nowhere", [(find, f"no-{n}", 0) for n in range(LOOKS)])
    show(f"the function, found {SHARED} times", [(find, "synth-shared", SHARED)] * 10)
    page("synth-0")  # the first request of a server loads what others use
    show("the page, found once", [(page, secret, 1) for secret in sought])
    show("the page, found nowhere", [(page, f"no-{n}", 0) for n in range(LOOKS)])
    show(f"the page, found {SHARED} times", [(page, "synth-shared", SHARED)] * 10)
    started = time.perf_counter()
    report()
    print(f"\nThe report on shared secrets: {time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    count = page("synth-1", former="on")
    seconds = time.perf_counter() - started
    assert count == 1 + VERSIONS // LOOKS, count
    print(f"{VERSIONS:,} former versions as well, by the page: {seconds:.1f} s")


def show(name, looks):
    """Time `(function, secret, in how many places it is)` each and print a line."""
    times = []
    for function, secret, expected in looks:
        started = time.perf_counter()
        count = function(secret)
        times.append(time.perf_counter() - started)
        assert count == expected, (name, count)
    median, slowest = statistics.median(times), max(times)
    verdict = "met" if median <= MOST else "not met"
    print(f"| {name} | {median * 1000:.1f} | {slowest * 1000:.1f} | {verdict} |")


if __name__ == "__main__":
    work = {"fill": fill, "look": look}.get("".join(sys.argv[1:]))
    if work:
        import django

        os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
        django.setup()
        work()
    else:
        main()
