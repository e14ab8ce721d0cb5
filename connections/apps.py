"""The app, and the admin with our site."""

from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig
from django.utils.translation import gettext_lazy as _


class ConnectionsConfig(AppConfig):
    name = "connections"
    verbose_name = _("Vault")

    def ready(self):
        # Models can't be imported before the apps are ready.
        from connections import checks  # noqa: F401  (registers the system checks)
        from connections.accounts import sessions  # noqa: F401  (connects its receivers)
        from connections.audit import signals  # noqa: F401  (connects its receivers)


class LatchkeyAdminConfig(SimpleAdminConfig):
    """The admin without autodiscovery, which project/urls.py does: most commands need no page."""

    default_site = "connections.console.site.LatchkeyAdminSite"
