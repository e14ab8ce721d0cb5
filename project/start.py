"""How a server begins: with good keys, or not at all."""

import os
import sys
from functools import cache

import django
from django.core.exceptions import ImproperlyConfigured

from connections.encryption import ring, stored_keys


@cache  # the server and its Celery application both ask for it
def start():
    """Set Django up. Ends the process with one sentence where the settings are no good."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        django.setup(set_prefix=False)
        stored_keys.require_keys()
    except (ImproperlyConfigured, ring.KeyringError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    from connections import checks  # models can't be imported before setup()
    from connections.audit import log

    # A server runs no system checks; of this one its log is the place to hear.
    for warning in checks.check_order_of_keys(None):
        print(warning.msg, warning.hint, file=sys.stderr)
    log.log_to(sys.stdout)  # a server has no other use for it
