"""`check_expiry`: what it prints, and the exit codes that cron and monitoring rely on."""

import csv
import json
import re
from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from connections.encryption import keyring
from connections.management.commands.check_expiry import Command
from connections.models import SEALED_COLUMNS
from tests.support.helpers import NOW, SECRET, cast, make
from tests.support.installation import Installation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _now():
    with time_machine.travel(NOW, tick=False):
        yield


def check(*arguments):
    """Run the command; returns what it printed and its exit code."""
    out = StringIO(newline="")
    try:
        call_command("check_expiry", *arguments, stdout=out)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


def check_json(*arguments):
    text, _ = check("--format=json", *arguments)
    return json.loads(text)


def test_exit_0_where_nothing_breaks_within_the_period():
    make(key=SECRET)
    make(key=SECRET + "2", ends_in=timedelta(days=8))
    assert check()[1] == 0


def test_exit_1_where_some_break_within_the_period():
    make(key=SECRET, ends_in=timedelta(days=7))
    assert check()[1] == 1


def test_exit_2_where_some_are_broken():
    make(key=SECRET, ends_in=timedelta(days=1))
    make(key=SECRET + "2", ends_in=timedelta(0))
    assert check()[1] == 2


def test_a_stale_record_is_no_alarm():
    make(access_token=SECRET, refresh_token=SECRET, ends_in=timedelta(hours=-2))
    assert check()[1] == 0


def test_a_binned_record_is_no_alarm():
    make(key=SECRET, ends_in=timedelta(hours=-2), binned_at=NOW)
    assert check()[1] == 0


@pytest.mark.parametrize("format", ["table", "json", "csv"])
@pytest.mark.parametrize("options", [(), ("--summary",)])
def test_the_exit_code_does_not_depend_on_what_is_printed(format, options):
    make(key=SECRET, ends_in=timedelta(days=2))
    assert check(f"--format={format}", *options)[1] == 1


@pytest.mark.parametrize(
    ("period", "code"), [("2879m", 0), ("2880m", 1), ("47h", 0), ("48h", 1), ("2d", 1), ("1w", 1)]
)
def test_within_takes_minutes_hours_days_and_weeks(period, code):
    make(key=SECRET, ends_in=timedelta(days=2))
    assert check("--within", period)[1] == code


def test_within_takes_the_longest_period_that_can_be_written():
    make(key=SECRET, ends_in=timedelta(days=3000))
    assert check("--within=99999w")[1] == 1


@pytest.mark.parametrize(
    "period", ["", "7", "d", "1.5d", "-1d", "7 d", "7D", "1y", "999999w", "٧d"]
)
def test_a_bad_period_is_a_usage_error(period):
    with pytest.raises(CommandError, match="12h or 7d"):
        check(f"--within={period}")


@pytest.mark.parametrize("arguments", [["--within=soon"], ["--format=xml"], ["--nonsense"], ["x"]])
def test_exit_3_for_bad_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        Command().run_from_argv(["manage.py", "check_expiry", *arguments])
    assert end.value.code == 3
    assert "Traceback" not in capsys.readouterr().err


def test_help_exits_with_0_and_explains_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as end:
        Command().run_from_argv(["manage.py", "check_expiry", "--help"])
    assert end.value.code == 0
    assert "3 could not tell" in re.sub(r"\s+", " ", capsys.readouterr().out)


