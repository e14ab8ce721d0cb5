"""What the page of one connection shows beside its form."""

import json

from django.utils.translation import gettext as _

from connections.console import wording
from connections.console.records.timeline import build_timeline
from connections.json_format import schema, serialize
from connections.lib.text import printable_on_page
from connections.records import history

MAX_HISTORY_ENTRIES = 5


def build_sidebar(record, now):
    """The context of the sections around the form."""
    latest = list(history.queryset(record)[: MAX_HISTORY_ENTRIES + 1])
    return {
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
