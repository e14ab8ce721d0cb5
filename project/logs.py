"""How log records are written; settings.LOGGING says where."""

import json
import logging


class JSONFormatter(logging.Formatter):
    """The `entry` (a dict) of a record as one JSON object, with the message as its `event`."""

    def format(self, record):
        return json.dumps({**record.entry, "event": record.getMessage()})


class SecurityTracebackFilter(logging.Filter):
    """Leaves a refused request one line: with its traceback, any stranger could fill the log."""

    def filter(self, record):
        if record.name.startswith("django.security."):
            record.exc_info = None
        return True
