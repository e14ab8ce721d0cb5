"""A database that is gone, or takes nothing in, is answered by a page that says so."""

import urllib.error
import urllib.request

import pytest
from django.db import connection
from django.db.utils import InterfaceError, OperationalError
from django.urls import reverse

from tests.support.helpers import make
from tests.support.installation import Console, Installation

LIST = "/admin/connections/connectionauth/"
SAYS = "The database does not answer"


def refuse_writes():
    """From here to the end of the test's transaction, as on a full disk or a standby."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA query_only = ON")
        else:
            cursor.execute("SET TRANSACTION READ ONLY")


@pytest.fixture
def client(admin_client):
    admin_client.get("/admin/")  # what is written once a day is written
    admin_client.raise_request_exception = False
    yield admin_client
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only = OFF")


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("path", ["/admin/", LIST, "/admin/audit/"])
def test_a_database_that_is_gone(client, path, error):
    def gone(execute, *arguments):
        raise error("server closed the connection unexpectedly: postgres://synth-SECRET@db")

    with connection.execute_wrapper(gone):
        answer = client.get(path)
    assert answer.status_code == 503
    text = answer.content.decode()
    assert SAYS in text and "synth-SECRET" not in text
    assert answer["Cache-Control"] == "no-store"
    assert client.get(path).status_code == 200


def test_a_fault_of_our_own_is_not_blamed_on_the_database(client, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("database")

    monkeypatch.setattr("connections.console.dashboard.context.get_context", fail)
    answer = client.get("/admin/")
    assert answer.status_code == 500
    assert SAYS not in answer.content.decode()


def test_a_database_that_takes_nothing_in_still_shows_what_is_stored(client):
    record = make(name="Alder Ltd")
    refuse_writes()
    for path in (LIST, f"{LIST}{record.pk}/change/"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "Alder Ltd" in answer.content.decode()


def test_a_database_that_takes_nothing_in_refuses_a_change(client):
    refuse_writes()
    answer = client.post(f"{LIST}add/", {"name": "Alder Ltd", "key": "synth-SECRET"})
    assert answer.status_code == 503
    text = answer.content.decode()
    assert SAYS in text and "synth-SECRET" not in text


def test_a_database_that_takes_nothing_in_reveals_nothing(client, monkeypatch):
    monkeypatch.setattr(
        "connections.accounts.reauthentication.is_reauthenticated", lambda request: True
    )
    record = make(access_token="synth-SECRET")
    args = [record.pk, "access_token"]
    refuse_writes()
    answer = client.get(reverse("admin:connections_connectionauth_reveal", args=args))
    assert answer.status_code == 503
    assert "synth-SECRET" not in answer.content.decode()


@pytest.mark.crash
def test_a_server_whose_database_went_away_comes_back_with_it(installed, tmp_path):
    console = Console(Installation(tmp_path / "copy", like=installed))
    store = console.installation.path / "db.sqlite3"

    # Whose session it is has to be looked up.
    request = urllib.request.Request(f"{console.url}/admin/account/login/")
    request.add_header("Cookie", f"sessionid={'a' * 32}")

    def ask():
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    try:
        assert ask()[0] == 200
        for path in store.parent.glob("db.sqlite3*"):
            path.rename(path.with_name(f"away-{path.name}"))
        store.mkdir()  # in its place, so that none is made anew
        status, text = ask()
        assert (status, SAYS in text) == (503, True)
        store.rmdir()
        for path in store.parent.glob("away-*"):
            path.rename(path.with_name(path.name.removeprefix("away-")))
        assert ask()[0] == 200
    finally:
        _, log = console.stop()
    assert "unable to open database file" in log
