"""Which entries are one record: in a file, without an id, and in the bin."""

import json

import pytest

from connections.import_export import importer
from connections.jobs import integrity
from connections.models import ConnectionAuth, Integration
from tests.support.concurrent_import import FULL, connection, store, table, verdict_of
from tests.support.helpers import NOW, Text, codes, export_text, import_text

pytestmark = pytest.mark.django_db


def test_an_identical_entry_twice_is_one_record_and_a_warning():
    for entry in (FULL, {"token": "a"}, connection()):
        ConnectionAuth.all_objects.all().delete()
        _result, verdicts = import_text([entry, {"key": "other"}, entry])
        assert [v.action for v in verdicts] == ["created", "created", "unchanged"]
        assert codes(verdicts)[-1] == "duplicate"
        assert ConnectionAuth.objects.count() == 2


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("with_id", [False, True])
def test_duplicates_are_found_however_far_apart(with_id, dry_run):
    one, two = {"accessToken": "a", "appId": "b"}, {"app_id": "b", "access_token": "a"}
    if with_id:
        one, two = connection(one), connection(two)
    between = [{"token": str(n)} for n in range(1100)]
    result, verdicts = import_text([one, *between, two], dry_run=dry_run)
    assert (result.created, result.unchanged, result.warnings) == (1101, 1, 1)
    assert codes(verdicts) == ["duplicate"]


def test_different_records_with_one_id_are_all_refused():
    entries = [connection({"token": str(n // 2)}) for n in range(4)]
    _result, verdicts = import_text([*entries, {"token": "fine"}])
    assert [v.action for v in verdicts] == ["rejected"] * 4 + ["created"]
    assert set(codes(verdicts)) == {"same_id_twice"}
    assert {i.path for v in verdicts for i in v.issues} == {"id"}


def test_different_records_with_one_id_are_found_however_far_apart():
    between = [{"token": str(n)} for n in range(1100)]
    entries = [connection({"token": "x"}), *between, connection({"token": "y"})]
    result, _ = import_text(entries)
    assert (result.created, result.rejected) == (1100, 2)


def test_a_refused_entry_does_not_stand_in_the_way_of_a_good_one_with_its_id():
    _result, verdicts = import_text([connection({"token": 5}), connection({"token": "a"})])
    assert [v.action for v in verdicts] == ["rejected", "created"]


def test_the_same_id_in_two_files_is_an_update():
    sources = [Text([connection({"token": "a"})]), Text([connection({"token": "b"})])]
    result = importer.run_import(sources)
    assert (result.created, result.updated) == (1, 1)


def test_entries_without_an_id_have_no_identity_but_their_content():
    store({"token": "a", "expiresIn": 1})
    _result, verdicts = import_text([{"token": "a", "expiresIn": 1}, {"token": "a"}])
    assert [v.action for v in verdicts] == ["unchanged", "created"]


def test_without_an_id_no_auth_object_is_an_empty_one():
    bare, empty = {"integrationType": "hubspot"}, {"integrationType": "salesforce", "auth": {}}
    for action in ("created", "unchanged"):
        _result, verdicts = import_text([bare, empty])
        assert [v.action for v in verdicts] == [action] * 2
        assert not integrity.verify().faults
    assert verdict_of({**bare, "auth": {}}).action == "unchanged"
    again = {"integration_type": "salesforce", "isPaused": True}
    assert verdict_of(again).action == "unchanged"


@pytest.mark.parametrize("dry_run", [True, False])
def test_another_spelling_of_a_connection_without_an_auth_object_is_a_duplicate(dry_run):
    spellings = [{"integration_type": "hubspot"}, {"integrationType": "hubspot", "auth": None}]
    _result, verdicts = import_text(spellings, dry_run=dry_run)
    assert [v.action for v in verdicts] == ["created", "unchanged"]
    assert codes(verdicts) == ["duplicate"]


def test_equal_content_in_another_integration_or_environment_is_another_record():
    auth = {"token": "a"}
    places = [
        {"integration_type": "hubspot", "auth": auth},
        {"integration_type": "salesforce", "auth": auth},
        {"integration_type": "hubspot", "environment": "Sandbox", "auth": auth},
    ]
    result, _ = import_text(places)
    assert result.created == 3
    result, _ = import_text(places)
    assert result.unchanged == 3


def test_an_auth_object_alone_names_no_place_and_is_unchanged_wherever_its_content_is():
    store(FULL)
    before = table()
    verdict = verdict_of(json.loads(export_text())[0])
    assert verdict.action == "unchanged"
    assert table() == before


def test_unknown_keys_of_a_connection_are_compared_too():
    store(FULL)
    assert verdict_of({**FULL, "futureToo": 2}).action == "updated"
    less = {name: value for name, value in FULL.items() if name != "futureToo"}
    assert verdict_of(less).action == "unchanged"
    assert verdict_of(less, on_conflict="replace").action == "updated"
    assert json.loads(export_text(shape="connection")) == [less]


def test_unknown_keys_around_content_that_is_stored_are_added_to_it():
    store({"integration_type": "hubspot", "auth": {"token": "a"}})
    more = {"integrationType": "hubspot", "auth": {"token": "a"}, "newKey": 1}
    assert verdict_of(more).action == "updated"
    assert verdict_of(more).action == "unchanged"
    assert json.loads(export_text(shape="connection")) == [more]


def test_integration_and_environment_are_for_entries_that_name_none():
    import_text(
        [
            {"token": "a"},
            {"integration_type": "own", "environment": "Own", "auth": {"token": "b"}},
        ],
        integration="default",
        environment="Test",
    )
    found = ConnectionAuth.objects.order_by("id").values_list("integration_id", "environment")
    assert list(found) == [("default", "Test"), ("own", "Own")]
    assert Integration.objects.count() == 2


@pytest.mark.parametrize("entry", [FULL, {"token": "a"}])
def test_a_record_in_the_bin_is_restored_with_a_warning(entry):
    record = store(entry)
    ConnectionAuth.all_objects.update(binned_at=NOW)
    verdict = verdict_of(entry)
    assert verdict.action == "updated"
    assert codes([verdict])[-1] == "restored"
    record.refresh_from_db()
    assert record.binned_at is None
    assert ConnectionAuth.all_objects.count() == 1
    assert verdict_of(entry).action == "unchanged"


def test_skip_and_fail_leave_the_bin_alone():
    store(FULL)
    ConnectionAuth.all_objects.update(binned_at=NOW)
    assert verdict_of(FULL, on_conflict="skip").action == "skipped"
    assert "exists" in codes([verdict_of(FULL, on_conflict="fail")])
    assert not ConnectionAuth.objects.exists()
