"""The top of the page of one connection: its state in words."""

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from connections.console import wording
from connections.console.labels import EXPIRY_SOURCES, NEXT_STEPS, STATUS_LABELS
from connections.lib.text import printable_on_page


def build_header(record, now):
    """What the template of the header shows."""
    parts = [record.integration, record.get_auth_kind_display(), record.environment_label]
    fact, consequence = _summary(record, now)
    statuses = (record.bucket(now), *status_flags(record, now))
    return {
        "badges": [(name, STATUS_LABELS[name]) for name in statuses],
        "subtitle": printable_on_page(", ".join(str(part) for part in parts if part)),
        "fact": fact,
        "consequence": consequence,
        "answers": _answers(record, now),
    }


def status_flags(record, now=None):
    """What applies to a record besides its bucket, as keys of STATUS_LABELS."""
    flags = {
        "stale": record.is_stale(now),
        "paused": record.is_paused,
        "unreadable": record.unreadable_fields,
    }
    return [name for name, applies in flags.items() if applies]


def _summary(record, now):
    """A fact and its consequence, as two sentences."""
    ends, breaks = record.access_expires_at, record.breaks_at
    if record.auth_kind == "empty":
        text = _("Enter some below, or import the connection again.")
        return _("It holds no credentials."), text
    if breaks is not None and breaks <= now:
        params = {
            "ago": wording.relative_time(breaks, now),
            "step": wording.mid_sentence(_next_step(record, now)),
        }
        return _("It does not work any more."), _("It broke %(ago)s; %(step)s.") % params
    if ends is not None and ends <= now:
        text = _("Access ended %(ago)s. A machine can renew it.")
        if breaks:
            text = _(
                "Access ended %(ago)s. A machine can renew it until %(until)s; "
                "after that only the customer can."
            )
        params = {
            "ago": wording.relative_time(ends, now),
            "until": wording.format_datetime(breaks),
        }
        return _("It does not work until it is renewed."), text % params
    if breaks is not None:
        params = {
            "ahead": wording.relative_time(breaks, now),
            "when": wording.format_datetime(breaks),
        }
        return _("It works."), _("It breaks %(ahead)s, on %(when)s.") % params
    if record.renewable:
        return _("It works."), _("A machine can renew it, and no end of that is known.")
    return _("It works, as far as we know."), _("Nothing stored says when it ends.")


def _answers(record, now):
    """Does it work, until when, why do we think so, what next?

    Each with the question, the answer, a note, and the API's name of the field that tells it.
    """
    ends, breaks = record.access_expires_at, record.breaks_at
    is_down = any(moment is not None and moment <= now for moment in (ends, breaks))
    works = _("No, since %s") % wording.format_datetime(ends or breaks) if is_down else _("Yes")
    if record.auth_kind == "empty":
        works = _("No, it is empty")
    last_seen = ""
    if record.last_healthy_at:
        last_seen = _("Last seen healthy %s") % wording.relative_time(record.last_healthy_at, now)
    until = wording.format_datetime(breaks) or STATUS_LABELS["no_end"]
    source, api_name = EXPIRY_SOURCES[record.expiry_source]
    if breaks is not None and breaks == record.refresh_expires_at != ends:
        source, api_name = _("The end of its refresh token"), "refreshTokenExpiresDate"
        if record.refresh_token_expires_date is None:
            api_name = "refreshTokenExpiresIn"
    return [
        (_("Does it work?"), works, last_seen, ""),
        (_("Until when?"), until, capfirst(wording.relative_time(breaks, now)), ""),
        (_("Why do we think so?"), source, "", api_name),
        (_("What next?"), _next_step(record, now) or _("Nothing"), "", ""),
    ]


def _next_step(record, now):
    """What a person has to do, or "" where there is nothing to do yet."""
    if record.auth_kind == "empty":
        return NEXT_STEPS["empty"]
    if record.is_stale(now):
        return _("Let a machine renew it, or import its new tokens")
    return NEXT_STEPS[record.auth_kind] if record.bucket(now) in ("broken", "day", "week") else ""
