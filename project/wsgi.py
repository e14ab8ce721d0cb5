"""The WSGI entry point; it refuses to start without good keys."""

import os
import sys

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.db import connections

from connections import keyring

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
try:
    django.setup(set_prefix=False)
    keyring.require()
except (ImproperlyConfigured, keyring.KeyringError) as error:
    print(error, file=sys.stderr)
    sys.exit(2)
from connections import audit  # models can't be imported before setup()

audit.log_to(sys.stdout)  # a server has no other use for it
connections.close_all()  # a server forks after this: no connection may be shared
application = get_wsgi_application()
