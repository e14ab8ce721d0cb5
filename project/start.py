"""Starting a server, which needs good keys."""

import os
import sys
from functools import cache

import django
from django.core.exceptions import ImproperlyConfigured

from connections.encryption import keyring


@cache  # the server and its Celery application both ask for it
def start():
    """Set Django up. Exits with one sentence if the settings or keys are not good."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        django.setup(set_prefix=False)
        keyring.require_keys()
    except (ImproperlyConfigured, keyring.KeyringError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    from connections import checks  # models can't be imported before setup()
    from connections.audit import log

    # A server does not run system checks; this one belongs into its log.
    for warning in checks.check_key_order(None):
        print(warning.msg, warning.hint, file=sys.stderr)
    log.log_to(sys.stdout)  # a server writes nothing else there
