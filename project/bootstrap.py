"""What `make run` does before it serves: `.env`, database, static files, first administrator.

Each step changes only what is missing or out of date, so repeating it is cheap.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.crypto import get_random_string

from connections.encryption import keyring


def write_env(path):
    """Write `.env` with new keys, atomically, unless it exists or both keys are set."""
    keys = ("SECRET_KEY", "FERNET_KEYS")
    missing = [key for key in keys if not {key, f"{key}_FILE"} & set(os.environ)]
    if path.exists() or not missing:
        return
    lines = [
        "# Written by `make run`. Losing FERNET_KEYS means losing every sealed value.",
        *(f"{key}={keyring.generate_key()}" for key in missing),
        "# For http://localhost only. Anywhere else: HTTPS=on (see docs/operations.md).",
        "HTTPS=off",
    ]
    handle, draft = tempfile.mkstemp(prefix=".env.new", dir=path.parent)  # made with mode 0600
    try:
        with open(handle, "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, never replaces the keys that another run wrote
    except FileExistsError:
        return
    finally:
        os.unlink(draft)
    print(f"Wrote {path} with new keys. Keep a copy of them in a safe place.")


def migrate():
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)
        print("Brought the database up to date.")


def collect_static():
    """Collect static files if the manifest lacks one or is older than one."""
    if settings.DEBUG:
        return  # they are served from their sources
    sources = {
        name: os.path.getmtime(storage.path(name))
        for finder in get_finders()
        for name, storage in finder.list(ignore_patterns=None)
    }
    manifest = Path(settings.STATIC_ROOT, "staticfiles.json")
    if (
        not manifest.exists()
        or manifest.stat().st_mtime < max(sources.values())
        or not sources.keys() <= json.loads(manifest.read_text())["paths"].keys()
    ):
        call_command("collectstatic", interactive=False, verbosity=0)
        print("Collected the static files.")


def create_first_superuser():
    users = get_user_model().objects
    if users.exists():
        return
    password = get_random_string(20)
    users.create_superuser("admin", password=password)
    print(
        f"\n    User:      admin\n    Password:  {password}\n\n"
        "    Shown this once. `python manage.py changepassword admin` sets another one.\n"
    )


def main():
    os.umask(0o077)  # only this account may read the database
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    write_env(Path(__file__).resolve().parent.parent / ".env")
    try:
        django.setup()
        keyring.require_keys()
        migrate()
        keyring.require_keys()  # stores the proof of these keys in the new table
        collect_static()
        create_first_superuser()
    except (ImproperlyConfigured, keyring.KeyringError, OperationalError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
