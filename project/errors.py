"""What a report of an error says, on a debug page or in a mail: where it happened, and no more."""

from django.views.debug import ExceptionReporter


class Reporter(ExceptionReporter):
    """Django's, without what was at hand: variables, the request, settings. Any may be secret."""

    def __init__(self, request, *args, **kwargs):
        super().__init__(None, *args, **kwargs)

    def get_traceback_frames(self):
        return [{**frame, "vars": []} for frame in super().get_traceback_frames()]

    def get_traceback_data(self):
        return {**super().get_traceback_data(), "settings": {}}
