"""The WSGI entry point; it refuses to start without good keys."""

import os
import sys

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = get_wsgi_application()

from django.db import connections  # noqa: E402  (needs the settings)

from connections import keyring  # noqa: E402

try:
    keyring.require()
except keyring.KeyringError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
connections.close_all()  # a server forks after this: no connection may be shared
