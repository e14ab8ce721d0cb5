"""A preview of several files says what the import does, also where they share records."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.import_export import importer
from connections.import_export.importer import ImportOptions
from connections.json_format.stream import reader
from connections.json_format.stream.sources import FileSource
from connections.models import ConnectionAuth
from tests.support.stores import write

pytestmark = pytest.mark.django_db

AUTHS = [
    {"token": "synth-a"},
    {"token": "synth-b", "clientId": "b"},
    {"token": "synth-b", "client_id": "b"},  # another text of the same content
    {"token": "********"},
]
AROUND = [
    {},
    {"integration_type": "hubspot"},
    {"integration_type": "hubspot", "id": "one"},
    {"integration_type": "xero", "id": "one"},
    {"integration_type": "xero", "id": "two", "updated_at": "2026-01-01T00:00:00Z"},
    {"integration_type": "xero", "id": "two", "updated_at": "2026-02-01T00:00:00Z"},
]


def entry(around, auth):
    return {**around, "auth": auth} if around else auth


ENTRIES = [entry(around, auth) for around in AROUND for auth in AUTHS]


def outcome(paths, **options):
    verdicts = []
    importer.run_import(
        [FileSource(path) for path in paths],
        ImportOptions(**options),
        on_verdict=lambda verdict: verdicts.append(
            (verdict.file, verdict.record, verdict.action, [i.as_json() for i in verdict.issues])
        ),
    )
    return verdicts


@given(
    files=st.lists(st.lists(st.sampled_from(ENTRIES), max_size=6), min_size=1, max_size=3),
    policy=st.sampled_from(importer.CONFLICT_POLICIES),
    at_once=st.integers(1, 5),
)
def test_a_preview_says_what_the_import_does(tmp_path_factory, files, policy, at_once):
    folder = tmp_path_factory.mktemp("files")
    paths = [write(folder / f"{place}.json", entries) for place, entries in enumerate(files)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "ENTRIES_PER_PIECE", at_once)
        patch.setattr(importer, "PIECES_PER_TRANSACTION", 2)
        ConnectionAuth.all_objects.all().delete()
        foretold = outcome(paths, on_conflict=policy, dry_run=True)
        assert not ConnectionAuth.all_objects.exists()
        done = outcome(paths, on_conflict=policy)
    assert foretold == done


@given(entries=st.lists(st.sampled_from(ENTRIES), max_size=8), at_once=st.integers(1, 5))
def test_how_far_apart_entries_are_changes_nothing(tmp_path_factory, entries, at_once):
    path = write(tmp_path_factory.mktemp("files") / "in.json", entries)
    found = []
    for pieces in (at_once, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader, "ENTRIES_PER_PIECE", pieces)
            ConnectionAuth.all_objects.all().delete()
            found.append(outcome([path]))
    assert found[0] == found[1], json.dumps(entries)


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
@pytest.mark.parametrize("together", [1, 8])
def test_content_that_the_run_has_replaced_is_no_longer_there(
    tmp_path, monkeypatch, at_once, together
):
    monkeypatch.setattr(reader, "ENTRIES_PER_PIECE", at_once)
    monkeypatch.setattr(importer, "PIECES_PER_TRANSACTION", together)
    old = {"token": "synth-a"}
    outcome([write(tmp_path / "before.json", [{"id": "one", "auth": old}])])
    entries = [{"id": "two", "auth": {}}, {"id": "one", "auth": {"token": "synth-b"}}, old]
    path = write(tmp_path / "in.json", entries)
    foretold = outcome([path], dry_run=True)
    assert foretold == outcome([path])
    assert [action for _, _, action, _ in foretold] == ["created", "updated", "created"]


@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("at_once", [1, 100])
@pytest.mark.parametrize("names", [["in.ndjson"], ["one.ndjson", "two.ndjson"]])
@pytest.mark.parametrize("around", [{}, {"integration_type": "hubspot"}])
def test_another_spelling_of_the_same_content_repeats_it(
    tmp_path, monkeypatch, is_stored, at_once, names, around
):
    monkeypatch.setattr(reader, "ENTRIES_PER_PIECE", at_once)
    monkeypatch.setattr(importer, "PIECES_PER_TRANSACTION", 1)
    camel = entry(around, {"token": "synth-a", "clientId": "b"})
    snake = entry(around, {"client_id": "b", "token": "synth-a"})
    if is_stored:
        outcome([write(tmp_path / "before.ndjson", [camel])])
    shares = [[camel, snake]] if len(names) == 1 else [[camel], [snake]]
    paths = [write(tmp_path / name, share) for name, share in zip(names, shares, strict=True)]
    foretold = outcome(paths, dry_run=True)
    assert foretold == outcome(paths)
    assert [action for _, _, action, _ in foretold] == [
        "unchanged" if is_stored else "created",
        "unchanged",
    ]
    assert [[issue["code"] for issue in issues] for *_, issues in foretold] == [[], ["duplicate"]]


@pytest.mark.parametrize("at_once", [1, 100])
def test_what_is_added_around_stored_content_does_not_hide_it(tmp_path, monkeypatch, at_once):
    auth = {"token": "synth-a"}
    around = {"integration_type": "hubspot", "auth": auth}
    outcome([write(tmp_path / "before.json", [around])])
    monkeypatch.setattr(reader, "ENTRIES_PER_PIECE", at_once)
    monkeypatch.setattr(importer, "PIECES_PER_TRANSACTION", 1)
    found = outcome([write(tmp_path / "in.json", [{**around, "futureKey": 1}, auth])])
    assert [action for _, _, action, _ in found] == ["updated", "unchanged"]
