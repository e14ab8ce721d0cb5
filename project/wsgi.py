"""The WSGI entry point; it refuses to start without good keys."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections

from project.start import start

start()
if settings.CELERY_BROKER_URL:
    import project.celery  # noqa: F401  (the app that the console sends its tasks with)
connections.close_all()  # a server forks after this: no connection may be shared
application = get_wsgi_application()
