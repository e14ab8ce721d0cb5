"""From a fresh copy to a running console: what `make run` does, and what it leaves alone."""

import http.client
import os
import re
import shutil
import subprocess
import sys

import pytest

from connections.encryption import keyring
from project import bootstrap
from tests.support.installation import BASE_DIR, PASSWORD, SERVE, Installation, free_port

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """An installation after its first start, and what that printed."""
    installation = Installation(tmp_path_factory.mktemp("latchkey") / "copy")
    installation.first = installation.bootstrap()
    return installation


@pytest.fixture
def fresh(tmp_path):
    return Installation(tmp_path / "copy")


def snapshot(installation):
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size)
        for path in installation.path.rglob("*")
        if path.is_file() and path.suffix not in (".sqlite3-wal", ".sqlite3-shm")
    }


def test_the_first_start_sets_up_everything(started):
    assert started.first.returncode == 0, started.first.stderr
    assert len(PASSWORD.findall(started.first.stdout)) == 1
    assert (started.path / "static" / "staticfiles.json").exists()
    status = started.run("manage.py", "migrate", "--check")
    assert status.returncode == 0, status.stderr


def test_env_is_private_and_holds_two_different_good_keys(started):
    assert (started.path / ".env").stat().st_mode & 0o777 == 0o600
    written = started.dotenv()
    assert written["HTTPS"] == "off"
    assert len(written["SECRET_KEY"]) >= 40
    assert written["SECRET_KEY"] != written["FERNET_KEYS"]
    assert not list(started.path.glob(".env.new*"))


def test_keys_are_never_printed(started):
    printed = started.first.stdout + started.first.stderr
    assert started.dotenv()["FERNET_KEYS"] not in printed
    assert started.dotenv()["SECRET_KEY"] not in printed


def test_the_database_is_private(started):
    assert (started.path / "db.sqlite3").stat().st_mode & 0o077 == 0


def test_the_printed_password_is_that_of_the_administrator(started):
    (password,) = PASSWORD.findall(started.first.stdout)
    assert password.isalnum() and password.isascii()  # a double click takes all of it
    asked = started.run(
        "manage.py",
        "shell",
        "-c",
        "import os; from django.contrib.auth import authenticate as a;"
        "u = a(username='admin', password=os.environ['GUESS']); print(u.is_superuser)",
        GUESS=password,
    )
    assert asked.stdout.strip().endswith("True"), asked.stderr


def test_a_second_start_changes_nothing_and_says_nothing(started):
    before = snapshot(started)
    again = started.bootstrap()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert snapshot(started) == before


def test_static_files_are_collected_again_when_one_changed(started):
    time_after = (started.path / "static" / "staticfiles.json").stat().st_mtime + 2
    source = next(path for path in (started.path / "connections/static").rglob("*.css"))
    os.utime(source, (time_after, time_after))
    assert "Collected" in started.bootstrap().stdout
    os.utime(source, (0, 0))
    assert started.bootstrap().stdout == ""


def test_an_existing_env_is_left_alone(fresh):
    key = keyring.generate_key()
    text = f"SECRET_KEY={'long and odd ' * 5}\nFERNET_KEYS={key}\n"
    (fresh.path / ".env").write_text(text)
    assert fresh.bootstrap().returncode == 0
    assert (fresh.path / ".env").read_text() == text


def test_an_env_without_keys_is_not_filled_in(fresh):
    (fresh.path / ".env").write_text("HTTPS=off\n")
    refused = fresh.bootstrap()
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert (fresh.path / ".env").read_text() == "HTTPS=off\n"
    assert not (fresh.path / "static").exists()


def test_a_crash_while_writing_leaves_no_half_env(tmp_path, monkeypatch):
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.delenv("FERNET_KEYS")

    def crash(handle):
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(os, "fsync", crash)
        bootstrap.write_env(tmp_path / ".env")
    assert list(tmp_path.iterdir()) == []

    before = os.umask(0)
    bootstrap.write_env(tmp_path / ".env")
    os.umask(before)
    (written,) = tmp_path.iterdir()
    assert written.stat().st_mode & 0o777 == 0o600


def test_keys_of_the_environment_are_used_and_not_written_down(fresh):
    keys = {"SECRET_KEY": keyring.generate_key(), "FERNET_KEYS": keyring.generate_key()}
    assert fresh.bootstrap(**keys).returncode == 0
    assert not (fresh.path / ".env").exists()


