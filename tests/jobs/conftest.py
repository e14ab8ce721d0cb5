import pytest

from tests.support.helpers import member_of


@pytest.fixture
def client(admin_client):
    return admin_client


@pytest.fixture
def operator():
    return member_of("Operator")
