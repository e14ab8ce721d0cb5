"""Users who are limited to some environments and integrations."""

from django.contrib.auth.models import Group, User
from django.urls import reverse

from connections.models import Integration, Scope, UserScope

LIST = reverse("admin:connections_connectionauth_changelist")
TYPES = (None, "x", "y", "z")
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
