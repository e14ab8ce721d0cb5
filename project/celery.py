"""The Celery application, for where CELERY_BROKER_URL is set: `celery -A project worker`.

It refuses to start without good keys.
"""

import os
import sys

import django
from celery import Celery
from django.core.exceptions import ImproperlyConfigured

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
app = Celery("latchkey")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.broker_connection_retry_on_startup = True
app.autodiscover_tasks()
