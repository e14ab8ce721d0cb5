"""Imports confirmed in the browser, done by real processes: watched, killed, continued."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from datetime import timedelta

import pytest
from django.utils import timezone

from benchmarks.harness import wait_for
from tests.support.helpers import SECRET
from tests.support.import_runs import entries
from tests.support.installation import Console, Installation, free_port
from tests.sweeps.test_no_plaintext import Browser


@pytest.fixture
def console(installed, tmp_path):
    served = Console(Installation(tmp_path / "copy", like=installed))
    yield served
    served.stop()


def confirm_import(console, count):
    """A Browser that has uploaded and confirmed that many entries, and the URL of the run."""
    browser = Browser(console.url)
    browser.open("/admin/login/")
    browser.submit("/admin/account/login/?next=/admin/", login="admin", password=console.password)
    browser.open("/admin/import/")
    browser.upload("/admin/import/", "some.json", json.dumps(entries(count)).encode())
    url = browser.url
    browser.submit(url, on_conflict="update")
    return browser, url


PATIENCE = 90  # seconds
RUN = "FROM connections_importrun ORDER BY created_at DESC LIMIT 1"


def has_ended(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.crash
def test_killed_half_way_and_continued(console):
    browser, url = confirm_import(console, 30_000)
    assert "Importing" in browser.text

    _, pid, _ = wait_for(lambda: console.value(f"SELECT process {RUN}"), PATIENCE).split(" ")
    command = open(f"/proc/{pid}/cmdline").read()
    variables = open(f"/proc/{pid}/environ").read()
    assert "import_connections\0--run\0" in command
    for text in (command, variables):
        assert console.installation.dotenv()["FERNET_KEYS"] not in text
        assert SECRET not in text
    assert wait_for(
        lambda: console.value("SELECT EXISTS (SELECT 1 FROM connections_connectionauth)"), PATIENCE
    )
    os.kill(int(pid), signal.SIGKILL)
    assert wait_for(lambda: has_ended(pid), PATIENCE)  # until then it may store a heartbeat
    stored = console.value("SELECT count(*) FROM connections_connectionauth")
    assert 0 < stored < 30_000
    console.ask(
        "UPDATE connections_importrun SET heartbeat_at = ?",
        f"{timezone.now() - timedelta(minutes=1):%Y-%m-%d %H:%M:%S}",
    )
    browser.open(url)
    assert "Import interrupted" in browser.text
    browser.submit(url, **{"continue": "1"})
    assert wait_for(lambda: console.value(f"SELECT status {RUN}") == "done", PATIENCE)
    browser.open(url)
    assert "Imported" in browser.text
    assert console.value("SELECT count(*) FROM connections_connectionauth") == 30_000
    assert console.value("SELECT count(*) FROM connections_importchunk") == 0
    assert not any(SECRET in text for text in browser.seen)
    assert wait_for(lambda: not os.path.exists(f"/proc/{pid}"), PATIENCE)  # no zombie stays


def test_its_lines_of_the_log_come_out_of_the_server_whose_worker_is_gone(console):
    confirm_import(console, 300)
    for pid in workers_of(console.server.pid):
        os.kill(pid, signal.SIGTERM)
        assert wait_for(lambda pid=pid: has_ended(pid), PATIENCE)
    assert wait_for(lambda: console.value(f"SELECT status {RUN}") == "done", PATIENCE)
    out, err = console.stop()
    said = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    imports = [(line["user"], line["result"]) for line in said if line["action"] == "import"]
    assert imports == [("admin", "started"), ("admin", "done")]
    assert SECRET not in out + err
    assert "Read 300" not in out


def workers_of(pid):
    """The processes of a server that answer requests; what they started is in another session."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def test_a_worker_of_celery_does_it(installed, tmp_path):
    """A queue in a folder stands in for Redis."""
    installation = Installation(tmp_path / "copy", like=installed)
    with (installation.path / "project/settings.py").open("a") as settings:
        folders = {f"data_folder_{way}": str(tmp_path) for way in ("in", "out")}
        settings.write(f"CELERY_BROKER_TRANSPORT_OPTIONS = {folders}\n")
    queue = {"CELERY_BROKER_URL": "filesystem://"}
    (tmp_path / "file.json").write_text(json.dumps(entries(50)))
    asked = installation.run("manage.py", "shell", "-c", CONFIRM, FILE=str(tmp_path), **queue)
    assert asked.returncode == 0, asked.stderr
    (message,) = tmp_path.glob("*.msg")
    assert SECRET not in message.read_text()
    worker = installation.start("-m", "celery", "-A", "project", "worker", "-c", "1", **queue)
    try:
        database = sqlite3.connect(installation.path / "db.sqlite3")
        assert wait_for(
            lambda: database.execute(f"SELECT status {RUN}").fetchone() == ("done",), PATIENCE
        )
        stored = "SELECT count(*) FROM connections_connectionauth"
        assert database.execute(stored).fetchone() == (50,)
    finally:
        worker.terminate()
        assert SECRET not in "".join(worker.communicate(timeout=30))


