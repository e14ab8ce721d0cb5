"""Secrets that several records share, without opening or showing any."""

import pytest
from django.utils import timezone

from connections.models import ConnectionAuth
from connections.records import secret_search
from tests.support.helpers import SECRET, make

pytestmark = pytest.mark.django_db


def test_shared_secrets_are_counted_and_not_shown():
    for number in range(3):
        make(name=f"R{number}", refresh_token=SECRET)
    for number in range(2):
        make(name=f"C{number}", client_secret="synth-shared-client", key=f"synth-own-{number}")
    make(name="twice", key="synth-both", token="synth-both")
    groups = list(secret_search.iter_shared_holders())
    assert [[h.record.name for h in group] for group in groups] == [
        ["R0", "R1", "R2"],
        ["C0", "C1"],
    ]
    assert [len(group) for group in secret_search.iter_shared_holders("refresh_token")] == [3]
    assert list(secret_search.iter_shared_holders("pem")) == []


def test_groups_of_shared_secrets_name_some_of_their_records(monkeypatch):
    monkeypatch.setattr(secret_search, "MAX_RECORDS_PER_SECRET", 2)
    for number in range(3):
        make(name=f"R{number}", refresh_token=SECRET)
    for number in range(2):
        make(name=f"C{number}", client_secret="synth-c", key="synth-c", token=f"own-{number}")
    make(name="twice", key="synth-both", token="synth-both")
    binned = make(client_secret="synth-c")
    ConnectionAuth.all_objects.filter(pk=binned.pk).update(binned_at=timezone.now())
    first, second = secret_search.shared_secrets(secret_search.shared_numbers())
    assert [str(record) for record in first.records] == ["R0", "R1"]
    assert (first.count, first.others, first.fields) == (3, 1, ["refreshToken"])
    assert (second.count, second.others, second.fields) == (2, 0, ["clientSecret", "key"])
    assert [
        group.count
        for group in secret_search.shared_secrets(
            secret_search.shared_numbers(field="key"), field="key"
        )
    ] == [2]
    assert list(secret_search.shared_numbers(field="pem")) == []
