"""The console's own pages: their addresses, and who may open them.

The site adds them to Django's, behind its own permission check.
"""

from functools import wraps

from django.core.exceptions import PermissionDenied
from django.urls import path
from django.views.decorators.http import require_http_methods

from connections.audit import log
from connections.console.dashboard import keys as dashboard_keys
from connections.console.pages import (
    audit,
    bin,
    changes,
    exports,
    find_secret,
    help,
    imports,
    keys,
    reveal,
    saved_views,
    versions,
)
from connections.models import scope_of

READ = ("GET", "HEAD")
FORM = ("GET", "POST")


def has(*permissions, unlimited=False):
    """The test whether a user has all of these permissions and, if asked for, no limits."""
    names = [f"connections.{permission}" for permission in permissions]
    return lambda user: user.has_perms(names) and not (unlimited and scope_of(user).is_limited)


IMPORT = has("import_connections")
# All environments share the integrations.
INTEGRATIONS = has("add_integration", "change_integration", unlimited=True)
VIEW = has("view_connectionauth")
REVEAL = has("view_connectionauth", "reveal_secrets")
BIN = has("view_connectionauth", "delete_connectionauth")
PURGE = has("view_connectionauth", "delete_connectionauth", "purge_connections")


def page(route, view, name, is_allowed, methods=READ):
    """The page `connections_<name>`, for users who pass a test."""

    @require_http_methods(methods)
    @wraps(view)
    def checked_view(request, *args, **kwargs):
        if not is_allowed(request.user):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return path(route, checked_view, name=f"connections_{name}")


RECORD = "connections/connectionauth/<uuid:pk>"
urlpatterns = [
    page("import/", imports.import_page, "import", IMPORT, FORM),
    page("import/history/", imports.import_history, "import_history", IMPORT),
    page("import/<uuid:pk>/", imports.import_run, "import_run", IMPORT, FORM),
    page("import/<uuid:pk>/progress/", imports.import_progress, "import_progress", IMPORT),
    page("import/<uuid:pk>/report/", imports.import_report, "import_report", IMPORT),
    page(
        "import/integrations/",
        imports.import_integrations,
        "import_integrations",
        INTEGRATIONS,
        FORM,
    ),
    page("export/", exports.export, "export", VIEW, FORM),
    page("views/", saved_views.saved_views_page, "views", VIEW, FORM),
    page("changes/", changes.change_history, "changes", VIEW),
    page("changes/<uuid:pk>/", changes.change_run, "change_run", VIEW, FORM),
    page("changes/<uuid:pk>/progress/", changes.change_progress, "change_progress", VIEW),
    page("find-secret/", find_secret.find_secret_page, "find_secret", REVEAL, FORM),
    page("find-secret/shared/", find_secret.shared_secrets_page, "shared_secrets", REVEAL),
    page(f"{RECORD}/versions/", versions.versions_page, "connectionauth_versions", VIEW, FORM),
    page(
        f"{RECORD}/reveal/<str:field>/", reveal.reveal_page, "connectionauth_reveal", REVEAL, FORM
    ),
    page("audit/", audit.audit_page, "audit", log.may_read),
    page("audit/export/", audit.audit_export, "audit_export", log.may_read),
    page("help/", help.help_page, "help", has()),
    page("keys/", keys.keys_page, "keys", dashboard_keys.may_view),
    page("bin/", bin.bin_page, "bin", BIN),
    page("bin/<uuid:pk>/restore/", bin.restore, "bin_restore", BIN, ("POST",)),
    page("bin/<uuid:pk>/purge/", bin.purge, "bin_purge", PURGE, FORM),
]
