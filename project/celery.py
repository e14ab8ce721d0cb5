"""The Celery application, for where CELERY_BROKER_URL is set: `celery -A project worker`.

It refuses to start without good keys.
"""

from celery import Celery

from project.start import start

start()
app = Celery("latchkey")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.broker_connection_retry_on_startup = True
# Celery's current app is one per thread; every thread of the server sends its tasks to this one.
app.set_default()
app.autodiscover_tasks(["connections.jobs"])
