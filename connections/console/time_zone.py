"""Shows times in the zone of the user's browser, which sends it in a cookie (see latchkey.js).

A cookie and not a setting of the user: nobody has to choose it, and it is right on a journey.
"""

from zoneinfo import ZoneInfo

from django.utils import timezone

COOKIE_NAME = "time_zone"


def middleware(get_response):
    """Activate the zone of the cookie for a request; TIME_ZONE where there is no known zone."""

    def activate_time_zone(request):
        with timezone.override(_zone(request.COOKIES.get(COOKIE_NAME))):
            return get_response(request)

    return activate_time_zone


def _zone(name):
    """The zone with a name, or that of the settings."""
    try:
        return ZoneInfo(name)
    except (TypeError, ValueError, KeyError, OSError):  # absent, a path, unknown, too long
        return timezone.get_default_timezone()
