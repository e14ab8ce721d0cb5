"""A user who is limited to environments and integrations meets nothing else, on no path."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connections import dates, exporting, runs
from connections.models import ConnectionAuth, ImportRun, Integration, Scope, UserScope, scope_of

from .helpers import NOW, SECRET, Text, import_text, make, signed_in

pytestmark = pytest.mark.django_db

LIST = reverse("admin:connections_connectionauth_changelist")
EXPORT = {"shape": "connection", "naming": "snake", "format": "json", "secrets": "mask"}
ENVIRONMENTS = (None, "", "Production", "Test", "Stage")
TYPES = (None, "x", "y", "z")
INSIDE = {"integration_type": "x", "environment": "Test"}
HERS = Scope(("Test",), ("x",))


def limited(scope=HERS, group="Custodian", name="hers"):
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    UserScope.objects.create(
        user=user, environments=list(scope.environments), integrations=list(scope.integrations)
    )
    return user


def integrations():
    Integration.objects.bulk_create(
        [Integration(type=kind, name=f"Int {kind}") for kind in "xyz"], ignore_conflicts=True
    )


def page(record, name="change"):
    return reverse(f"admin:connections_connectionauth_{name}", args=[record.pk])


@pytest.fixture
def store():
    """One record inside and one outside the scope HERS."""
    integrations()
    return (
        make(name="Inside", connection_id="in", integration_id="x", environment="Test"),
        make(name="Outside", connection_id="out", integration_id="y", environment="Stage"),
    )


@pytest.fixture
def hers(store):
    return signed_in(limited())


# Every path leads to the same records

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
    assert response.context["horizon"][0]["count"] == cl.result_count == len(pks_of(response))
    return pks_of(response)


def by_search(client, records):
    return pks_of(client.get(LIST, {"q": "Record"}))


def by_integration(client, records):
    filters = (*filter(None, TYPES), "-")
    return set().union(*(pks_of(client.get(LIST, {"integration": kind})) for kind in filters))


def by_pages(name):
    def reached(client, records):
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
    assert sum(bucket["count"] for bucket in board["buckets"]) == board["total"]
    assert board["integrations"]["totals"]["total"]["count"] == board["total"]
    shown = {row["record"].pk for row in board["persons"]}
    assert len(shown) == board["total"]
    assert sum(bar["count"] for bar in board["days"]["bars"]) == board["total"]
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
            "auth": {"appId": "new", "name": record.name, "expiryDate": dates.iso(NOW)},
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
    counts = {row.type: row.in_use for row in shown.queryset}
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
    max_examples=6,
    phases=[Phase.generate],
    deadline=None,
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


# Page by page


def test_what_is_outside_is_as_if_it_were_not_there(hers, store):
    nothing = "019aa0aa-0000-7000-8000-000000000000"
    for name in ("change", "history", "delete"):
        unknown = hers.get(page(store[1], name).replace(str(store[1].pk), nothing))
        for method in (hers.get, hers.post):
            response = method(page(store[1], name))
            assert response.status_code == unknown.status_code == 404
            assert "Outside" not in response.text
    assert ConnectionAuth.objects.count() == 2


def test_no_page_names_anything_outside(hers, store):
    ImportRun.objects.create(
        user=User.objects.create_user("other"),
        file_name="theirs.json",
        size=1,
        sha256="",
        status="done",
        started_at=NOW,
        finished_at=NOW,
        result={"created": 1},
    )
    for url in (
        LIST,
        LIST + "?environment=Stage",
        LIST + "?integration=y",
        reverse("admin:index"),
        reverse("admin:connections_integration_changelist"),
        reverse("admin:connections_export"),
        reverse("admin:connections_import_history"),
        reverse("admin:connections_bin"),
        page(store[0]),
        page(store[0], "history"),
    ):
        response = hers.get(url)
        assert response.status_code == 200, url
        for word in ("Outside", "Stage", "Int y", "theirs"):
            assert f">{word}<" not in response.text.replace("theirs.json", "theirs"), (url, word)


def test_the_filters_offer_what_is_inside(hers):
    specs = {spec.parameter_name: spec for spec in hers.get(LIST).context["cl"].filter_specs}
    assert [name for name, _ in specs["environment"].lookup_choices] == ["Test"]
    assert [name for name, _ in specs["integration"].lookup_choices] == ["x"]


@pytest.mark.parametrize("change", [{"environment": "Stage"}, {"environment": ""}])
def test_a_record_is_not_moved_or_added_outside(hers, store, change):
    inside = store[0]
    form = hers.get(page(inside)).context["adminform"].form
    data = {name: form[name].value() or "" for name in form.fields}
    for url in (page(inside), reverse("admin:connections_connectionauth_add")):
        response = hers.post(url, {**data, "connection_id": "new", "integration": "x", **change})
        assert response.status_code == 200
        assert "outside" in response.text
    inside.refresh_from_db()
    assert inside.environment == "Test"
    assert ConnectionAuth.objects.count() == 2


def test_integrations_are_only_looked_at(hers, store):
    integration = Integration.objects.get(type="x")
    for name, status in (("change", 200), ("delete", 403), ("history", 200)):
        url = reverse(f"admin:connections_integration_{name}", args=[integration.pk])
        assert hers.get(url).status_code == status
    change = reverse("admin:connections_integration_change", args=[integration.pk])
    assert hers.post(change, {"type": "x", "name": "N"}).status_code == 403
    listed = hers.get(reverse("admin:connections_integration_changelist")).text
    for name in ("connections_integration_add", "connections_import_integrations"):
        assert hers.get(reverse(f"admin:{name}")).status_code == 403
        assert f'href="{reverse(f"admin:{name}")}"' not in listed


def test_the_list_asks_no_more_for_who_is_limited(hers, store, django_assert_max_num_queries):
    for number in range(20):
        make(name=f"N{number}", integration_id="x", environment="Test")
    with django_assert_max_num_queries(12):
        hers.get(LIST)


# Imports


def verdicts_of(entry, scope=HERS, **options):
    _, verdicts = import_text([entry], scope=scope, **options)
    return [(verdict.action, [issue.code for issue in verdict.issues]) for verdict in verdicts]


REFUSED = [("rejected", ["not_permitted"])]


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("on_conflict", ["update", "replace", "skip", "fail"])
def test_an_import_tells_nothing_of_what_is_outside(store, dry_run, on_conflict):
    outside = store[1]
    options = {"dry_run": dry_run, "on_conflict": on_conflict}
    same = json.loads(next(iter_export(outside)))
    for around in ({}, INSIDE, {"integration_type": "y", "environment": "Stage"}):
        for auth in (same["auth"], {"name": "New"}, {"key": "********"}):
            assert verdicts_of({"id": "out", **around, "auth": auth}, **options) == REFUSED
    # Neither does one that would be new, or that is there without an id.
    there = {"integration_type": "y", "environment": "Stage"}
    assert verdicts_of({"id": "new", **there, "auth": {"name": "A"}}, **options) == REFUSED
    assert verdicts_of({**there, "auth": same["auth"]}, **options) == REFUSED
    before = outside.version
    outside.refresh_from_db()
    assert (outside.version, outside.name) == (before, "Outside")
    assert ConnectionAuth.all_objects.count() == 2


def iter_export(record):
    records = ConnectionAuth.objects.filter(pk=record.pk)
    options = exporting.Options(shape="connection", format="ndjson")
    yield "".join(exporting.stream(records, options, exporting.Tally()))


def test_equal_content_outside_is_not_found(store):
    make(name="Twin", key=SECRET, integration_id="y", environment="Stage")
    ours = {**INSIDE, "auth": {"name": "Twin", "key": SECRET}}
    assert verdicts_of(ours, dry_run=True) == [("created", [])]
    nowhere = {"name": "Twin", "key": SECRET}
    assert verdicts_of(nowhere, Scope(("Production",)), dry_run=True) == [("created", [])]


def test_an_import_does_not_move_a_record_outside(store):
    entry = {"id": "in", "integration_type": "x", "environment": "Stage", "auth": {"name": "A"}}
    assert verdicts_of(entry) == REFUSED
    # What an update clears is Production, without an integration.
    assert verdicts_of({"id": "in", "auth": {"name": "A"}}) == REFUSED
    assert ConnectionAuth.objects.get(connection_id="in").environment == "Test"


def test_what_is_inside_is_imported(store):
    assert verdicts_of({"id": "in", **INSIDE, "auth": {"name": "B"}}) == [("updated", [])]
    assert verdicts_of({"id": "n", **INSIDE, "auth": {"name": "C"}}) == [("created", [])]


def test_a_run_acts_with_the_scope_that_its_user_has_then(store):
    user = limited()
    run = runs.keep_sealed(Spooled([{"id": "out", "auth": {"name": "B"}}]), user)
    ImportRun.objects.filter(pk=run.pk).update(
        status="running", options={"on_conflict": "update", "atomic": False, "allow_older": False}
    )
    result = runs.work(run.pk)
    assert (result.updated, result.rejected) == (0, 1)


class Spooled(Text):
    size, sha256 = 1, ""


# Who sets it


def test_a_superuser_sets_and_clears_the_limits_of_a_user(client):
    user = User.objects.create_user("u", is_staff=True)
    client.force_login(User.objects.create_superuser("root"))
    url = reverse("admin:auth_user_change", args=[user.pk])
    form = client.get(url).context["adminform"].form
    data = {"username": "u", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    assert "scope_environments" in form.fields
    limits = {"scope_environments": "Test\n Production ", "scope_integrations": "x"}
    assert client.post(url, {**data, **limits}).status_code == 302
    assert scope_of(User.objects.get(pk=user.pk)) == Scope(("Test", "Production"), ("x",))
    assert "Production</textarea>" in client.get(url).text
    assert client.post(url, data).status_code == 302
    assert scope_of(User.objects.get(pk=user.pk)) == Scope()


def test_nobody_else_sees_or_sets_them(store):
    user = limited(name="keeper")
    user.user_permissions.add(
        *Permission.objects.filter(codename__in=["change_user", "view_user"])
    )
    client = signed_in(user)
    url = reverse("admin:auth_user_change", args=[user.pk])
    assert "scope_" not in client.get(url).text
    data = {"username": "keeper", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    assert client.post(url, {**data, "scope_environments": ""}).status_code == 302
    assert scope_of(User.objects.get(pk=user.pk)) == HERS


def test_deleting_an_integration_widens_no_scope():
    integrations()
    user = limited(Scope((), ("z",)))
    Integration.objects.get(type="z").delete()
    make(name="A", integration_id="x")
    assert not ConnectionAuth.objects.visible_to(user).exists()


def test_a_superuser_has_no_limits(store):
    user = User.objects.create_superuser("root")
    UserScope.objects.create(user=user, environments=["Test"])
    assert ConnectionAuth.objects.visible_to(user).count() == 2
