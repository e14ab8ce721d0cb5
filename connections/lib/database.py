"""What SQLite and PostgreSQL do differently, and locks and ranges that they share."""

from contextlib import contextmanager
from functools import partial

from django.db import connection

# Any number that nobody else takes for an advisory lock of PostgreSQL.
AUDIT_LOCK = 0x1A7C4_A0D17


IMPORT_LOCK = 0x6C6174636B  # any number that nothing else in the database uses


def fetch_raw(rows):
    """The tuples of a `values_list` as the driver gives them."""
    with connection.cursor() as cursor:
        cursor.execute(*rows.query.sql_with_params())
        return cursor.fetchall()


@contextmanager
def tolerate_invalid_utf8():
    """Read also what is no UTF-8, with U+FFFD for it: SQLite keeps that in a column of texts."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    database = connection.connection
    before = database.text_factory
    database.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        yield
    finally:
        database.text_factory = before


def enlarge_page_cache():
    """Let SQLite keep 16 MB of pages in memory where it keeps 2: for one process, which writes."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_size=-16384")


def lock_imports():
    """Let one import write at a time, until the end of the transaction.

    Two that lock the same records in different orders would end in a deadlock. SQLite has one
    writer anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [IMPORT_LOCK])


def id_ranges(rows, size):
    """Ranges of ids that hold `size` rows of a queryset each, as `(after, until)`."""
    ids = rows.order_by("pk").values_list("pk", flat=True)
    after, last = None, ids.last()
    while after != last:
        rest = ids if after is None else ids.filter(pk__gt=after)
        until = rest.filter(pk__lte=last)[size - 1 : size].first() or last
        yield after, until
        after = until


def filter_id_range(rows, after, until):
    """The rows with an id above `after` (None: from the first one) up to `until`, in order."""
    chosen = rows.order_by("pk").filter(pk__lte=until)
    return chosen if after is None else chosen.filter(pk__gt=after)


@contextmanager
def no_busy_timeout():
    """A page that looks must not wait for one that writes: SQLite gives up at once.

    Whoever looks next tries again. PostgreSQL has nothing to wait for.
    """
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    asked = connection.connection.execute
    (patience,) = asked("PRAGMA busy_timeout").fetchone()
    asked("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        asked(f"PRAGMA busy_timeout = {patience:d}")


def checkpoint_wal():
    """Write SQLite's log back into the database: it holds copies of pages from before."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def lock_audit_log():
    """Let one transaction at a time append. SQLite's are IMMEDIATE, which does the same."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AUDIT_LOCK])
