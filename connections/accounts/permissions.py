"""Permissions for work that outlives a request, and so checks them again and again."""

from typing import Any

from django.contrib.auth.models import User

from connections.models import ImportRun, scope_of


def import_permissions(user: User) -> dict[str, Any]:
    """What a user may do in an import: the arguments of ImportOptions for it."""
    may_import = has_staff_permission(user, "connections.import_connections")
    return {
        "scope": scope_of(user),
        "may_add": may_import and user.has_perm("connections.add_connectionauth"),
        "may_change": may_import and user.has_perm("connections.change_connectionauth"),
    }


def has_staff_permission(user: User, permission: str) -> bool:
    """Whether a user has a permission and may use the console."""
    return user.is_staff and user.has_perm(permission)


def reload_user(run: ImportRun) -> None:
    """Replace the `user` of a run, which caches permissions and scope, by one read anew."""
    run.user = User.objects.select_related("scope").get(pk=run.user_id)
