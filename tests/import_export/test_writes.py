"""What an import writes, when it writes nothing, and what it writes beside another one."""

import json

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from connections.import_export import importer, rows
from connections.models import ConnectionAuth, Integration
from tests.support.concurrent_import import FULL, connection, store, table
from tests.support.helpers import NOW, import_text

pytestmark = pytest.mark.django_db


def test_a_file_that_is_refused_stores_nothing_however_late_its_fault():
    good = json.dumps([{"token": str(n)} for n in range(1200)])
    result, verdicts = import_text(good[:-1] + ",}")
    assert result.error.code == "json5"
    assert (result.read, verdicts) == (0, [])
    assert not ConnectionAuth.all_objects.exists()


def test_atomic_stores_nothing_if_one_record_is_refused():
    entries = [{"token": str(n)} for n in range(700)] + [{"token": 5}]
    result, _ = import_text(entries, atomic=True)
    assert result.error.code == "nothing_stored"
    assert (result.created, result.skipped, result.rejected, result.read) == (0, 700, 1, 701)
    assert not ConnectionAuth.all_objects.exists()
    assert not Integration.objects.exists()
    result, _ = import_text(entries[:-1], atomic=True)
    assert (result.error, result.created) == (None, 700)


@pytest.mark.parametrize("policy", importer.CONFLICT_POLICIES)
@pytest.mark.parametrize("atomic", [False, True])
def test_a_dry_run_says_the_same_and_writes_nothing(policy, atomic):
    store(FULL, {"token": "stored"})
    binned = store(connection({"token": "binned"}) | {"id": "binned"})
    ConnectionAuth.all_objects.filter(pk=binned.pk).update(binned_at=NOW)
    entries = [
        {"token": "stored"},
        {**FULL, "auth": {**FULL["auth"], "accessToken": "new"}},
        {**FULL, "id": "new", "integrationType": "brand-new"},
        {"token": "twice"},
        {"token": "twice"},
        connection({"token": "binned"}) | {"id": "binned"},
    ]
    if not atomic:
        entries.append({"token": 5})
    before, integrations = table(), Integration.objects.count()
    with CaptureQueriesContext(database) as queries:
        dry, said = import_text(entries, dry_run=True, on_conflict=policy)
    writes = [q["sql"] for q in queries if not q["sql"].lstrip().upper().startswith("SELECT")]
    assert writes == []
    assert table() == before
    assert Integration.objects.count() == integrations
    real, done = import_text(entries, on_conflict=policy)
    assert [(v.action, v.issues, v.fields) for v in said] == [
        (v.action, v.issues, v.fields) for v in done
    ]
    assert dry.as_json() | {"seconds": 0, "dry_run": 0} == real.as_json() | {
        "seconds": 0, "dry_run": 0,
    }  # fmt: skip


def test_integrations_that_are_met_are_created_and_kept():
    Integration.objects.create(type="hubspot", name="Our HubSpot")
    store(
        connection({"token": "a"}, integrationName="HubSpot") | {"id": "1"},
        {"integration_type": "my_crm-2", "auth": {"token": "b"}},
        {"integration_type": "named", "integration_name": "Named Ltd", "auth": {"token": "c"}},
    )
    assert dict(Integration.objects.values_list("type", "name")) == {
        "hubspot": "Our HubSpot",
        "my_crm-2": "My crm 2",
        "named": "Named Ltd",
    }


def test_a_batch_that_loses_a_race_is_judged_again(monkeypatch):
    """Another import stores the same between our look and our write."""
    insert = rows.insert
    raced = []

    def race(new):
        if not raced:
            raced.append(True)
            import_text([{"integration_type": "raced", "auth": {"token": "a"}}])
        insert(new)

    monkeypatch.setattr(rows, "insert", race)
    entries = [{"integration_type": "raced", "auth": {"token": name}} for name in "ab"]
    _result, verdicts = import_text(entries)
    assert [v.action for v in verdicts] in (["unchanged", "created"], ["created", "created"])
    assert ConnectionAuth.objects.count() == 2
