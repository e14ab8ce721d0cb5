"""The floor: what storing the same rows costs when nothing is checked, on one core.

`prepare` takes the rows of a full store apart, beforehand; `run` seals the values and inserts
the rows through the raw driver into the same table with the same indexes. No Django.
"""

import pickle
import sqlite3
import sys
from itertools import islice

from cryptography.fernet import Fernet
from harness import TABLE

TRANSACTION = 5000  # rows


def prepare(database, file, key):
    fernet = Fernet(key)
    connection = sqlite3.connect(database)
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({TABLE})")]
    integrations = connection.execute("SELECT * FROM connections_integration").fetchall()
    with open(file, "wb") as out:
        pickle.dump((columns, integrations), out)
        for row in connection.execute(f"SELECT * FROM {TABLE} ORDER BY id"):
            is_sealed = [isinstance(v, str) and v.startswith("gAAAA") for v in row]
            row = [fernet.decrypt(v) if s else v for v, s in zip(row, is_sealed, strict=True)]
            pickle.dump(row, out)  # what is to be sealed is bytes, and nothing else is


def run(database, file, key):
    seal = Fernet(key).encrypt
    connection = sqlite3.connect(database, isolation_level=None)
    connection.executescript(  # as in project/settings.py, and rows.keep_pages()
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;"
        "PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=16384;"
    )
    with open(file, "rb") as source:
        columns, integrations = pickle.load(source)  # noqa: S301 (our own)
        insert = f"INSERT INTO {TABLE} ({','.join(columns)}) VALUES ({_marks(columns)})"
        connection.executemany(
            f"INSERT INTO connections_integration VALUES ({_marks(integrations[0])})",
            integrations,
        )
        rows = _rows(source)
        while batch := list(islice(rows, TRANSACTION)):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                insert,
                ([seal(v).decode() if type(v) is bytes else v for v in row] for row in batch),
            )
            connection.execute("COMMIT")


def _rows(source):
    while True:
        try:
            yield pickle.load(source)  # noqa: S301 (our own)
        except EOFError:
            return


def _marks(columns):
    return ",".join("?" * len(columns))


if __name__ == "__main__":
    {"prepare": prepare, "run": run}[sys.argv[1]](*sys.argv[2:])
