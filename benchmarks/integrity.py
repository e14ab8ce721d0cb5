"""Changes a store behind the console's back, and looks what is found: `make bench-integrity`.

BENCH_RECORDS connections, a fifth as many edits later, are verified first: nothing may be named.
Then BENCH_MUTATIONS changes are made straight in the database, each to a record of its own (a
swap to two), of all kinds in turn, and `verify_records` has to name each of those records with
the field that was changed, and nothing else. A change of a field in clear, for which there is no
fingerprint, counts as named by the digest of the whole (`content_digest`). BENCH_SEED chooses
other records, values and bits.
"""

import base64
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from contextlib import closing
from itertools import cycle, islice
from random import Random

import mix
from floor import TABLE
from machine import HERE, ROOT, Store, describe, measure

RECORDS = int(os.environ.get("BENCH_RECORDS", 10_000))
MUTATIONS = int(os.environ.get("BENCH_MUTATIONS", 2000))
SEED = int(os.environ.get("BENCH_SEED", 1))
ENDPOINTS = ("api_url", "authorize_url", "token_url", "refresh_url")
IN_CLEAR = ("name", "client_id", "app_id", "audience", "user_id", "expires_in", "expiry_date")
SEALED = (
    *("access_token", "client_secret", "consumer_key", "consumer_secret", "dev_api_key", "emails"),
    *("key", "meta", "other_auth_info", "pem", "refresh_token", "state", "token"),
)
WHOLE = "content_digest"


