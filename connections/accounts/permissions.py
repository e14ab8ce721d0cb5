"""What somebody may do in work that outlives a request: asked again as it goes on."""

from django.contrib.auth.models import User

from connections.models import scope_of


def import_permissions(user):
    """What a user may do in an import, as importing.Options has it: a dict of some of those."""
    may_import = has_staff_permission(user, "connections.import_connections")
    return {
        "scope": scope_of(user),
        "may_add": may_import and user.has_perm("connections.add_connectionauth"),
        "may_change": may_import and user.has_perm("connections.change_connectionauth"),
    }


def has_staff_permission(user, permission):
    """Whether a user has a permission, and may use the console at all."""
    return user.is_staff and user.has_perm(permission)


def reload_user(run):
    """Have the `user` of a run with the permissions and limits that they have now."""
    run.user = User.objects.select_related("scope").get(pk=run.user_id)
