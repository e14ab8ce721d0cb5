"""Databases of their own for tests that run commands as processes."""

import json
import os
import shutil
import uuid
from urllib.parse import urlsplit

import pytest

from benchmarks.harness import Store, connect

SERVER = os.environ.get("TEST_DATABASE_URL", "")
VENDOR = "postgresql" if SERVER.startswith("postgres") else "sqlite"
VENDORS = [VENDOR]  # for the ids of tests that know how to make a store of either


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
        with connect(SERVER) as server:
            server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self._databases.append(name)
        return urlsplit(SERVER)._replace(path=f"/{name}").geturl()

    def clean(self):
        if self._databases:
            with connect(SERVER) as server:
                for name in self._databases:
                    server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


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
