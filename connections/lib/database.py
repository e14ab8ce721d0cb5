"""What SQLite and PostgreSQL do differently, and locks and ranges that both have."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import QuerySet

# Numbers of advisory locks of PostgreSQL; nothing else in the database may use them. Appending to
# the audit log follows on its last entry. Two imports that lock the same records in different
# orders would end in a deadlock.
AUDIT_LOCK = 0x1A7C4_A0D17
IMPORT_LOCK = 0x6C6174636B


def is_sqlite() -> bool:
    return connection.vendor == "sqlite"


def is_in_memory() -> bool:
    """Whether no other process can see the database."""
    database: Any = connection  # only SQLite's has this method
    return is_sqlite() and bool(database.is_in_memory_db())


def take_lock(number: int) -> None:
    """Let one transaction at a time pass, until it ends. `number` is one of the locks above.

    SQLite's transactions are IMMEDIATE, which does the same.
    """
    if not is_sqlite():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def fetch_raw(queryset: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """The tuples of a `values_list` as the driver gives them."""
    with connection.cursor() as cursor:
        cursor.execute(*queryset.query.sql_with_params())
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


@contextmanager
def tolerate_invalid_utf8() -> Iterator[None]:
    """Read text columns that hold invalid UTF-8, as SQLite allows, with U+FFFD in its place."""
    if not is_sqlite():
        yield
        return
    connection.ensure_connection()
    driver = connection.connection
    before = driver.text_factory
    driver.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        yield
    finally:
        driver.text_factory = before


@contextmanager
def no_busy_timeout() -> Iterator[None]:
    """Fail at once if SQLite is locked: a page that reads must not wait for a writer.

    PostgreSQL has nothing to wait for.
    """
    if not is_sqlite():
        yield
        return
    connection.ensure_connection()
    execute = connection.connection.execute
    (milliseconds,) = execute("PRAGMA busy_timeout").fetchone()
    execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        execute(f"PRAGMA busy_timeout = {milliseconds:d}")


def enlarge_page_cache() -> None:
    """Let SQLite keep 16 MB of pages in memory instead of 2: for one process, which writes."""
    if is_sqlite():
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_size=-16384")


def checkpoint_wal() -> None:
    """Copy SQLite's write-ahead log into the database and empty it: it holds former pages."""
    if is_sqlite() and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def id_ranges(queryset: QuerySet[Any, Any], size: int) -> Iterator[tuple[Any, Any]]:
    """Ranges of ids `(after, until)` that hold `size` rows of a queryset each.

    `after` is None in the first one.
    """
    ids = queryset.order_by("pk").values_list("pk", flat=True)
    after, last = None, ids.last()
    while after != last:
        until = filter_id_range(ids, after, last)[size - 1 : size].first() or last
        yield after, until
        after = until


def filter_id_range(queryset: QuerySet[Any, Any], after: Any, until: Any) -> QuerySet[Any, Any]:
    """The rows with an id above `after` (None: from the first one) up to `until`, in order."""
    chosen = queryset.order_by("pk").filter(pk__lte=until)
    return chosen if after is None else chosen.filter(pk__gt=after)
