"""Datetimes, durations, sizes, percentages and issues in words.

Every datetime that can be stored is formatted, those in the years 1 and 9999 too.
"""

from datetime import datetime, timezone

from django.conf import settings
from django.utils import timezone as django_timezone
from django.utils import translation
from django.utils.dateformat import format as format_date
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from connections.json_format.issues import render
from connections.lib.text import printable_on_page

# The texts for the future and for the past, by the seconds of their unit.
FUTURE_TEXTS = {
    365 * 24 * 3600: lambda count: ngettext("in %s year", "in %s years", count),
    24 * 3600: lambda count: ngettext("in %s day", "in %s days", count),
    3600: lambda count: ngettext("in %s hour", "in %s hours", count),
    60: lambda count: ngettext("in %s minute", "in %s minutes", count),
}
PAST_TEXTS = {
    365 * 24 * 3600: lambda count: ngettext("%s year ago", "%s years ago", count),
    24 * 3600: lambda count: ngettext("%s day ago", "%s days ago", count),
    3600: lambda count: ngettext("%s hour ago", "%s hours ago", count),
    60: lambda count: ngettext("%s minute ago", "%s minutes ago", count),
}

# Formats of Django's date filter. They are translated.
DATETIME_FORMAT = gettext_noop("D j M Y, H:i")
DATETIME_SECONDS_FORMAT = gettext_noop("D j M Y, H:i:s T")
SHORT_DATETIME_FORMAT = gettext_noop("D j M, H:i")
AUDIT_DATETIME_FORMAT = gettext_noop("j M Y, H:i")
DATE_FORMAT = gettext_noop("j M Y")
SHORT_DATE_FORMAT = gettext_noop("j M")


def issue_message(issue):
    """The sentence of an Issue in the current language."""
    return render(issue.key, issue.params, _)


def issue_location(issue):
    """Where in a record an Issue is, such as `line 7 expiryDate`."""
    line = _("line %s") % issue.line if issue.line else ""
    return printable_on_page(f"{line} {issue.path}").strip()


def format_number(count, digits=0):
    """`1,234`: with the separators of the language."""
    return number_format(count, digits, use_l10n=True, force_grouping=True)


def percent(number):
    """`3.333%`: a position or width in an SVG without a viewBox."""
    return f"{number:.3f}".rstrip("0").rstrip(".") + "%"


def mid_sentence(text):
    """A label within a sentence: English lowers its first letter, German leaves it."""
    text = str(text)
    is_english = translation.get_language() == settings.LANGUAGE_CODE
    return text if not is_english or text[1:2].isupper() else text[:1].lower() + text[1:]


def changed_fields_text(names):
    """The changed fields as a sentence; `names` as the API spells them."""
    return _("Changed: %s.") % ", ".join(names) if names else _("Nothing was different.")


def localtime(moment):
    """`moment` in the current time zone; in UTC where that would leave the calendar."""
    try:
        return django_timezone.localtime(moment)
    except (OverflowError, ValueError):
        return moment.astimezone(timezone.utc)


def format_datetime(moment, pattern=DATETIME_FORMAT):
    """`Thu 26 Nov 2026, 14:20` in the current time zone; "" for None."""
    return "" if moment is None else format_date(localtime(moment), _(pattern))


def relative_time(moment, now=None):
    """`in 3 days`, `2 hours ago`, `now`; "" for None. Rounded down to the largest unit."""
    if moment is None:
        return ""
    seconds = (moment - (now or datetime.now(timezone.utc))).total_seconds()
    for unit, text in (FUTURE_TEXTS if seconds > 0 else PAST_TEXTS).items():
        if abs(seconds) >= unit:
            count = int(abs(seconds) // unit)
            return text(count) % format_number(count)
    return _("now")


def duration(seconds):
    """`under 1 s`, `12 s`, `1 min 40 s`, `2 h 5 min`."""
    if seconds < 1:
        return _("under 1 s")
    seconds = int(seconds)
    if seconds < 60:
        return _("%s s") % seconds
    if seconds < 3600:
        return _("%(minutes)s min %(seconds)s s") % {
            "minutes": seconds // 60,
            "seconds": seconds % 60,
        }
    return _("%(hours)s h %(minutes)s min") % {
        "hours": format_number(seconds // 3600),
        "minutes": seconds % 3600 // 60,
    }


def approximate_size(count):
    """`about 1.2 KB`. Below 100 bytes it is rough, so that the length of a key is not shown."""
    if count < 100:
        return _("under %s KB") % format_number(0.1, 1)
    if count < 1000 * 1000:
        return _("about %s KB") % format_number(count / 1000, 1)
    return _("about %s MB") % format_number(count / 1000 / 1000, 1)
