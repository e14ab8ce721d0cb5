"""Who may see which page: the four groups, strangers, and those without a permission."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.models import ConnectionAuth, Integration
from tests.support.helpers import make, member_of, prove_present, signed_in, user_with
from tests.support.urls import address, admin_names, things

pytestmark = pytest.mark.django_db

VIEW = {"view_connectionauth", "view_integration"}
OPERATE = VIEW | {
    "add_connectionauth",
    "change_connectionauth",
    "delete_connectionauth",
    "add_integration",
    "change_integration",
    "import_connections",
    "refresh_connections",
}
GROUPS = {
    "Viewer": VIEW,
    "Operator": OPERATE,
    "Custodian": OPERATE
    | {
        "delete_integration",
        "reveal_secrets",
        "export_secrets",
        "change_token_url",
        "purge_connections",
        "share_views",
    },
    "Auditor": VIEW | {"view_audit"},
}


@pytest.fixture
def urls():
    """The address of every page of the console itself."""
    objects = things(User.objects.create_user("owner"))
    own = ("index", "connections_", "auth_")
    return [address(name, objects) for name in admin_names() if name.startswith(own)]


@pytest.mark.parametrize("name", GROUPS)
def test_each_group_has_its_permissions(name):
    granted = Group.objects.get(name=name).permissions.values_list("codename", flat=True)
    assert {*granted} == GROUPS[name]
    assert len(granted) == len(GROUPS[name])


def test_there_are_four_groups_and_six_permissions_of_our_own():
    assert {*Group.objects.values_list("name", flat=True)} == {*GROUPS}
    own = Permission.objects.filter(
        content_type__app_label="connections", content_type__model="connectionauth"
    ).values_list("codename", flat=True)
    assert {*own} == {
        *(f"{verb}_connectionauth" for verb in ("add", "change", "delete", "view")),
        "reveal_secrets",
        "export_secrets",
        "import_connections",
        "refresh_connections",
        "view_audit",
        "purge_connections",
    }


def test_anonymous_users_are_redirected_to_the_login(urls):
    for url in urls:
        for response in (Client().get(url), Client().post(url, {"post": "yes"})):
            assert response.status_code == 302, url
            assert response.url == f"{reverse('admin:login')}?next={url}", url
    assert ConnectionAuth.objects.exists()


def test_users_who_are_not_staff_are_redirected_to_the_login(urls):
    client = signed_in(User.objects.get(username="owner"))
    for url in urls:
        assert client.get(url).status_code == 302, url


def test_staff_without_permissions_see_no_figures(urls):
    client = signed_in(User.objects.create_user("staff", is_staff=True))
    response = client.get(reverse("admin:index"))
    assert "dashboard" not in response.context
    assert not response.context["nav_broken_count"]


def test_the_root_leads_to_the_dashboard():
    response = Client().get("/")
    assert response.status_code in (301, 302)
    assert response.url == "/admin/"


@pytest.mark.parametrize("group", ["Viewer", "Auditor"])
def test_groups_that_only_view_are_offered_nothing_else(urls, group):
    content = member_of(group).get(reverse("admin:connections_connectionauth_changelist")).text
    for name in ("connections_connectionauth_add", "connections_import"):
        assert f'href="{reverse(f"admin:{name}")}"' not in content
    assert "move_to_bin" not in content


def test_only_a_superuser_changes_users_and_groups(urls):
    """Whatever permissions somebody was given: they could give themselves all others."""
    root = User.objects.create_superuser("root", password="password")
    user = User.objects.create_user("keeper", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="auth"))
    client, group = signed_in(user), Group.objects.get(name="Viewer")
    raised = {"username": "keeper", "is_staff": "on", "is_active": "on", "is_superuser": "on"}
    password = {"password1": "synth-pass-word-2", "password2": "synth-pass-word-2"}
    for name, args, data in (
        ("user_add", (), {**raised, **password}),
        ("user_change", (user.pk,), {**raised, "groups": group.pk}),
        ("user_delete", (root.pk,), {"post": "yes"}),
        ("user_password_change", (root.pk,), {**password, "usable_password": "true"}),
        ("group_add", (), {"name": "New"}),
        ("group_change", (group.pk,), {"name": "Viewer", "permissions": "1"}),
        ("group_delete", (group.pk,), {"post": "yes"}),
    ):
        assert client.post(reverse(f"admin:auth_{name}", args=args), data).status_code == 403, name
    for name, pk in (("user", root.pk), ("group", group.pk)):
        assert client.get(reverse(f"admin:auth_{name}_changelist")).status_code == 200
        assert client.get(reverse(f"admin:auth_{name}_change", args=[pk])).status_code == 200
    assert User.objects.get(username="root").check_password("password")
    assert not User.objects.get(username="keeper").is_superuser


@pytest.mark.parametrize("codename", ["delete_integration", "delete_connectionauth"])
def test_without_view_permission_no_connection_is_named(codename):
    integration = Integration.objects.create(type="hubspot", name="HubSpot")
    record = make(name="Bramblewood", integration=integration, binned_at=timezone.now())
    client = user_with(codename, "view_integration", "purge_connections")
    for url in (
        reverse("admin:connections_integration_delete", args=[integration.pk]),
        reverse("admin:connections_bin"),
        reverse("admin:connections_bin_purge", args=[record.pk]),
    ):
        assert "Bramblewood" not in prove_present(client).get(url).content.decode()
