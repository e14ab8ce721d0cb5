"""A store that is built once for all tests of a module."""

import pytest
from django.db import transaction


def module_store(build, name=None):
    """A fixture of the module's: what `build()` returns, and has stored.

    Each test takes back what it changes in the database, as always; nobody changes the objects.
    """

    @pytest.fixture(scope="module", name=name or build.__name__)
    def store(django_db_setup, django_db_blocker):
        atomic = transaction.atomic()
        with django_db_blocker.unblock():
            atomic.__enter__()
            made = build()
        yield made
        with django_db_blocker.unblock():
            transaction.set_rollback(True)
            atomic.__exit__(None, None, None)

    return store
