"""Shows times in the zone of the user's browser, which sends it in a cookie (see latchkey.js).

A cookie and not a setting of the user: nobody has to choose it, and it is right on a journey.
"""

from zoneinfo import ZoneInfo

from django.utils import timezone

COOKIE_NAME = "time_zone"


def middleware(get_response):
    """Activate the zone of the cookie for a request; TIME_ZONE where there is no known zone."""

    def activate_time_zone(request):
        try:
            zone = ZoneInfo(request.COOKIES.get(COOKIE_NAME))
        except (TypeError, ValueError, KeyError, OSError):  # absent, a path, unknown, too long
            zone = timezone.get_default_timezone()
        with timezone.override(zone):
            return get_response(request)

    return activate_time_zone
