"""Cache backends that hold JSON. Django would unpickle, and so run, whatever was put there."""

import json
from datetime import datetime
from datetime import timezone as tz

from django.core.cache.backends import db
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.db import DatabaseError, connection, transaction
from django.utils import timezone


class JSONSerializer:
    """The serializer of Django's Redis backend."""

    def dumps(self, value):
        return json.dumps(value).encode()

    def loads(self, data):
        return json.loads(data)


class DatabaseCache(db.DatabaseCache):
    """Django's, without its pickle: these two methods are all that reads and writes values."""

    def get_many(self, keys, version=None):
        names = {self.make_and_validate_key(key, version=version): key for key in keys}
        if not names:
            return {}
        placeholders = ", ".join(["%s"] * len(names))
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT cache_key, value, expires < %s FROM "{self._table}" '  # noqa: S608
                f"WHERE cache_key IN ({placeholders})",
                [_to_database(timezone.now()), *names],
            )
            rows = cursor.fetchall()
        self._base_delete_many([key for key, _, is_expired in rows if is_expired])
        return {names[key]: json.loads(text) for key, text, is_expired in rows if not is_expired}

    def _base_set(self, mode, key, value, timeout=DEFAULT_TIMEOUT):
        """Do the `set`, `add` or `touch` of a key. Returns whether it was written."""
        text, now = json.dumps(value), timezone.now()
        expires_at = self.get_backend_timeout(timeout)
        expires = (
            datetime.max if expires_at is None else datetime.fromtimestamp(expires_at, tz.utc)
        )
        expires = expires.replace(microsecond=0)
        if mode == "touch":
            statement = f'UPDATE "{self._table}" SET expires = %s WHERE cache_key = %s'  # noqa: S608
            parameters = [_to_database(expires), key]
        else:
            statement = (
                f'INSERT INTO "{self._table}" AS entry (cache_key, value, expires) '  # noqa: S608
                "VALUES (%s, %s, %s) ON CONFLICT (cache_key) DO UPDATE "
                "SET value = excluded.value, expires = excluded.expires"
            )
            parameters = [key, text, _to_database(expires)]
            if mode == "add":
                statement += " WHERE entry.expires < %s"
                parameters.append(_to_database(now))
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT COUNT(*) FROM "{self._table}"')  # noqa: S608
            (count,) = cursor.fetchone()
            if count > self._max_entries:
                self._cull(connection.alias, cursor, now, count)
            try:
                with transaction.atomic():
                    cursor.execute(statement, parameters)
            except DatabaseError:  # as Django's: a cache that can't be written is no error
                return False
            return cursor.rowcount > 0


def _to_database(moment):
    return connection.ops.adapt_datetimefield_value(moment)
