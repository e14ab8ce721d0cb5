"""The database of a release: written once by `make release-fixture`, read by tests of an upgrade.

tests/models/releases/<version>.sql is the dump of an SQLite database with something of everything
that the release stores, sealed under KEYS; <version>.json is what must come out after an upgrade.
"""

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from benchmarks.harness import ROOT, Store
from connections import __version__

FOLDER = ROOT / "tests" / "models" / "releases"
# Keys of these made-up databases alone, newest first: a release stays sealed under them.
KEYS = (
    "qQkTOgOPKZvtDFXqa9iQOrCays3cV9U1S7hhRAb0OZg=",
    "utOpIwi2y8aCZpLtiorolFyVrq7Fjm8FcLbIbZEhms8=",
)
SECRET = "synth-shared-5d0c"

FIRST = [
    {"id": "full", "integrationType": "hubspot", "environment": "Sandbox", "newKey": ["kept"]},
    {"id": "edited", "auth": {"accessToken": "synth-first", "expiresIn": 3600}},
    {"id": "secret", "auth": {"key": SECRET, "meta": {"deep": [1.5, None, "x" * 40]}}},
    {
        "auth": {
            "name": "No id",
            "otherAuthInfo": ["synth-a", "synth-b"],
            "emails": ["a@b.example"],
        }
    },
    {"auth": {"name": "Ünïcode", "token": "synth-\r\n☃", "apiUrl": "https://api.example.com"}},
]
SECOND = [{"id": "edited", "auth": {"accessToken": "synth-second", "refreshToken": "synth-r"}}]
UNDONE = [{"id": "undone", "auth": {"accessToken": "synth-undone"}}]

# What no command stores. Only the code of the release itself runs this.
BY_HAND = """
from django.contrib.auth.models import Group, User
from connections.audit import log
from connections.encryption import keyring
from connections.jobs import chunks
from connections.json_format.stream.sources import SpooledSource
from connections.models import ConnectionAuth, Integration, SavedView, UserScope

user = User.objects.create_user("ada")
user.groups.add(Group.objects.get(name="Custodian"))
UserScope.objects.create(user=user, environments=["Sandbox"])
SavedView.objects.create(user=user, name="Mine", query="q=x", is_shared=True)
integration = Integration.objects.get(type="hubspot")
integration.token_url = "https://login.example.com/token"
integration.save()
source = SpooledSource("waiting.json", keyring.seal_bytes, keyring.unseal_bytes)
source.write(b"[]")
chunks.store_upload(source, user)
record = ConnectionAuth.objects.get(connection_id="secret")
log.log_event("reveal", user=user, record=record, fields=["key"], reason="Ünïcode, and why")
"""


def write():
    """Write the dump of the present version, and what must come out of it, once."""
    path = FOLDER / f"{__version__}.sql"
    if path.exists():
        raise SystemExit(f"{path} is there. A release that is out is never written again.")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), f"sqlite:///{folder}/release.sqlite3")
        fill(store)
        with closing(sqlite3.connect(f"{folder}/release.sqlite3")) as database:
            dump = "".join(f"{statement}\n" for statement in database.iterdump())
        FOLDER.mkdir(exist_ok=True)
        path.write_text(dump)
        expected = json.dumps(state(store), indent=1, ensure_ascii=False)
        path.with_suffix(".json").write_text(f"{expected}\n")
    print(f"Wrote {path}, and the .json beside it.")


def fill(store):
    def run(*arguments, stdin=b"", code=0):
        outcome = store.run(*arguments, stdin=stdin)
        assert outcome.code == code, outcome.err
        return outcome.json

    def imports(entries):
        return run("import_connections", "--json", "-", stdin=json.dumps(entries).encode())

    store.keys = KEYS[1]
    run("migrate", "--verbosity", "0")
    run("seed_demo", "--count", "15")
    imports(FIRST)
    run("shell", "-c", BY_HAND)
    store.keys = ",".join(KEYS)  # what comes now is sealed under a newer key
    imports(SECOND)
    run("undo_import", imports(UNDONE)["run"])
    run("take_snapshot")
    run("find_secret", stdin=SECRET.encode(), code=1)


def load(store, version):
    """Make an empty store what that release has left: the dump, or its rows on PostgreSQL."""
    sql = (FOLDER / f"{version}.sql").read_text()
    store.keys = ",".join(KEYS)
    if store.url.startswith("sqlite"):
        with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"))) as database:
            database.executescript(sql)
        return
    with closing(sqlite3.connect(":memory:")) as dumped, _connect(store.url) as database:
        dumped.executescript(sql)
        (last,) = dumped.execute(LAST_MIGRATION).fetchone()
        assert store.run("migrate", "connections", last).code == 0
        tables = database.execute(TABLES_TO_COPY).fetchall()
        for (table,) in tables:
            database.execute(f"DELETE FROM {table}")
        for (table,) in tables:
            rows = dumped.execute(f"SELECT * FROM {table}")
            names = ", ".join(f'"{column}"' for column, *_ in rows.description)
            values = ", ".join(["%s"] * len(rows.description))
            for row in rows:
                # PostgreSQL reads a text as the type of its column: booleans, JSON, times.
                row = [each if isinstance(each, bytes | None) else str(each) for each in row]
                database.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", row)
    sequences = store.run("sqlsequencereset", "auth", "contenttypes", "connections")
    store.execute(sequences.out)


LAST_MIGRATION = """
SELECT name FROM django_migrations WHERE app = 'connections' ORDER BY id DESC
"""
TABLES_TO_COPY = """
SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'django_migrations'
"""


def _connect(url):
    import psycopg

    return psycopg.connect(url.replace("postgres://", "postgresql://"), options="-c timezone=UTC")


def state(store):
    """What a store holds. Fails where something in it does not open, or is not as it was."""

    def result(*arguments, code=0, stdin=b""):
        outcome = store.run(*arguments, "--json", stdin=stdin)
        assert outcome.code == code, outcome.out + outcome.err
        return {key: value for key, value in outcome.json.items() if key != "seconds"}

    return {
        "rows": {table: store.fetch(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES},
        # First of all: the other commands add to the log.
        "verify_audit": result("verify_audit"),
        "verify_records": result("verify_records"),
        "rotate_keys": result("rotate_keys", "--verify", code=1),
        "find_secret": result("find_secret", code=1, stdin=SECRET.encode()),
        "export": store.exported(),
    }


TABLES = [
    f"connections_{name}"
    for name in (
        "accessevent connectionauth dailycount formerversion importchunk importrun integration "
        "savedview secretfingerprint storedkey userscope"
    ).split()
]

if __name__ == "__main__":
    write()
