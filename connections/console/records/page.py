"""What the page of one connection shows around its form."""

import json

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from connections.console import wording
from connections.console.labels import EXPIRY_SOURCES, NEXT_STEPS, STATUS_LABELS
from connections.console.records.timeline import build_timeline
from connections.json_format import schema, serialize
from connections.lib.text import printable_on_page
from connections.records import history

MAX_HISTORY_ENTRIES = 5


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


def build_context(record, now):
    """The context of the header, and of the sections around the form."""
    latest = list(history.queryset(record)[: MAX_HISTORY_ENTRIES + 1])
    return {
        "header": build_header(record, now),
        "timeline": build_timeline(record, now),
        "surrounding_fields": surrounding_fields(record, now),
        "api_json": api_json(record),
        "history": history.entries(latest[:MAX_HISTORY_ENTRIES]),
        "has_more_history": len(latest) > MAX_HISTORY_ENTRIES,
    }


def surrounding_fields(record, now):
    """The fields of the Connection that are set and not in its auth object.

    Each with its label and text, and for a moment, whose text is relative, with the exact time.
    """

    def moment(label, value):
        return label, wording.relative_time(value, now), wording.format_datetime(value)

    def text(label, value):
        return label, printable_on_page(value or ""), ""

    fields = [
        text(_("Connection id"), record.connection_id),
        text(_("Integration name"), record.integration_name),
        text(_("Workspace"), record.workspace_id),
        text(_("Categories"), ", ".join(record.categories or ())),
        text(_("Permissions"), ", ".join(record.permissions or ())),
        moment(_("Last healthy"), record.last_healthy_at),
        moment(_("Last unhealthy"), record.last_unhealthy_at),
        text(_("Code"), record.last_unhealthy_code),
        moment(_("Created by the API"), record.source_created_at),
        moment(_("Changed by the API"), record.source_updated_at),
        moment(_("Tokens came in"), record.received_at),
        moment(_("Changed here"), record.updated_at),
    ]
    return [field for field in fields if field[1]]


def api_json(record):
    """The record as masked JSON of the API: pairs of a spelling and the indented text.

    Nothing is opened: an array shows one mask, however long it is, and unknown keys are left out.
    """
    names = (*schema.CONNECTION_COLUMNS, *schema.AUTH_FIELDS)
    values = {name: getattr(record, name) for name in names}
    for name in schema.SEALED_FIELDS:
        if values[name] is not None:
            values[name] = serialize.mask_value(name, [""])
    texts = []
    for naming in ("camel", "snake"):
        auth = serialize.auth_json(values, naming=naming)
        connection = serialize.connection_json(values, auth, naming=naming)
        texts.append((naming, printable_on_page(_indented(connection))))
    return texts


def _indented(value, margin=""):
    """JSON text with a line for each key; an array stays on one line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = margin + "  "
    lines = [f"{inner}{json.dumps(key)}: {_indented(of, inner)}" for key, of in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
