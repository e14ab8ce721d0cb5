"""Every change to the audit log behind its back is found and named."""

import json
import random
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import F, QuerySet

from benchmarks.harness import wait
from connections.audit import log as audit_log
from connections.audit import verify
from connections.models import AccessEvent, StoredKey
from tests.support.stores import VENDORS
from tests.support.thorough import is_thorough

pytestmark = pytest.mark.django_db
SIZE = 25
TAMPERINGS = 1000 if is_thorough() else 100


@pytest.fixture
def log():
    """A log of SIZE entries in a database that refuses nothing. Yields its head."""
    for number in range(1, SIZE + 1):
        audit_log.log_event("export", user=f"user {number}", count=number, fields=["token"])
    with connection.cursor() as cursor:
        on = " ON connections_accessevent" if connection.vendor == "postgresql" else ""
        for event in ("update", "delete"):
            cursor.execute(f"DROP TRIGGER IF EXISTS audit_no_{event}{on}")
    return head()


def rows(**conditions):
    """Entries that can be changed, as somebody with access to the database can."""
    return QuerySet(AccessEvent).filter(**conditions)


def head():
    result = verify.VerifyResult()
    assert not list(verify.verify(result))
    return result.head


def named(anchor=None):
    """The numbers of the entries that verify() finds to be bad."""
    faults = verify.verify(verify.VerifyResult(), anchor)
    return {n for fault in faults for n in range(fault["entry"], fault["until"] + 1)}


@pytest.mark.parametrize(
    "change",
    [
        "mac = 'é'",
        "user = CAST(x'ff' AS TEXT)",
        "at = 'no date'",
        "reason = x'ff'",
        "mac = x'ff'",
        "count = 'many'",
    ],
)
def test_an_entry_with_values_that_no_program_would_write_is_named(log, change):
    if connection.vendor != "sqlite" and change != "mac = 'é'":
        pytest.skip("PostgreSQL does not take that.")
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE connections_accessevent SET {change} WHERE id = 7")
    assert named() == {7}


OTHERS = {
    "at": F("at") + timedelta(microseconds=1),
    "action": "import",
    "user": "mallory",
    "address": "192.0.2.66",
    "record_type": "user",
    "record_id": "7",
    "record_name": "Other",
    "fields": [],
    "count": 0,
    "reason": "none",
    "result": "failed",
    "previous": "0" * 64,
    "mac": "0" * 64,
}


def edit(chance):
    number = chance.randint(1, SIZE)
    name = chance.choice(list(OTHERS))
    rows(id=number).update(**{name: OTHERS[name]})
    return {number}


def delete(chance):
    """Remove some entries, anywhere but at the end."""
    numbers = set(chance.sample(range(1, SIZE), chance.randint(1, 3)))
    rows(id__in=numbers).delete()
    return numbers


def swap(chance):
    one, other = chance.sample(range(1, SIZE + 1), 2)
    rows(id=one).update(id=SIZE * 2)
    rows(id=other).update(id=one)
    rows(id=SIZE * 2).update(id=other)
    return {one, other}


def insert(chance):
    """Put a copy of an entry at the end, or in the place of one that is removed."""
    copy = rows().get(id=chance.randint(2, SIZE))
    place = chance.choice([SIZE + 1, copy.id - 1])
    rows(id=place).delete()
    copy.pk, copy._state.adding = place, True
    copy.save()
    return {place}


def cut(chance):
    first = chance.randint(1, SIZE)
    rows(id__gte=first).delete()
    return {*range(first, SIZE + 1)}


def cut_and_go_on(chance):
    """Remove the last entries and write new ones in the regular way."""
    first = chance.randint(1, SIZE)
    rows(id__gte=first).delete()
    for _ in range(first, SIZE + 2):
        audit_log.log_event("export", user="mallory")
    return {SIZE}  # only the anchor shows up to which entry


WAYS = (edit, edit, delete, swap, insert, cut, cut_and_go_on)


def test_every_kind_of_tampering_is_found_and_named(log):
    chance = random.Random(4)
    for _ in range(TAMPERINGS):
        way = chance.choice(WAYS)
        with transaction.atomic():
            expected = way(chance)
            assert named(log) == expected, way.__name__
            transaction.set_rollback(True)
    assert named(log) == set()