def test_a_key_in_a_file_counts_as_given(fresh):
    (fresh.path / "key").write_text(keyring.generate_key())
    assert fresh.bootstrap(FERNET_KEYS_FILE="key").returncode == 0
    assert set(fresh.dotenv()) == {"SECRET_KEY", "HTTPS"}


def assert_refused(process, part):
    assert process.returncode == 2, process.stdout + process.stderr
    assert process.stdout == ""
    assert part in process.stderr
    assert process.stderr.count("\n") == 1, process.stderr


def test_the_first_migrate_needs_no_keys_and_a_later_one_does(fresh):
    none = {"SECRET_KEY": "", "FERNET_KEYS": ""}
    keys = {"SECRET_KEY": keyring.generate_key(), "FERNET_KEYS": keyring.generate_key()}
    assert fresh.run("manage.py", "migrate", **none).returncode == 0
    assert fresh.run("manage.py", "migrate", **none).returncode == 0
    assert fresh.run("manage.py", "check", **keys).returncode == 0
    assert_refused(fresh.run("manage.py", "migrate", **none), "SECRET_KEY is not set")
    assert_refused(
        fresh.run("manage.py", "migrate", SECRET_KEY="x" * 50), "FERNET_KEYS is not set"
    )


@pytest.mark.parametrize("command", ["help", "generate_key", "makemigrations"])
def test_it_runs_without_keys(fresh, command):
    arguments = [command, "--check"] if command == "makemigrations" else [command]
    assert fresh.run("manage.py", *arguments).returncode == 0


@pytest.fixture
def server(started):
    """Serve the installation with some settings; returns a function that asks for a path."""
    processes = []

    def serve(**settings):
        port = free_port()
        process = started.start(*SERVE, PORT=port, **settings)
        processes.append(process)
        line = process.stdout.readline()  # printed once it listens; "" if it ended instead
        assert port in line, process.communicate()[1]

        def get(path, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers={"Host": "localhost", **headers})
            response = connection.getresponse()
            response.text = response.read().decode()
            connection.close()
            return response

        get.announced = line
        return get

    yield serve
    for process in processes:
        process.terminate()
    for process in processes:
        process.communicate(timeout=30)


def test_the_server_answers_with_its_headers(server):
    get = server()
    assert "http://localhost:" in get.announced

    home = get("/")
    assert (home.status, home.headers["Location"]) == (302, "/admin/")

    login = get("/admin/account/login/")
    assert login.status == 200
    assert login.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in login.headers["Content-Security-Policy"]

    css = re.search(r'href="(/static/[^"]+\.css)"', login.text)[1]
    assert re.search(r"\.[0-9a-f]{12}\.css$", css)
    sheet = get(css)
    assert (sheet.status, sheet.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')

    for refused, status in (
        (get("/nothing/here"), 404),
        (get("/admin/login/", Host="evil.example"), 400),
    ):
        assert refused.status == status
        assert "default-src 'none'" in refused.headers["Content-Security-Policy"]


def test_forwarded_https_is_trusted_only_from_a_trusted_proxy(server):
    plain = server(HTTPS="on")
    assert "localhost" not in plain.announced
    answer = plain("/admin/login/", X_Forwarded_Proto="https")
    assert (answer.status, answer.headers["Location"]) == (301, "https://localhost/admin/login/")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    behind = server(HTTPS="on", TRUSTED_PROXIES="10.0.0.0/8, 127.0.0.0/8")
    answer = behind("/admin/account/login/", X_Forwarded_Proto="https")
    assert answer.status == 200
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Secure" in answer.headers["Set-Cookie"]
    assert behind("/admin/login/").status == 301


def test_make_run_does_it_all(fresh):
    shutil.copy(BASE_DIR / "Makefile", fresh.path)
    port = free_port()
    process = subprocess.Popen(
        # The packages are here already: what runs these tests stands in for .venv.
        ["make", "run", f"PORT={port}", f"venv={sys.executable}", "-o", ".venv/run.stamp"],
        cwd=fresh.path,
        env=fresh.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if line == f"Serving on http://localhost:{port}\n":
                break
        else:
            pytest.fail(f"make run ended: {printed}")
        assert len(PASSWORD.findall(printed)) == 1
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_server_stops_when_asked(started):
    process = started.start(*SERVE, PORT=free_port())
    assert process.stdout.readline()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
