"""Every path of a limited user leads to the same records: those of the scope."""

import json
from datetime import timedelta
from unittest import mock

import pytest
import time_machine
from django.contrib.auth.models import User
from django.template.base import Template
from django.urls import reverse
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connections.json_format import serialize
from connections.models import ConnectionAuth, Scope, scope_of
from tests.support.helpers import NOW, import_text, make, signed_in
from tests.support.limited_users import TYPES, integrations, limited
from tests.support.record_form import LIST, page
from tests.support.thorough import is_thorough

pytestmark = pytest.mark.django_db
EXPORT = {"shape": "connection", "naming": "snake", "format": "json", "secrets": "mask"}
ENVIRONMENTS = (None, "", "Production", "Test", "Stage")
scopes = st.builds(
    Scope,
    st.lists(st.sampled_from(["Production", "Test", "Stage", "Nowhere"]), max_size=2).map(tuple),
    st.lists(st.sampled_from(["x", "y", "z", "gone"]), max_size=2).map(tuple),
)
places = st.lists(
    st.tuples(st.sampled_from(TYPES), st.sampled_from(ENVIRONMENTS)), min_size=1, max_size=8
)


def pks_of(response):
    return {record.pk for record in response.context["cl"].queryset}


def by_list(client, records):
    response = client.get(LIST)
    cl = response.context["cl"]
    assert response.context["bucket_tiles"][0].count == cl.result_count == len(pks_of(response))
    return pks_of(response)


def by_search(client, records):
    return pks_of(client.get(LIST, {"q": "Record"}))


def by_integration(client, records):
    filters = (*filter(None, TYPES), "-")
    return set().union(*(pks_of(client.get(LIST, {"integration": kind})) for kind in filters))


def by_pages(name):
    def reached(client, records):
        with mock.patch.object(Template, "render", lambda *_: ""):  # only the answer counts
            answers = {record.pk: client.get(page(record, name)).status_code for record in records}
        assert {*answers.values()} <= {200, 404}
        return {pk for pk, status in answers.items() if status == 200}

    return reached


def names_in(response):
    text = b"".join(response.streaming_content)
    return {entry["auth"]["name"] for entry in json.loads(text)}


def by_export(**query):
    def reached(client, records):
        data = {**EXPORT, **{key: value(records) for key, value in query.items()}}
        found = names_in(client.post(reverse("admin:connections_export"), data))
        return {record.pk for record in records if record.name in found}

    return reached


def by_dashboard(client, records):
    board = client.get(reverse("admin:index")).context["dashboard"]
    assert sum(bucket.count for bucket in board.buckets) == board.total
    assert board.integrations.totals.total.count == board.total
    shown = {row.record.pk for row in board.needing_person}
    assert len(shown) == board.total
    assert sum(bar.count for bar in board.days.bars) == board.total
    return shown


def by_action(client, records):
    """Select all and bin them, then take them out again by their buttons in the bin."""
    everything = {"action": "move_to_bin", "select_across": "1", "index": "0"}
    chosen = {"_selected_action": [str(record.pk) for record in records]}
    client.post(client.post(LIST, {**everything, **chosen}).url, {"confirm": "1"})
    binned = {record.pk for record in ConnectionAuth.all_objects.binned()}
    listed = client.get(reverse("admin:connections_bin")).context["rows"]
    assert {record.pk for record, _ in listed} == binned
    ConnectionAuth.all_objects.update(binned_at=NOW)
    restored = {
        record.pk
        for record in records
        if client.post(reverse("admin:connections_bin_restore", args=[record.pk])).status_code
        == 302
    }
    ConnectionAuth.all_objects.update(binned_at=None)
    assert restored == binned
    return binned


def by_import(client, records):
    """Those that an import with the user's permissions updates."""
    user = User.objects.get(pk=client.session["_auth_user_id"])
    entries = [
        {
            "id": record.connection_id,
            "integration_type": record.integration_id,
            "environment": record.environment,
            "auth": {"appId": "new", "name": record.name, "expiryDate": serialize.iso(NOW)},
        }
        for record in records
    ]
    import_text(entries, scope=scope_of(user))
    changed = ConnectionAuth.objects.filter(app_id="new")
    pks = {record.pk for record in changed}
    changed.update(app_id=None)
    return pks


def by_counts(client, records):
    """What the page of integrations counts, spread over those with an integration."""
    shown = client.get(reverse("admin:connections_integration_changelist")).context["cl"]
    counts = {row.type: row.connection_count for row in shown.queryset}
    visible = by_list(client, records)
    for kind in filter(None, TYPES):
        expected = sum(r.pk in visible for r in records if r.integration_id == kind)
        assert counts.get(kind, 0) == expected
    return visible


PATHS = {
    "list": by_list,
    "search": by_search,
    "filter": by_integration,
    "change": by_pages("change"),
    "history": by_pages("history"),
    "delete": by_pages("delete"),
    "export": by_export(),
    "export by id": by_export(ids=lambda records: ",".join(str(r.pk) for r in records)),
    "export by filter": by_export(query=lambda records: "q=Record"),
    "dashboard": by_dashboard,
    "action": by_action,
    "import": by_import,
    "counts": by_counts,
}


@settings(
    max_examples=30 if is_thorough() else 5,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(places=places, scope=scopes)
@time_machine.travel(NOW, tick=False)
def test_every_path_reaches_exactly_the_scope(db, places, scope):
    ConnectionAuth.all_objects.all().delete()
    User.objects.all().delete()
    integrations()
    records = [
        make(
            name=f"Record {number}",
            connection_id=f"c-{number}",
            integration_id=kind,
            environment=environment,
            expiry_date=NOW + timedelta(days=3),
        )
        for number, (kind, environment) in enumerate(places)
    ]
    client = signed_in(limited(scope))
    expected = {
        record.pk
        for record, (kind, environment) in zip(records, places, strict=True)
        if (not scope.environments or (environment or "Production") in scope.environments)
        and (not scope.integrations or kind in scope.integrations)
    }
    for name, reached in PATHS.items():
        assert reached(client, records) == expected, name
