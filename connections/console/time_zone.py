"""Times in the zone of whoever looks: their browser says which, in a cookie (see latchkey.js).

A cookie and no setting of the user: it is right without being asked for, also on a journey.
"""

from zoneinfo import ZoneInfo

from django.utils import timezone

COOKIE_NAME = "time_zone"


def middleware(get_response):
    """Show a request's times in its browser's zone; in TIME_ZONE where it told none we know."""

    def show(request):
        with timezone.override(_zone(request.COOKIES.get(COOKIE_NAME))):
            return get_response(request)

    return show


def _zone(name):
    """The zone of a name, or that of the settings."""
    try:
        return ZoneInfo(name)
    except (TypeError, ValueError, KeyError, OSError):  # absent, a path, unknown, too long
        return timezone.get_default_timezone()
