"""The admin site: Django's, under our own name, with the expiry dashboard as its first page."""

from django.contrib.admin import AdminSite
from django.utils import timezone

from . import dashboard
from .models import ConnectionAuth


class LatchkeyAdminSite(AdminSite):
    site_title = site_header = "Latchkey"
    index_title = "Dashboard"
    enable_nav_sidebar = False

    def index(self, request, extra_context=None):
        context = dict(extra_context or {})
        if self.get_model_admin(ConnectionAuth).has_view_permission(request):
            context["dashboard"] = dashboard.context(ConnectionAuth.objects.all(), timezone.now())
        return super().index(request, context)
