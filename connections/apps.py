from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ConnectionsConfig(AppConfig):
    name = "connections"
    verbose_name = "Vault"

    def ready(self):
        from . import checks, watching  # noqa: F401  (register the checks and the receivers)


class LatchkeyAdminConfig(AdminConfig):
    default_site = "connections.site.LatchkeyAdminSite"
