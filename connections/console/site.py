"""The admin site: Django's, under our own name, with the expiry dashboard as its first page."""

from functools import partial

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from connections.audit import log
from connections.console.dashboard import context as dashboard
from connections.console.dashboard import keys as dashboard_keys
from connections.console.mixins import keep_only
from connections.console.pages import audit as audit_pages
from connections.console.pages import bin as bin_pages
from connections.console.pages import (
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
from connections.jobs import cleanup
from connections.models import ConnectionAuth
from connections.records.counts import ConnectionFilter


class LatchkeyAdminSite(AdminSite):
    site_title = site_header = "Latchkey"
    index_title = _("Dashboard")
    enable_nav_sidebar = False
    empty_value_display = "\u2013"

    def index(self, request, extra_context=None):
        cleanup.delete_expired()
        context = dict(extra_context or {})
        if self.get_model_admin(ConnectionAuth).has_view_permission(request):
            given = keep_only(request.GET, ConnectionFilter._fields)
            place = ConnectionFilter(
                *(given.get(name) or None for name in ConnectionFilter._fields)
            )
            # To the second, which makes for shorter links.
            now = timezone.now().replace(microsecond=0)
            context["dashboard"] = shown = dashboard.get_context(request.user, now, place)
            context["nav_broken"] = shown["broken_anywhere"]
        return super().index(request, context)

    # Signing in and out and changing the password are allauth's: there is no other way in.

    def login(self, request, extra_context=None):
        if request.user.is_authenticated:
            return redirect("admin:index")
        back = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
        return redirect(f"{reverse('account_login')}?{urlencode({REDIRECT_FIELD_NAME: back})}")

    def logout(self, request, extra_context=None):
        return redirect("account_logout", preserve_request=True)

    def password_change(self, request, extra_context=None):
        return redirect("account_change_password")

    def get_urls(self):
        routes = (
            ("import/", imports.import_page, "connections_import"),
            ("import/history/", imports.import_history, "connections_import_history"),
            ("import/<uuid:pk>/", imports.import_run, "connections_import_run"),
            ("import/<uuid:pk>/progress/", imports.import_progress, "connections_import_progress"),
            ("import/<uuid:pk>/report/", imports.import_report, "connections_import_report"),
            ("import/integrations/", integrations.import_page, "connections_import_integrations"),
            ("export/", exports.export, "connections_export"),
            ("views/", saved_views.views_page, "connections_views"),
            ("changes/", changes.history, "connections_changes"),
            ("changes/<uuid:pk>/", changes.change_run, "connections_change_run"),
            ("changes/<uuid:pk>/progress/", changes.progress, "connections_change_progress"),
            ("find-secret/", find_secret.find_page, "connections_find_secret"),
            ("find-secret/shared/", find_secret.shared_page, "connections_shared_secrets"),
            (
                "connections/connectionauth/<uuid:pk>/versions/",
                versions.versions,
                "connections_connectionauth_versions",
            ),
            (
                "connections/connectionauth/<uuid:pk>/reveal/<str:field>/",
                reveal.reveal,
                "connections_connectionauth_reveal",
            ),
            ("audit/", audit_pages.audit_page, "connections_audit"),
            ("audit/export/", audit_pages.audit_export, "connections_audit_export"),
            ("help/", help.help_page, "connections_help"),
            ("keys/", keys.keys_page, "connections_keys"),
            ("bin/", bin_pages.bin_page, "connections_bin"),
            ("bin/<uuid:pk>/restore/", bin_pages.restore, "connections_bin_restore"),
            ("bin/<uuid:pk>/purge/", bin_pages.purge, "connections_bin_purge"),
        )
        ours = [path(route, self.admin_view(view), name=name) for route, view, name in routes]
        # Nothing here completes names or has a page of its own on the site: what nobody uses
        # would only be two more ways to ask for what is stored.
        needless = {"autocomplete", "view_on_site", "password_change_done"}
        kept = [url for url in super().get_urls() if getattr(url, "name", "") not in needless]
        return ours + kept

    def each_context(self, request):
        return {
            **super().each_context(request),
            # Asked when it is shown: the dashboard knows it already.
            "nav_broken": SimpleLazyObject(partial(_broken_count, request.user)),
            "reads_audit": log.may_read(request.user),
            "sees_keys": dashboard_keys.may_view(request.user),
        }


def _broken_count(user):
    """The figure beside Connections in the navigation, or None."""
    if not user.has_perm("connections.view_connectionauth"):
        return None
    return ConnectionAuth.objects.visible_to(user).in_bucket("broken").count()
