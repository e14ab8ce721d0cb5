"""The console's model admins. Django's autodiscovery imports this file, which registers them."""

from connections.console import integrations, people  # noqa: F401
from connections.console.records import admin  # noqa: F401