def test_an_emptied_log_is_found_without_an_anchor(log):
    rows().delete()
    assert named() == {1}


def test_entries_restored_after_others_were_written_do_not_link(log):
    removed = list(rows(id=SIZE))
    rows(id__gte=SIZE - 1).delete()
    audit_log.log_event("export", user="mallory")
    removed[0]._state.adding = True
    removed[0].save()
    assert named() == {SIZE}


def test_a_lost_key_is_reported_and_no_new_one_is_made(log):
    StoredKey.objects.filter(name="audit").delete()
    with pytest.raises(CommandError, match="key of the audit log is gone") as caught:
        command()
    assert caught.value.returncode == 2
    assert not StoredKey.objects.filter(name="audit").exists()


# The command


def command(*arguments):
    """Run verify_audit; return its exit status, stdout and stderr."""
    out, err, status = StringIO(), StringIO(), 0
    try:
        call_command("verify_audit", *map(str, arguments), stdout=out, stderr=err)
    except SystemExit as left:
        status = left.code
    return status, out.getvalue(), err.getvalue()


def test_the_command_reports_a_sound_log(log):
    assert command() == (0, f"{SIZE} entries: whole, and as it was written.\n", "")
    status, out, _ = command("--json")
    result = json.loads(out)
    assert result.pop("seconds") >= 0
    assert (status, result) == (0, {"checked": SIZE, "head": log, "bad": [], "bad_count": 0})


def test_the_command_names_bad_entries(log):
    rows(id=3).update(user="mallory")
    rows(id__in=(7, 8)).delete()
    status, out, err = command()
    assert status == 1
    assert out == f"{SIZE - 2} entries: 2 faults.\n"
    assert err.splitlines() == [
        "Entry 3: Not as it was written: changed, swapped with another, or put in. [edited]",
        "Entries 7 to 8: Removed. [missing]",
    ]
    status, out, _ = command("--json")
    bad = [(fault["entry"], fault["until"], fault["code"]) for fault in json.loads(out)["bad"]]
    assert (status, bad) == (1, [(3, 3, "edited"), (7, 8, "missing")])


def test_an_anchor_is_printed_stored_and_compared(log, tmp_path):
    anchor = tmp_path / "anchor.json"
    anchor.write_text(command("--head")[1])
    audit_log.log_event("export")
    assert command("--anchor", anchor)[0] == 0
    rows(id__gte=SIZE).delete()
    assert command()[0] == 0
    status, _, err = command("--anchor", anchor)
    assert (status, err) == (1, f"Entry {SIZE}: Cut off from the end. [cut]\n")


def test_a_bad_log_has_no_anchor(log):
    rows(id=3).update(user="mallory")
    status, out, _ = command("--head")
    assert (status, out) == (1, "")


@pytest.mark.parametrize("content", [None, "", "[]", "7", '{"entry": "1", "mac": "x"}'])
def test_a_malformed_anchor_is_refused(tmp_path, content):
    anchor = tmp_path / "anchor.json"
    if content is not None:
        anchor.write_text(content)
    with pytest.raises(CommandError) as caught:
        command("--anchor", anchor)
    assert caught.value.returncode == 2


# Concurrent writers

WRITE = """
import threading
from django.db import connection
from connections.audit import log
def write():
    for _ in range({each}):
        log.log_event("export", user="writer")
    connection.close()
threads = [threading.Thread(target=write) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize("vendor", VENDORS)
def test_concurrent_writers_never_fork_the_chain(stores, vendor):
    store = stores.make(vendor)
    before = store.run("verify_audit", "--json").json["checked"]
    each = 20
    started = [store.start("shell", "-v", "0", "-c", WRITE.format(each=each)) for _ in range(2)]
    for process in started:
        outcome = wait(process)
        assert outcome.code == 0, outcome.err
        assert len(outcome.log) == 3 * each and outcome.err == outcome.out == ""
    result = store.run("verify_audit", "--json").json
    assert (result["checked"], result["bad"]) == (before + 2 * 3 * each, [])
