"""What the database holds of a sealed field, and what a record shows of it."""

import uuid

from django.db import connection as database

from connections.models import ConnectionAuth
from tests.support.helpers import SECRET, make

TABLE = ConnectionAuth._meta.db_table


def raw(record, field="access_token"):
    """What the database holds in a column."""
    with database.cursor() as cursor:
        statement = f"SELECT {field} FROM {TABLE} WHERE connection_id = %s"
        cursor.execute(statement, [record.connection_id])
        return cursor.fetchone()[0]


def write_raw(record, value, field="access_token"):
    with database.cursor() as cursor:
        statement = f"UPDATE {TABLE} SET {field} = %s WHERE connection_id = %s"
        cursor.execute(statement, [value, record.connection_id])
    return load(record)


def stored(**fields):
    return make(connection_id=uuid.uuid4().hex, **(fields or {"access_token": SECRET}))


def load(record):
    return ConnectionAuth.all_objects.get(pk=record.pk)
