"""No command says, logs or leaves behind a secret, but an export that was told to.

Each runs as a process of its own, with all that any library has to log, on a store that is full
of recognisable secrets. What it says is looked through, and what it leaves: the bytes of the
database, temporary files, and the files that it was told to write.
"""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from benchmarks.harness import TABLE, Store, wait, wait_for
from connections.encryption import keyring
from tests.docs.test_commands import OURS
from tests.support.leaks import AUTH, BEGIN, END, FILES, TEXTS, VALUES, leaks, secret
from tests.support.stores import VENDORS, write

# manage.py with all loggers at their lowest level, and no store too small for several processes.
LOUD = """
import logging.config, os, runpy, sys
from connections.lib import processes
configure = logging.config.dictConfig
def loudly(settings):
    configure(settings)
    logging.basicConfig(level=1)
    logging.getLogger("django").setLevel(1)
logging.config.dictConfig = loudly
os.environ["DEBUG"] = "on"  # else Django logs no SQL
processes.MIN_PARALLEL_RECORDS = 1
{forced}
sys.argv[0] = "manage.py"
runpy.run_path("manage.py", run_name="__main__")
"""
# The function fails as soon as it has a secret in its hands.
FAIL = """
from cryptography.fernet import Fernet
work = Fernet.{function}
def fail(self, given, *more):
    done = work(self, given, *more)
    if {begin!r} in done or type(given) is bytes and {begin!r} in given:
        raise RuntimeError("forced")
    return done
Fernet.{function} = fail
"""
# Secrets in use, in the bin, replaced, in an upload that waits, and of a second step.
FILL = """
import json, sys
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import User
from connections.encryption import keyring
from connections.import_export import importer
from connections.jobs import bulk_change, chunks, import_job, runs
from connections.records import recycle_bin
from connections.models import ConnectionAuth
from connections.json_format.stream.sources import SpooledSource
given = json.load(sys.stdin)
user = User.objects.create_superuser("ada")
TOTP.activate(user, given["values"]["key"])
for name in ("kept", "binned", "closed", "no-json"):
    record = ConnectionAuth(connection_id=name, name=name)
    for field, value in given["values"].items():
        setattr(record, field, value)
    record.key = name  # else they would be one
    record.save()
recycle_bin.move(ConnectionAuth.objects.filter(connection_id="binned"), user)
runs.launch = lambda run: None  # the test starts the processes of runs itself
bulk_change.MAX_IN_REQUEST = 0
changed = bulk_change.prepare(user, "pause", ConnectionAuth.objects.filter(connection_id="kept"))
bulk_change.start(changed)
source = SpooledSource("file.json", keyring.seal_bytes, keyring.unseal_bytes)
source.write(given["file"].encode())
upload = chunks.store_upload(source, user)
import_job.confirm(upload, importer.ImportOptions())
odd = keyring.seal(given["values"]["token"], f"{record.pk}/meta")
print(json.dumps({"change": str(changed.pk), "upload": str(upload.pk), "odd": odd}))
"""


