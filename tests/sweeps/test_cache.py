"""Who can write to the database, or to Redis, runs nothing in the console by it."""

import base64
import pickle
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.cache.backends.redis import RedisCacheClient
from django.db import connection
from django.utils import timezone

from project.cache import JSONSerializer

RUN = []


class Payload:
    def __reduce__(self):
        return RUN.append, ("run",)


@pytest.mark.django_db
def test_nothing_in_the_database_is_unpickled(client):
    pickled = base64.b64encode(pickle.dumps(Payload())).decode()
    client.get("/admin/account/login/", REMOTE_ADDR="192.0.2.1")
    for page in ("/admin/account/login/", "/admin/account/reauthenticate/"):
        client.post(page, {"login": "a", "password": "b"}, REMOTE_ADDR="192.0.2.1")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE connections_cache SET value = %s", [pickled])
        assert cursor.rowcount
    with pytest.raises(ValueError):
        client.post("/admin/account/login/", {"login": "a"}, REMOTE_ADDR="192.0.2.1")
    assert RUN == []


@pytest.mark.django_db
def test_what_was_kept_comes_back():
    for value in ([1.5, 2.25], True, "y", None):
        cache.set("a", value)
        assert cache.get("a", "nothing") == value
    later = timezone.now() + timedelta(hours=1)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO connections_cache (cache_key, value, expires) VALUES (%s, %s, %s)",
            [":1:old", base64.b64encode(pickle.dumps("y")).decode(), later],
        )
    assert cache.get("old") is None


def test_redis_takes_the_same():
    client = RedisCacheClient(["redis://localhost"], serializer="project.cache.JSONSerializer")
    assert isinstance(client._serializer, JSONSerializer)
    assert client._serializer.loads(client._serializer.dumps([1.5])) == [1.5]
    with pytest.raises(ValueError):
        client._serializer.loads(pickle.dumps(Payload()))
    assert RUN == []
