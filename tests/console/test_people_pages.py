"""The pages of users and groups: what they say, and what they keep to themselves."""

import re

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Group, User
from django.urls import reverse

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob():
    user = User.objects.create_user("bob", "bob@example.com", "synth-password", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name="Viewer")[0])
    return user


def text(response):
    return re.sub(r"<[^>]+>|\s+", " ", response.content.decode())


def test_the_page_of_a_user_shows_nothing_of_the_hash(client, bob):
    page = text(client.get(reverse("admin:auth_user_change", args=[bob.pk])))
    assert "Reset password" in page
    *_algorithm, salt, digest = bob.password.split("$")
    assert salt[:6] not in page
    assert digest[:6] not in page


def test_a_user_without_a_password_is_said_to_have_none(client, bob):
    bob.set_unusable_password()
    bob.save()
    page = text(client.get(reverse("admin:auth_user_change", args=[bob.pk])))
    assert "No password set." in page
    assert "Set password" in page


def test_the_labels_of_a_new_password_are_those_of_ones_own(client, bob):
    for address in (
        reverse("admin:auth_user_add"),
        reverse("admin:auth_user_password_change", args=[bob.pk]),
        reverse("account_change_password"),
    ):
        page = text(client.get(address))
        assert "And once more" in page, address
        assert "Enter the same password as before" not in page, address


def test_the_list_shows_second_steps_and_access(client, bob):
    def cells():
        page = client.get(reverse("admin:auth_user_changelist"))
        row = next(row for row in page.content.decode().split("<tr") if ">bob<" in row)
        return re.sub(r"<[^>]+>", "|", row)

    assert "|not set up|" in cells()
    assert "|Viewer|" in cells()
    TOTP.activate(bob, "JBSWY3DPEHPK3PXP")
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert "|set up|" in cells()
    assert "|no sign-in|" in cells()


def test_a_deletion_does_not_count_many_to_many_rows(client, bob):
    for name, pk in (("user", bob.pk), ("group", bob.groups.get().pk)):
        page = text(client.get(reverse(f"admin:auth_{name}_delete", args=[pk])))
        assert "This cannot be undone." in page
        assert "relationship" not in page
        assert f"{name.title()}s: 1" not in page  # who is deleted is named above
    client.post(reverse("admin:auth_group_delete", args=[pk]), {"post": "yes"})
    assert not Group.objects.filter(pk=pk).exists()
    assert User.objects.filter(pk=bob.pk).exists()


def test_the_list_of_groups_counts_users_and_permissions(client, bob):
    group = bob.groups.get()
    User.objects.create_user("eve").groups.add(group)
    row = next(
        row
        for row in client.get(reverse("admin:auth_group_changelist")).content.decode().split("<tr")
        if ">Viewer<" in row
    )
    cells = re.findall(r'<td class="field-\w+">([^<]*)', row)
    assert cells == ["2", str(group.permissions.count())]
