"""Who can write to the database, or to Redis, runs nothing in the console by it."""

import base64
import pickle
from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache, caches
from django.core.cache.backends.redis import RedisCacheClient
from django.db import connection
from django.utils import timezone

from project.cache import JSONSerializer
from tests.support.helpers import NOW

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


@pytest.mark.django_db
def test_each_way_to_write_does_what_it_does_in_django():
    with time_machine.travel(NOW, tick=False) as clock:
        assert cache.add("a", 1, timeout=10)
        assert not cache.add("a", 2)
        assert (cache.get("a"), cache.incr("a"), cache.get("a")) == (1, 2, 2)
        clock.shift(9)
        assert cache.touch("a", timeout=10)
        assert not cache.touch("b")
        clock.shift(9)
        assert cache.get_many(["a", "b"]) == {"a": 2}
        clock.shift(2)
        assert cache.get("a") is None
        cache.set("a", 3, timeout=1)
        clock.shift(2)
        assert cache.add("a", 4, timeout=None)
        clock.shift(10**9)
        assert cache.get("a") == 4


@pytest.mark.django_db
def test_what_is_over_the_limit_is_thrown_away(monkeypatch):
    monkeypatch.setattr(caches["default"], "_max_entries", 3)
    for number in range(20):
        cache.set(f"key-{number}", number)
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM connections_cache")
        assert cursor.fetchone()[0] <= 4


def test_redis_takes_the_same():
    client = RedisCacheClient(["redis://localhost"], serializer="project.cache.JSONSerializer")
    assert isinstance(client._serializer, JSONSerializer)
    assert client._serializer.loads(client._serializer.dumps([1.5])) == [1.5]
    with pytest.raises(ValueError):
        client._serializer.loads(pickle.dumps(Payload()))
    assert RUN == []
