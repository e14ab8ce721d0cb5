"""What an error says: to a person, and in a report, which is where it happened and no more."""

import logging
import sys

from django.db import InterfaceError, OperationalError
from django.shortcuts import render
from django.views import defaults
from django.views.debug import ExceptionReporter

READ_ONLY_SQLSTATE = (
    "25006"  # PostgreSQL's SQLSTATE of a write where none is taken: no OperationalError
)


class RedactingExceptionReporter(ExceptionReporter):
    """Django's, without what was at hand: variables, the request, settings. Any may be secret."""

    def __init__(self, request, *args, **kwargs):
        super().__init__(None, *args, **kwargs)

    def get_traceback_frames(self):
        return [{**frame, "vars": []} for frame in super().get_traceback_frames()]

    def get_traceback_data(self):
        return {**super().get_traceback_data(), "settings": {}}


class SecurityTracebackFilter(logging.Filter):
    """Requests that were refused are a line each: any stranger could fill the log with more."""

    def filter(self, record):
        if record.name.startswith("django.security."):
            record.exc_info = None
        return True


def server_error(request):
    """The page for an error that nothing caught: 500, or 503 where it is the database's."""
    if is_database_error(sys.exc_info()[1]):
        return database_down()
    return defaults.server_error(request)


def bad_request(request, exception):
    """The page for a request without sense; a session that can't be saved looks like one."""
    return (
        database_down()
        if is_database_error(exception)
        else defaults.bad_request(request, exception)
    )


def database_down():
    """Rendered without the request: what comes with that asks the database."""
    return render(None, "503.html", status=503)


def is_database_error(error):
    """Whether an error began with a database that is gone, full, locked or read-only."""
    while error:
        is_read_only = getattr(error.__cause__, "sqlstate", None) == READ_ONLY_SQLSTATE
        if isinstance(error, OperationalError | InterfaceError) or is_read_only:
            return True
        error = error.__cause__ or error.__context__
    return False
