import pytest


@pytest.fixture
def client(admin_client):
    return admin_client
