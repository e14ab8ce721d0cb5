"""`generate_key` prints a key for FERNET_KEYS, before anything is set up."""

import json
import subprocess
import sys
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command

from connections.encryption.keyring import current_ring


def generate(*arguments):
    out = StringIO()
    call_command("generate_key", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_one_line_a_key_that_the_keyring_takes(settings):
    text = generate()
    assert text.count("\n") == 1
    settings.FERNET_KEYS = [text.strip()]
    current_ring()


def test_it_prints_json():
    Fernet(json.loads(generate("--json"))["key"])


def test_every_key_is_new():
    assert len({generate() for _ in range(20)}) == 20


def test_it_touches_no_database(django_assert_num_queries, db):
    with django_assert_num_queries(0):
        generate()


@pytest.mark.parametrize("keys", [{}, {"SECRET_KEY": "", "FERNET_KEYS": "nonsense"}])
def test_it_works_before_there_are_keys_or_a_database(tmp_path, keys):
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/missing/none.sqlite3"}
    found = subprocess.run(
        [sys.executable, "manage.py", "generate_key"],
        env={**database, **keys},
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stderr) == (0, "")
    Fernet(found.stdout.strip())