class Place:
    """A full store, a folder for what its commands write, and what they can be told."""

    def __init__(self, store, folder):
        self.store, self.written, self.given = store, folder / "written", folder / "given"
        self.written.mkdir()
        self.given.mkdir()
        given = {"values": VALUES, "file": FILES["good"].decode()}
        filled = store.run("shell", "-v", "0", "-c", FILL, stdin=json.dumps(given).encode())
        assert filled.code == 0, filled.err
        self.ids = filled.json
        for name in ("first", "second"):
            done = store.imports(self.file(name))
            assert done.code == 0, done.err
            self.ids["run"] = done.json["run"]
        # A value that does not open there, and one that does and is not what belongs there.
        put = f"UPDATE {TABLE} SET {{}} WHERE connection_id = '{{}}'"
        store.execute(put.format("refresh_token = token", "closed"))
        store.execute(put.format(f"meta = '{self.ids['odd']}', facts = NULL", "no-json"))
        store.keys = f"{keyring.generate_key()},{store.keys}"

    def file(self, name):
        """A file of connections whose secrets differ from file to file."""
        auth = {**AUTH, "token": secret(name)}
        entries = [{"id": f"c-{number}", "auth": auth} for number in range(3)]
        return write(self.given / f"{name}.json", entries)

    def run(self, *arguments, forced=""):
        """Run a command with all that is logged: an Outcome."""
        self.store.program = ("-c", LOUD.format(forced=forced))
        outcome = self.store.run(*arguments, stdin=TEXTS["token"].encode())
        self.store.program = Store.program
        return outcome

    def ways(self):
        """Name of a command -> the arguments of each way to call it."""
        odd = self.given / "odd.json"
        odd.write_bytes(FILES["odd"])
        ids, written = self.ids, self.written
        return {
            "generate_key": [[]],
            "check_expiry": [["--within", "90w"], ["--format", "json"], ["--format", "csv"]],
            "change_connections": [["--run", ids["change"]]],
            "import_connections": [
                [odd, "--report", written / "report"],
                [self.file("third"), "--json", "--on-conflict", "replace", "--jobs", "2"],
                ["-", "--dry-run"],
                ["--run", ids["upload"]],
            ],
            "export_connections": [
                ["--secrets", "omit", "--shape", "connection"],
                ["--secrets", "mask", "-o", written / "masked", "--json"],
            ],
            "find_secret": [
                [],
                ["--former", "--json"],
                ["--shared"],
                ["--shared", "--field", "refresh_token", "--json"],
                ["--rebuild"],
            ],
            "rotate_keys": [["--dry-run"], ["--verify"], ["--json", "--jobs", "2"], ["--verify"]],
            "verify_records": [[], ["--json", "--jobs", "2"]],
            "verify_audit": [[], ["--head"], ["--json"]],
            "undo_import": [[], [ids["run"]]],
            "reset_mfa": [["ada"], ["nobody"]],
            "seed_demo": [[], ["--clear"]],
            "take_snapshot": [[], ["--json"]],
            "cleanup": [[], ["--json"]],
            # Of Django's own, those that read everything or say much.
            "dumpdata": [["--all"], ["--all", "-o", written / "dump.json"]],
            "migrate": [["-v", "3"]],
            "check": [["--deploy"]],
        }

    def look(self):
        """Look through all that is left."""
        assert leaks(self.store.raw()) == []
        for folder in (self.written, self.store.temporary):
            for path in folder.rglob("*"):
                assert not path.is_file() or leaks(path.read_bytes()) == [], path


@pytest.fixture(params=VENDORS)
def place(request, stores, tmp_path):
    return Place(stores.make(request.param), tmp_path)


def said(outcome):
    return outcome.out + outcome.err + "".join(outcome.log)


def test_no_command_gives_a_secret_away(place):
    ways = place.ways()
    assert {*OURS} <= {*ways}
    for name, calls in ways.items():
        for arguments in calls:
            outcome = place.run(name, *arguments)
            assert leaks(said(outcome)) == [], (name, arguments)
            for key in place.store.keys.split(","):
                assert key not in said(outcome), (name, arguments)
            assert "Traceback" not in outcome.err, outcome.err[-3000:]
            assert "SELECT " in outcome.err or name in ("generate_key", "check"), name
    place.look()
    written = {path.name for path in place.written.iterdir()}
    assert written == {"report", "masked", "dump.json"}


def test_an_export_with_secrets_holds_them(place):
    outcome = place.run("export_connections", "--shape", "connection")
    assert {BEGIN, END} <= {*leaks(outcome.out)}
    assert leaks(outcome.err + "".join(outcome.log)) == []
    assert "could not" in outcome.err or "left out" in outcome.err


