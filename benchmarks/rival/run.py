"""What one would use instead: django-import-export in its bulk mode. `run.py import|export FILE`.

Set for speed, as its documentation advises: batches (500 was the fastest size) and no diffs.
RIVAL_LOOKUP=cached tunes it further: one query for all records that are stored already, which
needs all of them in memory, where the default looks each up by itself. It reads a flattened copy
of the file, with a key for each column.
"""

import json
import os
import sys
from pathlib import Path

import django
from django.conf import settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
settings.configure(
    INSTALLED_APPS=["import_export", "rival"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["RIVAL_DATABASE"],
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    FERNET_KEYS=[os.environ["FERNET_KEYS"]],
    FERNET_USE_HKDF=False,
    USE_TZ=True,
    DATETIME_INPUT_FORMATS=["%Y-%m-%dT%H:%M:%S.000Z"],
)
django.setup()

import tablib  # noqa: E402
from django.db import connection  # noqa: E402
from import_export import resources  # noqa: E402
from import_export.instance_loaders import CachedInstanceLoader  # noqa: E402
from rival.models import Connection  # noqa: E402

COLUMNS = [field.name for field in Connection._meta.fields if field.name != "id"]


class ConnectionResource(resources.ModelResource):
    class Meta:
        model = Connection
        fields = COLUMNS
        import_id_fields = ["connection_id"]
        use_bulk = True
        batch_size = 500
        chunk_size = 1000  # of the export
        skip_diff = True
        skip_html_diff = True
        report_skipped = False
        if os.environ.get("RIVAL_LOOKUP") == "cached":
            instance_loader_class = CachedInstanceLoader


def flatten(source, target):
    """Not timed: nested auth objects into one level, what is no scalar into JSON text."""
    rows = []
    for entry in json.loads(Path(source).read_text()):
        row = dict.fromkeys(COLUMNS)
        auth = entry.pop("auth", {})
        for name, value in {**entry, **auth, "connection_id": entry.pop("id")}.items():
            if name != "id":
                row[name] = json.dumps(value) if isinstance(value, (list, dict)) else value
        rows.append(row)
    Path(target).write_text(json.dumps(rows))


def create():
    """Not timed."""
    with connection.schema_editor() as editor:
        editor.create_model(Connection)


def load(file):
    with open(file) as source:
        dataset = tablib.Dataset().load(source, format="json")
    ConnectionResource().import_data(dataset, raise_errors=True, use_transactions=True)


def export(file):
    Path(file).write_text(ConnectionResource().export().export("json"))


def count():
    print(Connection.objects.count())


if __name__ == "__main__":
    commands = {
        "flatten": flatten,
        "create": create,
        "import": load,
        "export": export,
        "count": count,
    }
    commands[sys.argv[1]](*sys.argv[2:])