@pytest.mark.crash
@pytest.mark.skipif(not shutil.which("redis-server"), reason="there is no redis-server")
def test_a_worker_that_is_killed_leaves_an_import_that_another_one_continues(installed, tmp_path):
    installation = Installation(tmp_path / "copy", like=installed)
    port = free_port()
    queue = {"CELERY_BROKER_URL": f"redis://localhost:{port}/0"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    redis = subprocess.Popen(["redis-server", "--port", str(port), "--save", ""], **quiet)
    (tmp_path / "file.json").write_text(json.dumps(entries(20_000)))
    database = sqlite3.connect(installation.path / "db.sqlite3", timeout=30)
    arguments = ("-m", "celery", "-A", "project", "worker", "-c", "1", "--pool", "solo")

    def value(sql):
        return database.execute(sql).fetchone()[0]

    def start_worker():
        return installation.start(*arguments, "--loglevel", "critical", **queue)

    worker = start_worker()
    try:
        asked = installation.run("manage.py", "shell", "-c", CONFIRM, FILE=str(tmp_path), **queue)
        assert asked.returncode == 0, asked.stderr
        assert wait_for(
            lambda: value("SELECT EXISTS (SELECT 1 FROM connections_connectionauth)"), PATIENCE
        )
        worker.kill()
        worker.communicate(timeout=30)
        assert 0 < value("SELECT count(*) FROM connections_connectionauth") < 20_000
        continued = installation.run("manage.py", "shell", "-c", CONTINUE, **queue)
        assert continued.returncode == 0, continued.stderr
        worker = start_worker()
        assert wait_for(lambda: value(f"SELECT status {RUN}") == "done", PATIENCE)
        assert value("SELECT count(*) FROM connections_connectionauth") == 20_000
    finally:
        worker.terminate()
        said = worker.communicate(timeout=30)
        redis.terminate()
        redis.wait(timeout=30)
        database.close()
    assert SECRET not in "".join(said)


CONFIRM = """
import os
import project.wsgi  # as a server does
from django.contrib.auth.models import User
from connections.encryption import keyring
from connections.import_export import importer
from connections.jobs import chunks, import_job
from connections.json_format.stream.sources import SpooledSource
source = SpooledSource("file.json", keyring.seal_bytes, keyring.unseal_bytes)
source.write(open(os.environ["FILE"] + "/file.json", "rb").read())
run = chunks.store_upload(source, User.objects.get())
assert import_job.confirm(run, importer.ImportOptions())
"""
CONTINUE = """
from datetime import timedelta
import project.wsgi
from connections.jobs import runs
from connections.models import ImportRun
ImportRun.objects.update(heartbeat_at=ImportRun.objects.get().heartbeat_at - timedelta(minutes=1))
assert runs.resume(ImportRun.objects.get())
"""
