"""The admin site. Its index is the dashboard, and allauth signs users in and out."""

from functools import partial

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from connections.audit import log
from connections.console import urls
from connections.console.dashboard import context as dashboard
from connections.console.dashboard import keys as dashboard_keys
from connections.console.mixins import keep_only
from connections.jobs import cleanup
from connections.models import ConnectionAuth
from connections.records.counts import ConnectionFilter


class LatchkeyAdminSite(AdminSite):
    site_title = site_header = "Latchkey"
    index_title = _("Dashboard")
    enable_nav_sidebar = False
    empty_value_display = "\u2013"

    def index(self, request, extra_context=None):
        cleanup.start_if_due()
        context = dict(extra_context or {})
        if self.get_model_admin(ConnectionAuth).has_view_permission(request):
            params = keep_only(request.GET, ConnectionFilter._fields)
            connection_filter = ConnectionFilter(
                **{name: value for name, value in params.items() if value}
            )
            now = timezone.now().replace(microsecond=0)  # for shorter links
            context["dashboard"] = dashboard.get_context(request.user, now, connection_filter)
            context["nav_broken_count"] = context["dashboard"].broken_total
        return super().index(request, context)

    # Only allauth signs in and out and changes passwords: these pages redirect to it.

    def login(self, request, extra_context=None):
        if request.user.is_authenticated:
            return redirect("admin:index")
        next_url = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
        return redirect_to_login(next_url, "account_login")

    def logout(self, request, extra_context=None):
        return redirect("account_logout", preserve_request=True)

    def password_change(self, request, extra_context=None):
        return redirect("account_change_password")

    def get_urls(self):
        ours = [
            path(str(page.pattern), self.admin_view(page.callback), name=page.name)
            for page in urls.urlpatterns
        ]
        # The console uses none of these: each would be one more way to ask for what is stored.
        unused = {"autocomplete", "view_on_site", "password_change_done"}
        return ours + [url for url in super().get_urls() if getattr(url, "name", "") not in unused]

    def each_context(self, request):
        return {
            **super().each_context(request),
            # Counted when it is shown: the dashboard has its own count.
            "nav_broken_count": SimpleLazyObject(partial(_broken_count, request.user)),
            "can_view_audit": log.may_read(request.user),
            "can_view_keys": dashboard_keys.may_view(request.user),
        }


def _broken_count(user):
    """The number beside Connections in the navigation, or None."""
    if not user.has_perm("connections.view_connectionauth"):
        return None
    return ConnectionAuth.objects.visible_to(user).in_bucket("broken").count()
