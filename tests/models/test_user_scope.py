"""A user who is limited to environments and integrations meets nothing else, page or import."""

import json

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from connections.jobs import import_job
from connections.models import ConnectionAuth, ImportRun, Integration, Scope, UserScope, scope_of
from tests.support.helpers import NOW, SECRET, export_text, import_text, make, signed_in
from tests.support.import_form import upload
from tests.support.limited_users import HERS, integrations, limited
from tests.support.record_form import LIST, page

pytestmark = pytest.mark.django_db
INSIDE = {"integration_type": "x", "environment": "Test"}


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
    records = ConnectionAuth.objects.filter(pk=outside.pk)
    same = json.loads(export_text(records, shape="connection", format="ndjson"))
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


def test_a_run_acts_with_the_scope_that_its_user_has_then(hers, launched):
    hers.post(upload(hers, [{"id": "out", "auth": {"name": "B"}}]).url)
    result = import_job.execute(launched[0])
    assert (result.updated, result.rejected) == (0, 1)


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
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="auth"))
    client = signed_in(user)
    url = reverse("admin:auth_user_change", args=[user.pk])
    assert "scope_" not in client.get(url).text
    data = {"username": "keeper", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    assert client.post(url, {**data, "scope_environments": ""}).status_code == 403
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
