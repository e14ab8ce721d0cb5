"""`seed_demo`: what the made-up connections are like, and that they keep to themselves."""

import json
from collections import Counter
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command

from connections.expiry import deadlines
from connections.json_format import entry as json_format_entry
from connections.json_format import schema
from connections.management import demo
from connections.management.commands.seed_demo import Command
from connections.models import ConnectionAuth, Integration
from tests.support.helpers import NOW, make

pytestmark = pytest.mark.django_db


def seed(*arguments):
    out = StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("seed_demo", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue())


def entries(count):
    return [demo.entry(number, NOW) for number in range(count)]


def test_every_entry_is_accepted_without_a_warning():
    for entry in entries(1000):
        assert json_format_entry.read_entry(entry).issues == []


def test_entries_depend_only_on_the_moment():
    assert entries(40) == entries(50)[:40]


def test_ids_are_marked_and_secrets_are_synthetic():
    for entry in entries(300):
        assert entry["id"].startswith("demo_")
        for name in {*schema.SEALED_FIELDS} & {*entry["auth"]} - {"pem", "emails", "meta"}:
            values = entry["auth"][name]
            for value in values if isinstance(values, list) else [values]:
                assert value.startswith(("synth-", "eyJ", "-----BEGIN PRIVATE KEY-----"))


def test_addresses_lead_nowhere():
    for entry in entries(300):
        for name in {*schema.ENDPOINT_FIELDS} & {*entry["auth"]}:
            assert entry["auth"][name].split("/")[2].endswith(".example")


def test_names_come_in_several_scripts():
    names = "".join(entry["auth"]["name"] for entry in entries(500))
    for letter in "aßłПΖ株한شמग":
        assert letter in names


def test_it_stores_500_unless_told_otherwise():
    assert seed()["created"] == 500
    assert ConnectionAuth.objects.count() == 500


def test_a_small_demo_has_every_bucket_every_kind_and_a_stale_one():
    assert seed("--count=15")["created"] == 15
    counts = ConnectionAuth.objects.bucket_counts(NOW)
    assert all(counts[name] for name in (*deadlines.BUCKETS, "stale"))
    kinds = set(ConnectionAuth.objects.values_list("auth_kind", flat=True))
    assert kinds == {kind for kind, _ in ConnectionAuth.AUTH_KINDS} - {"empty"}


def test_a_large_demo_has_realistic_proportions():
    seed()
    counts = ConnectionAuth.objects.bucket_counts(NOW)
    sizes = [counts[name] for name in ("day", "broken", "week", "month", "no_end", "later")]
    assert sizes == sorted(sizes)
    assert 3 <= counts["broken"] <= 20
    assert 5 <= counts["stale"] <= 40
    sources = Counter(ConnectionAuth.objects.values_list("expiry_source", flat=True))
    assert set(sources) == {"", "expiry_date", "expires_in", "jwt", "certificate"}
    environments = set(ConnectionAuth.objects.values_list("environment", flat=True))
    assert {None, "Sandbox"} < environments
    assert ConnectionAuth.objects.filter(is_paused=True).exists()
    assert Integration.objects.count() == 14


def test_other_credentials_have_labels():
    seed("--count=15")
    record = ConnectionAuth.objects.get(integration="ukg")
    labels = record.integration.token_names
    assert labels == ["User name", "Password", "Tenant"]
    assert len(record.other_auth_info.reveal()) == len(labels)


def test_seeding_again_brings_the_dates_up_to_now_and_adds_what_is_missing():
    seed("--count=20")
    again = seed("--count=30")
    assert (again["created"], again["updated"], again["unchanged"]) == (10, 0, 20)


@pytest.mark.parametrize("fields", [{"connection_id": "real"}, {}, {"binned_at": NOW}])
def test_it_refuses_where_other_records_are_stored(fields):
    make(name="Real Ltd", **fields)
    with pytest.raises(CommandError, match="other connections") as refusal:
        seed()
    assert refusal.value.returncode == 2
    assert ConnectionAuth.all_objects.count() == 1
    assert Integration.objects.count() == 0


def test_clear_removes_the_demo_and_the_integrations_that_only_it_used():
    seed("--count=20")
    make(name="Real Ltd", integration_id="xero")
    Integration.objects.create(type="mine")
    assert seed("--clear") == {"deleted": 20, "integrations_deleted": 13}
    assert [record.name for record in ConnectionAuth.all_objects.all()] == ["Real Ltd"]
    assert {kind.type for kind in Integration.objects.all()} == {"xero", "mine"}


def test_clear_removes_what_is_in_the_bin_too():
    seed("--count=3")
    ConnectionAuth.objects.update(binned_at=NOW)
    assert seed("--clear")["deleted"] == 3


def test_clear_of_nothing_is_fine():
    assert seed("--clear") == {"deleted": 0, "integrations_deleted": 0}


@pytest.mark.parametrize(
    "arguments", [["--count=0"], ["--count=x"], ["--count=1000001"], ["--count=5", "--clear"]]
)
def test_bad_arguments_are_refused_with_exit_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        Command().run_from_argv(["manage.py", "seed_demo", *arguments])
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
