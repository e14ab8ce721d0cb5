"""The app, and the admin site that is made of it."""

from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig
from django.utils.translation import gettext_lazy as _


class ConnectionsConfig(AppConfig):
    name = "connections"
    verbose_name = _("Vault")

    def ready(self):
        from . import checks, sessions, watching  # noqa: F401  (register checks and receivers)


class LatchkeyAdminConfig(SimpleAdminConfig):
    """The site alone. Its pages are found by project/urls.py: most commands need none."""

    default_site = "connections.site.LatchkeyAdminSite"