@pytest.mark.parametrize("keys", [[], ["nonsense"], [keyring.generate_key()]])
def test_exit_3_where_the_keys_are_bad(settings, keys):
    keyring.require_keys()
    settings.FERNET_KEYS = keys
    with pytest.raises(CommandError, match="FERNET_KEYS") as failure:
        check()
    assert failure.value.returncode == 3


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ({}, "migrate"),
        ({"DATABASE_URL": "postgres://nobody:synth-password@127.0.0.1:1/none"}, ""),
    ],
)
def test_exit_3_without_a_migrated_database(tmp_path, database, said):
    project = Installation(tmp_path / "project")
    keys = {"SECRET_KEY": keyring.generate_key(), "FERNET_KEYS": keyring.generate_key()}
    done = project.run("manage.py", "check_expiry", **database, **keys)
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr and "synth-password" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_as_a_process_it_counts_an_empty_store_and_exits_with_0(installed):
    done = installed.run("manage.py", "check_expiry", "--format=json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["total"] == 0


def test_json_counts_every_bucket():
    cast()
    printed = check_json()
    assert printed["now"] == "2026-11-24T09:04:00.000Z"
    counts = {"broken": 1, "day": 1, "week": 1, "month": 1, "later": 1, "no_end": 2}
    assert printed["buckets"] == counts
    assert (printed["stale"], printed["total"]) == (1, 7)


def test_json_lists_the_broken_and_those_breaking_within_soonest_first():
    cast()
    assert [record["name"] for record in check_json()["records"]] == [
        "Broken Ltd",
        "Day Ltd",
        "Week Ltd",
    ]
    assert len(check_json("--within=1d")["records"]) == 2
    assert len(check_json("--within=30d")["records"]) == 4


def test_json_has_the_documented_keys():
    record = make(
        name="Ada",
        connection_id="c1",
        access_token=SECRET,
        refresh_token=SECRET,
        expiry_date=NOW + timedelta(hours=1, microseconds=1500),
        refresh_token_expires_date=NOW + timedelta(days=2),
    )
    assert check_json()["records"] == [
        {
            "id": str(record.pk),
            "connection_id": "c1",
            "name": "Ada",
            "integration": None,
            "bucket": "week",
            "breaks_at": "2026-11-26T09:04:00.000Z",
            "access_expires_at": "2026-11-24T10:04:00.001Z",
            "refresh_expires_at": "2026-11-26T09:04:00.000Z",
            "renewable": True,
        }
    ]


def test_summary_leaves_the_records_out():
    cast()
    assert "records" not in check_json("--summary")
    assert "Broken Ltd" not in check("--summary")[0]


def test_the_year_1_is_a_date():
    make(name="Old", key=SECRET, expiry_date=NOW.replace(year=1))
    text, code = check("--format=json")
    assert json.loads(text)["records"][0]["breaks_at"] == "0001-11-24T09:04:00.000Z"
    assert code == 2


def test_the_table_shows_counts_and_records():
    record = make(name="Ada", key=SECRET, ends_in=timedelta(hours=2))
    lines = check()[0].splitlines()
    assert lines[:2] == ["broken          0", "day             1"]
    assert lines[-2].split() == ["bucket", "breaks_at", "name", "integration", "renewable", "id"]
    expected = ["day", "2026-11-24T11:04:00.000Z", "Ada", "-", "no", str(record.pk)]
    assert lines[-1].split() == expected


def test_names_can_not_steer_the_terminal():
    make(name="evil\x1b[2Jname\r\n\u202efdp", key=SECRET, ends_in=timedelta(hours=2))
    text = check()[0]
    assert "evil\\u001b[2Jname\\u000d\\u000a\\u202efdp" in text
    assert not set(text) & set("\x1b\r\u202e")


def rows(*arguments):
    return list(csv.reader(StringIO(check("--format=csv", *arguments)[0], newline="")))


def test_csv_has_a_line_for_each_record():
    record = make(name='Ada, "A"', key=SECRET, ends_in=timedelta(hours=2))
    date = "2026-11-24T11:04:00.000Z"
    header, row = rows()
    assert header == [*check_json()["records"][0]]
    assert row == [str(record.pk), "", 'Ada, "A"', "", "day", date, date, "", "false"]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_csv_holds_no_formulas(name):
    make(name=name, key=SECRET, ends_in=timedelta(hours=2))
    assert rows()[1][2].startswith("'")


def test_csv_of_the_summary_has_a_line_for_each_count():
    cast()
    assert rows("--summary")[:2] == [["bucket", "count"], ["broken", "1"]]


def test_no_secret_is_loaded_or_printed():
    cast()
    with CaptureQueriesContext(connection) as queries:
        for format in ("table", "json", "csv"):
            assert SECRET not in check(f"--format={format}")[0]
    for query in queries.captured_queries:
        assert not [name for name in SEALED_COLUMNS if f'"{name}"' in query["sql"]]