def main():
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        mix.write(store.folder / "connections.json", RECORDS)
        store.manage("import_connections", store.folder / "connections.json")
        before = rows_of(store)
        environment = {**store.environment, "DJANGO_SETTINGS_MODULE": "project.settings"}
        edits = [sys.executable, HERE / "editor.py", str(SEED), str(RECORDS // 5)]
        measure([*map(str, edits)], environment)
        checked, named = verify(store)
        print(f"{checked:,} clean records: {len(named)} named\n", flush=True)
        assert checked == RECORDS
        false_alarms = len(named)
        with closing(sqlite3.connect(store.database, isolation_level=None)) as database:
            vandal = Vandal(database, rows_of(store), before)
            vandal.run()
        checked, named = verify(store)
        assert checked == RECORDS
    missed = report(vandal.done, named)
    allowed = {place for _, places in vandal.done for some in places for place in some}
    innocent = named - allowed
    print(f"\n{len(vandal.done):,} changes: {missed} missed, {len(innocent)} named besides")
    print(*sorted(innocent), sep="\n", end="")
    print(f"\n{describe()}, seed {SEED}")
    sys.exit(bool(false_alarms or missed or innocent))


def rows_of(store):
    """All records, as they are in the database: id -> dict."""
    with closing(sqlite3.connect(store.database)) as database:
        database.row_factory = sqlite3.Row
        return {row["id"]: dict(row) for row in database.execute(f"SELECT * FROM {TABLE}")}  # noqa: S608


def verify(store):
    """How many records were checked, and the `(id, field)` that are named."""
    command = store.command("verify_records", "--json")
    done = subprocess.run(
        command, cwd=ROOT, env=store.environment, capture_output=True, text=True, check=False
    )
    result = json.loads(done.stdout)
    assert set(result) == {"checked", "bad", "seconds"}
    assert all(set(fault) == {"id", "connection_id", "field", "code"} for fault in result["bad"])
    assert done.returncode == bool(result["bad"]), done.stderr
    return result["checked"], {(fault["id"], fault["field"]) for fault in result["bad"]}


def report(done, named):
    """Print what was found of what was done; returns how many changes were missed."""
    made, found = Counter(), Counter()
    for what, places in done:
        made[what] += 1
        found[what] += all(some & named for some in places)
    print("| change | made | found |\n| --- | --: | --: |")
    for what in made:
        print(f"| {what} | {made[what]:,} | {found[what]:,} |")
    return made.total() - found.total()


class Vandal:
    """Changes records straight in the database, each time others.

    `done` lists what was done, each with sets of places, `(id, field)`, of which one each has to
    be named.
    """

    def __init__(self, database, rows, before):
        self.database, self.before = database, before
        self.random, self.done = Random(SEED), []  # noqa: S311
        rows = self.random.sample([*rows.values()], len(rows))
        self.edited = [row for row in rows if self.older(row)]
        self.others = [row for row in rows if not self.older(row)]
        self.integrations = [pk for (pk,) in self.query("SELECT id FROM connections_integration")]
        ((self.proof,),) = self.query(
            "SELECT token FROM connections_storedkey WHERE name = 'proof'"
        )

    def run(self):
        for what, change in islice(cycle(CHANGES.items()), MUTATIONS):
            self.done.append((what, change(self)))

    # What the changes are made of

    def query(self, statement, *values):
        return self.database.execute(statement, values).fetchall()

    def put(self, row, **values):
        for column, value in values.items():
            self.query(f"UPDATE {TABLE} SET {column} = ? WHERE id = ?", value, row["id"])  # noqa: S608

    def older(self, row):
        """The names of sealed fields that held another value once, which has a fingerprint."""
        before = self.before[row["id"]]
        return [n for n in SEALED if n != "emails" and before[n] and before[n] != row[n]]

    def record(self, least=1):
        """A record that nothing was done to, and the names of its tokens, at least so many."""
        while True:
            row = self.others.pop()
            names = [name for name in SEALED if row[name]]
            if len(names) >= least:
                return row, self.random.sample(names, len(names))

    # The changes

    def flip(self):
        row, (name, *_) = self.record()
        raw = bytearray(base64.urlsafe_b64decode(row[name]))
        raw[self.random.randrange(len(raw))] ^= 1 << self.random.randrange(8)
        self.put(row, **{name: base64.urlsafe_b64encode(raw).decode()})
        return [at(row, name)]

    def overwrite(self):
        row, (name, *_) = self.record()
        token, place = row[name], self.random.randrange(len(row[name]))
        other = self.random.choice([c for c in map(chr, range(32, 127)) if c != token[place]])
        self.put(row, **{name: token[:place] + other + token[place + 1 :]})
        return [at(row, name)]

    def insert(self):
        row, (name, *_) = self.record()
        place = self.random.randrange(len(row[name]) + 1)
        added = self.random.choice(["\n", " ", "=", "!", "A", "\u00e9"])
        self.put(row, **{name: row[name][:place] + added + row[name][place:]})
        return [at(row, name)]

    def cut(self):
        row, (name, *_) = self.record()
        self.put(row, **{name: row[name][: self.random.randrange(len(row[name]))]})
        return [at(row, name)]

    def swap_rows(self):
        row, (name, *_) = self.record()
        other = self.record()[0]
        while not other[name]:
            other = self.record()[0]
        self.put(row, **{name: other[name]})
        self.put(other, **{name: row[name]})
        return [at(row, name), at(other, name)]

    def swap_columns(self):
        row, (one, other, *_) = self.record(least=2)
        self.put(row, **{one: row[other], other: row[one]})
        return [at(row, one), at(row, other)]

    def copy(self):
        row, _ = self.record()
        other, (name, *_) = self.record()
        target = self.random.choice(SEALED)
        self.put(row, **{target: other[name]})
        return [at(row, target)]

    def from_another_model(self):
        row, (name, *_) = self.record()
        self.put(row, **{name: self.proof})
        return [at(row, name)]

    def in_clear(self):
        row, (name, *_) = self.record()
        self.put(row, **{name: f"{mix.MARK}-{self.random.getrandbits(64):x}"})
        return [at(row, name)]

    def take_away(self):
        row, (name, *_) = self.record()
        self.put(row, **{name: None})
        return [at(row, name, WHOLE) if name == "emails" else at(row, name)]

    def older_token(self):
        row = self.edited.pop()
        name = self.random.choice(self.older(row))
        self.put(row, **{name: self.before[row["id"]][name]})
        return [at(row, name)]

    def older_row(self):
        row = self.edited.pop()
        before = self.before[row["id"]]
        self.put(row, **before)
        return [at(row, *(name for name in SEALED if row[name] != before[name]))]

    def endpoint(self):
        row, _ = self.record()
        name = self.random.choice(ENDPOINTS)
        self.put(row, **{name: f"https://evil-{self.random.getrandbits(32):x}.example/"})
        return [at(row, WHOLE)]

    def plain(self):
        row, _ = self.record()
        name = self.random.choice(IN_CLEAR)
        values = {"expires_in": 7.0, "expiry_date": "2099-01-01 00:00:00"}
        self.put(row, **{name: values.get(name, f"x-{self.random.getrandbits(32):x}")})
        return [at(row, WHOLE)]

    def digest(self):
        row, _ = self.record()
        self.put(row, content_digest=f"{self.random.getrandbits(256):064x}")
        return [at(row, WHOLE)]

    def no_digest(self):
        row, _ = self.record()
        self.put(row, content_digest=None)
        return [at(row, WHOLE)]

    def identity(self):
        row, _ = self.record()
        self.put(row, identity_digest=f"{self.random.getrandbits(256):064x}")
        return [at(row, "identity_digest")]

    def fingerprint(self):
        row, _ = self.record()
        found = self.query(
            "SELECT id, field FROM connections_secretfingerprint WHERE record_id = ?", row["id"]
        )
        if not found:  # it has no more than addresses of people
            return self.fingerprint()
        pk, name = self.random.choice(found)
        self.query("DELETE FROM connections_secretfingerprint WHERE id = ?", pk)
        return [at(row, name)]

    def of_an_integration(self):
        pk = self.integrations.pop()
        url = f"https://evil-{pk}.example/token"
        self.query("UPDATE connections_integration SET token_url = ? WHERE id = ?", url, pk)
        return [{(str(pk), "token_url")}]


def at(row, *names):
    """The places that stand for a change of these fields."""
    return {(str(uuid.UUID(row["id"])), name) for name in names}


CHANGES = {
    "a bit of a token flipped": Vandal.flip,
    "a character of a token replaced": Vandal.overwrite,
    "a character put into a token": Vandal.insert,
    "a token cut": Vandal.cut,
    "tokens of two records swapped": Vandal.swap_rows,
    "tokens of two fields swapped": Vandal.swap_columns,
    "a token of elsewhere in any field": Vandal.copy,
    "a token of another model": Vandal.from_another_model,
    "text in clear for a token": Vandal.in_clear,
    "a token taken away": Vandal.take_away,
    "an older token of the same field": Vandal.older_token,
    "an older row, with all its columns": Vandal.older_row,
    "an endpoint changed": Vandal.endpoint,
    "another field in clear changed": Vandal.plain,
    "the digest changed": Vandal.digest,
    "the digest taken away": Vandal.no_digest,
    "the identity digest changed": Vandal.identity,
    "a fingerprint taken away": Vandal.fingerprint,
    "the token address of an integration": Vandal.of_an_integration,
}


if __name__ == "__main__":
    main()
