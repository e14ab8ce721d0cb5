"""The examples and tables of docs/security.md are right."""

import re

import pytest
from django.contrib.auth.models import Group

from connections.json_format import schema
from project.settings import BASE_DIR
from tests.support.installation import Installation

SECURITY = (BASE_DIR / "docs/security.md").read_text()

STORE = """
from connections.models import ConnectionAuth
ConnectionAuth.objects.create(name="First", access_token="synthetic-1\\r\\n")
ConnectionAuth.objects.create(name="Second", access_token="synthetic-2", key="synthetic-3")
ConnectionAuth.objects.create(name="Third", key="synthetic-4")
"""


@pytest.fixture(scope="module")
def installation(installed, tmp_path_factory):
    installation = Installation(tmp_path_factory.mktemp("docs") / "copy", like=installed)
    stored = installation.run("manage.py", "shell", "-c", STORE)
    assert stored.returncode == 0, stored.stderr
    return installation


def test_the_example_opens_values_without_latchkey(installation):
    (example,) = re.findall(r"```python\n(.*?)```", SECURITY, re.S)
    printed = installation.run("-c", example, FERNET_KEYS=installation.dotenv()["FERNET_KEYS"])
    assert printed.returncode == 0, printed.stderr
    assert re.findall(r"^(\w+)\t[0-9a-f-]{36}/access_token\t(.*)$", printed.stdout, re.M) == [
        ("First", "synthetic-1"),
        ("Second", "synthetic-2"),
    ]


def test_the_backup_of_sqlite_is_complete(installation):
    (backup,) = re.findall(r'python -c "(import sqlite3.*?)"\n', SECURITY)
    assert installation.run("-c", backup).returncode == 0
    counted = installation.run(
        *("manage.py", "shell", "-c"),
        "from connections.models import ConnectionAuth as C;"
        "print([c.access_token and c.access_token.reveal() for c in C.objects.order_by('name')])",
        DATABASE_URL="sqlite:///backup.sqlite3",
    )
    assert counted.stdout.strip().endswith(r"['synthetic-1\r\n', 'synthetic-2', None]")


def test_a_database_whose_keys_are_lost_can_still_be_read(installation):
    assert "`DELETE FROM connections_storedkey`" in SECURITY
    lost = {
        "DATABASE_URL": "sqlite:///lost.sqlite3",
        "FERNET_KEYS": installation.run("manage.py", "generate_key").stdout.strip(),
    }
    copy = "import sqlite3; lost = sqlite3.connect('lost.sqlite3');"
    installation.run("-c", copy + "sqlite3.connect('db.sqlite3').backup(lost)")
    assert installation.run("manage.py", "check", **lost).returncode == 2
    installation.run(
        "-c", copy + "lost.execute('DELETE FROM connections_storedkey'); lost.commit()"
    )
    assert installation.run("manage.py", "check", **lost).returncode == 0
    summary = installation.run("manage.py", "check_expiry", "--summary", **lost)
    assert summary.returncode == 0, summary.stderr


def test_security_names_every_sealed_and_every_plain_field():
    (row,) = re.findall(r"^\| (`access_token`.*?) \| (.*) \|$", SECURITY, re.M)
    sealed = set(re.findall(r"`(\w+)`", row[0]))
    assert sealed == {*schema.SEALED_FIELDS, "extra"}
    assert not sealed & set(re.findall(r"`(\w+)`", row[1]))


@pytest.mark.django_db
def test_the_table_of_roles_has_the_permissions_of_the_groups():
    head, _, *rows = re.findall(r"^\| .* \|$", SECURITY.split("## Roles")[1].split("##")[0], re.M)
    names = [cell.strip() for cell in head.strip("|").split("|")][1:]
    documented = {name: set() for name in names}
    for row in rows:
        what, *cells = [cell.strip() for cell in row.strip("|").split("|")]
        for name, cell in zip(names, cells, strict=True):
            if cell == "yes":
                documented[name] |= set(re.findall(r"`(\w+)`", what))
    granted = {
        group.name: {*group.permissions.values_list("codename", flat=True)}
        for group in Group.objects.all()
    }
    assert documented == granted
