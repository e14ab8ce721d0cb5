import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.helpers import signed_in
from tests.support.module_store import module_store


@module_store
def administrator():
    return signed_in(User.objects.create_superuser("admin", password="password"))


@pytest.fixture
def client(administrator, db):
    """A client of "admin", who signs in once for all tests of a module."""
    client = Client()
    client.cookies.load(administrator.cookies.output(header=""))
    client.user = administrator.user
    return client
