"""An upgrade from each release loses nothing (see tests.support.release)."""

import json
import re

import pytest

from connections import __version__
from tests.support import release
from tests.support.stores import VENDORS

RELEASES = sorted(path.stem for path in release.FOLDER.glob("*.sql"))
CHANGELOG = (release.ROOT / "CHANGELOG.md").read_text()


def test_the_version_is_the_newest_of_the_changelog_and_its_database_is_kept():
    versions = re.findall(r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$", CHANGELOG, re.M)
    assert versions[0] == __version__
    assert sorted(versions) == RELEASES


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("version", RELEASES)
def test_an_upgraded_database_holds_what_it_held_and_all_of_it_opens(stores, version, vendor):
    store = stores.empty(vendor)
    release.load(store, version)
    migrated = store.run("migrate")
    assert migrated.code == 0, migrated.err
    expected = json.loads((release.FOLDER / f"{version}.json").read_text())
    assert release.state(store) == expected


@pytest.mark.parametrize("version", RELEASES)
def test_no_released_migration_was_edited(stores, version):
    """Else a database that is upgraded would not have the tables of one that is new (SQLite)."""
    upgraded, new = stores.empty("sqlite"), stores.make("sqlite")
    release.load(upgraded, version)
    assert upgraded.run("migrate").code == 0
    schema = "SELECT name, sql FROM sqlite_master ORDER BY name"
    assert upgraded.fetch(schema) == new.fetch(schema)
