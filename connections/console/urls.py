"""The console's own pages. The site adds them to Django's, behind its own permission check."""

from django.urls import path

from connections.console.pages import (
    audit,
    bin,
    changes,
    exports,
    find_secret,
    help,
    imports,
    integrations,
    keys,
    reveal,
    saved_views,
    versions,
)

urlpatterns = [
    path("import/", imports.import_page, name="connections_import"),
    path("import/history/", imports.import_history, name="connections_import_history"),
    path("import/<uuid:pk>/", imports.import_run, name="connections_import_run"),
    path(
        "import/<uuid:pk>/progress/", imports.import_progress, name="connections_import_progress"
    ),
    path("import/<uuid:pk>/report/", imports.import_report, name="connections_import_report"),
    path(
        "import/integrations/",
        integrations.import_integrations_page,
        name="connections_import_integrations",
    ),
    path("export/", exports.export, name="connections_export"),
    path("views/", saved_views.saved_views_page, name="connections_views"),
    path("changes/", changes.change_history, name="connections_changes"),
    path("changes/<uuid:pk>/", changes.change_run, name="connections_change_run"),
    path(
        "changes/<uuid:pk>/progress/", changes.change_progress, name="connections_change_progress"
    ),
    path("find-secret/", find_secret.find_secret_page, name="connections_find_secret"),
    path(
        "find-secret/shared/", find_secret.shared_secrets_page, name="connections_shared_secrets"
    ),
    path(
        "connections/connectionauth/<uuid:pk>/versions/",
        versions.versions_page,
        name="connections_connectionauth_versions",
    ),
    path(
        "connections/connectionauth/<uuid:pk>/reveal/<str:field>/",
        reveal.reveal_page,
        name="connections_connectionauth_reveal",
    ),
    path("audit/", audit.audit_page, name="connections_audit"),
    path("audit/export/", audit.audit_export, name="connections_audit_export"),
    path("help/", help.help_page, name="connections_help"),
    path("keys/", keys.keys_page, name="connections_keys"),
    path("bin/", bin.bin_page, name="connections_bin"),
    path("bin/<uuid:pk>/restore/", bin.restore, name="connections_bin_restore"),
    path("bin/<uuid:pk>/purge/", bin.purge, name="connections_bin_purge"),
]