@pytest.mark.parametrize(
    ("function", "commands"),
    {
        "encrypt_at_time": ("import_connections FILE", "rotate_keys --jobs 2", "undo_import RUN"),
        "_decrypt_data": (
            "export_connections -o WRITTEN --jobs 2",
            "import_connections --run UPLOAD",
            "import_connections FILE",
            "verify_records --jobs 2",
            "rotate_keys",
            "find_secret --former",
            "find_secret --rebuild",
        ),
    }.items(),
)
def test_errors_do_not_show_the_secrets_of_variables(place, function, commands):
    place.file("FILE")
    words = {
        "FILE": place.given / "FILE.json",
        "RUN": place.ids["run"],
        "UPLOAD": place.ids["upload"],
        "WRITTEN": place.written / "export",
    }
    forced = FAIL.format(function=function, begin=BEGIN.encode())
    for command in commands:
        arguments = [words.get(word, word) for word in command.split()]
        outcome = place.run(*arguments, forced=forced)
        assert outcome.code != 0 and "forced" in outcome.err, (command, outcome.err[-2000:])
        assert leaks(said(outcome)) == [], command
    place.look()


REFUSE = {
    "sqlite": [
        f"CREATE TRIGGER forced_{event} BEFORE {event} ON {TABLE} "
        "BEGIN SELECT RAISE(ABORT, 'forced'); END"
        for event in ("INSERT", "UPDATE")
    ],
    "postgresql": [
        "CREATE FUNCTION forced() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'forced: %', NEW; END $$",
        f"CREATE TRIGGER forced BEFORE INSERT OR UPDATE ON {TABLE} "
        "FOR EACH ROW EXECUTE FUNCTION forced()",
    ],
}


def test_what_the_database_refuses_is_not_shown(place):
    vendor = "sqlite" if place.store.url.startswith("sqlite") else "postgresql"
    for statement in REFUSE[vendor]:
        place.store.execute(statement)
    fresh = write(place.given / "fresh.json", [{"id": "fresh", "auth": AUTH}])
    for arguments in (
        ["import_connections", place.file("third")],
        ["import_connections", fresh],
        ["rotate_keys"],
        ["undo_import", place.ids["run"]],
    ):
        outcome = place.run(*arguments)
        # A record that can't be put back is named by undo_import, and left as it is.
        assert outcome.code != 0 and ("forced" in outcome.err or "Left: " in outcome.err)
        assert leaks(said(outcome)) == [], arguments
    place.look()


@pytest.mark.crash
def test_a_spooled_pipe_is_sealed_also_after_a_kill(stores):
    store = stores.make()
    read, write_end = os.pipe()
    process = store.start("import_connections", "-", stdin=read)
    os.close(read)
    with open(write_end, "wb") as pipe:
        pipe.write(b"[" + b",".join([FILES["good"][1:-1]] * 2000))
        pipe.flush()
        spool = wait_for(lambda: _spool(process.pid))
        assert spool.startswith(b"gAAAA")
        assert leaks(spool) == []
        os.kill(process.pid, signal.SIGKILL)
    wait(process)
    assert list(store.temporary.iterdir()) == []
    assert leaks(store.raw()) == []


def _spool(pid):
    """What a process has written to files without a name."""
    found = b""
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if "(deleted)" in os.readlink(handle):
                found += handle.read_bytes()
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("name", FILES)
def test_no_import_repeats_its_file(name, tmp_path, capfd, caplog):
    file, report = tmp_path / "file.json", tmp_path / "report"
    file.write_bytes(FILES[name])
    told = ""
    with caplog.at_level(1):
        for more in (["--dry-run"], ["--atomic"], ["--json"], ["--on-conflict", "replace"]):
            with suppress(SystemExit):
                try:
                    call_command("import_connections", file, "--report", report, *more)
                except CommandError as error:
                    told += str(error)
            told += report.read_text()
    told += "".join(capfd.readouterr())
    assert '"code": "' in told or "Read 1 " in told
    assert leaks(told + caplog.text) == []
