"""What an error shows: a page to a person, and in a report only where it happened."""

import sys

from django.db import InterfaceError, OperationalError
from django.shortcuts import render
from django.views import defaults
from django.views.debug import ExceptionReporter


class RedactingExceptionReporter(ExceptionReporter):
    """Django's, without variables, request and settings: any of them may hold a secret."""

    def __init__(self, request, *args, **kwargs):
        super().__init__(None, *args, **kwargs)

    def get_traceback_frames(self):
        return [{**frame, "vars": []} for frame in super().get_traceback_frames()]

    def get_traceback_data(self):
        return {**super().get_traceback_data(), "settings": {}}


def server_error(request):
    """The page for an error that nothing caught: 503 if it is the database's, otherwise 500."""
    if is_database_error(sys.exc_info()[1]):
        return database_down()
    return defaults.server_error(request)


def bad_request(request, exception):
    """The page for a malformed request. A session that can't be saved looks like one."""
    if is_database_error(exception):
        return database_down()
    return defaults.bad_request(request, exception)


def database_down():
    """The page for a database that is down, without the request: context would query it."""
    return render(None, "503.html", status=503)


def is_database_error(error):
    """Whether an error was caused by a database that is gone, full, locked or read-only."""
    while error:
        # PostgreSQL's code for a write to a read-only server, which is no OperationalError.
        is_read_only = getattr(error.__cause__, "sqlstate", None) == "25006"
        if isinstance(error, OperationalError | InterfaceError) or is_read_only:
            return True
        error = error.__cause__ or error.__context__
    return False
