"""What the page of one connection says: its head in words, and its fields in groups. No HTML."""

import json
from datetime import datetime

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from connections.console import wording
from connections.console.labels import EXPIRY_SOURCES, NEXT_STEPS, STATUS_LABELS, field_label
from connections.console.records import timeline
from connections.console.records.forms import (
    EXPIRY_TITLE,
    IDENTITY_TITLE,
    MAIN_FIELDSETS,
    SIDE_FIELDSETS,
)
from connections.encryption.fields import Sealed
from connections.expiry import token_facts
from connections.json_format import schema, serialize
from connections.json_format.schema import json_name
from connections.lib.text import printable_on_page
from connections.models import SEALED_COLUMNS
from connections.records import history

MAX_HISTORY_ENTRIES = 5  # entries of the history beside the form


def header(record, now):
    """The top of the page.

    Returns a dict: `badges` (list of class and text), `subtitle`, `verdict` (bold fact, plain
    consequence) and `answers` (list of question, answer, note, mono: a field name or "").
    """
    bucket = record.bucket(now)
    badges = [(name, STATUS_LABELS[name]) for name in (bucket, *status_flags(record, now))]
    parts = [record.integration, record.get_auth_kind_display(), record.environment_label]
    return {
        "badges": badges,
        "subtitle": printable_on_page(", ".join(str(part) for part in parts if part)),
        "verdict": summary(record, now),
        "answers": answers(record, now),
    }


def status_flags(record, now=None):
    """What is to be said of a record beside its bucket, as keys of LABELS."""
    marked = {
        "stale": record.is_stale(now),
        "paused": record.is_paused,
        "unreadable": record.unreadable_fields,
    }
    return [name for name, is_so in marked.items() if is_so]


def summary(record, now):
    """`(fact, consequence)`, two sentences."""
    ends, breaks = record.access_expires_at, record.breaks_at
    has_ended = ends is not None and ends <= now
    if record.auth_kind == "empty":
        return (
            _("It holds no credentials."),
            _("Enter some below, or import the connection again."),
        )
    if breaks is not None and breaks <= now:
        return (
            _("It does not work any more."),
            _("It broke %(ago)s; %(step)s.")
            % {
                "ago": wording.relative_time(breaks, now),
                "step": wording.mid_sentence(next_step(record, now)),
            },
        )
    if has_ended:
        text = _("Access ended %(ago)s. A machine can renew it.")
        if breaks:
            text = _(
                "Access ended %(ago)s. A machine can renew it until %(until)s; "
                "after that only the customer can."
            )
        told = {"ago": wording.relative_time(ends, now), "until": wording.format_datetime(breaks)}
        return _("It does not work until it is renewed."), text % told
    if breaks is not None:
        told = {
            "ahead": wording.relative_time(breaks, now),
            "when": wording.format_datetime(breaks),
        }
        return _("It works."), _("It breaks %(ahead)s, on %(when)s.") % told
    if record.renewable:
        return _("It works."), _("A machine can renew it, and no end of that is known.")
    return _("It works, as far as we know."), _("Nothing stored says when it ends.")


def answers(record, now):
    """The four questions: does it work, until when, why do we think so, what next."""
    ends, breaks = record.access_expires_at, record.breaks_at
    is_down = any(moment is not None and moment <= now for moment in (ends, breaks))
    works = _("No, since %s") % wording.format_datetime(ends or breaks) if is_down else _("Yes")
    if record.auth_kind == "empty":
        works = _("No, it is empty")
    healthy = record.last_healthy_at
    source, mono = EXPIRY_SOURCES[record.expiry_source]
    if breaks is not None and breaks == record.refresh_expires_at != ends:
        source, mono = _("The end of its refresh token"), "refreshTokenExpiresDate"
        if record.refresh_token_expires_date is None:
            mono = "refreshTokenExpiresIn"
    return [
        (
            _("Does it work?"),
            works,
            _("Last seen healthy %s") % wording.relative_time(healthy, now) if healthy else "",
            "",
        ),
        (
            _("Until when?"),
            wording.format_datetime(breaks) or STATUS_LABELS["no_end"],
            capfirst(wording.relative_time(breaks, now)),
            "",
        ),
        (_("Why do we think so?"), source, "", mono),
        (_("What next?"), next_step(record, now) or _("Nothing"), "", ""),
    ]


def next_step(record, now):
    """What a person is to do, or "" where there is nothing to do yet."""
    if record.auth_kind == "empty":
        return NEXT_STEPS["empty"]
    if record.is_stale(now):
        return _("Let a machine renew it, or import its new tokens")
    return NEXT_STEPS[record.auth_kind] if record.bucket(now) in ("broken", "day", "week") else ""


def sealed_state(record, name, now):
    """How a sealed field is shown, off its token alone: nothing is opened."""
    sealed = getattr(record, name)
    if not isinstance(sealed, Sealed):
        return {"is_set": False}
    return {
        "is_set": True,
        "opens": name not in (record.unreadable_fields or ()),
        "size": wording.approximate_size(sealed.size),
        "sealed_at": sealed.sealed_at,
        "ago": wording.relative_time(sealed.sealed_at, now),
    }


def find_unreadable(record):
    """Names of sealed fields whose token none of our keys made. Opens nothing."""
    return [
        name
        for name in SEALED_COLUMNS
        if isinstance(getattr(record, name), Sealed) and not getattr(record, name).is_authentic
    ]


def fieldsets(record, form, now, *, can_change):
    """The groups of fields, as `(main, side)`: lists of dicts `title`, `rows`, `unset`.

    A row is a dict: `name`, `wire`, `label`, `help`, `input` and `clear` (bound fields or None),
    `sealed` (see sealed_state, None for a plain field), `value` (text of a plain field), `facts`
    and `notes` (labelled lines beside it). Fields that are not set are in `unset`, apart. A new
    record begins with who it is.
    """
    sections = (MAIN_FIELDSETS, SIDE_FIELDSETS)
    if record._state.adding:
        identity, *others = SIDE_FIELDSETS
        sections = ((identity, *MAIN_FIELDSETS), others)
    return tuple(
        [_fieldset(record, form, now, can_change, title, names) for title, names in section]
        for section in sections
    )


def _fieldset(record, form, now, can_change, title, names):
    if title is IDENTITY_TITLE and record._state.adding:
        names = (names[0], "connection_id", *names[1:])
    rows = [_field_row(record, form, now, can_change, name) for name in names]
    is_open = {
        row["name"] for row in rows if row["is_set"] or title in (IDENTITY_TITLE, EXPIRY_TITLE)
    }
    is_open |= {row["name"] for row in rows if row["input"] and row["input"].errors}
    return {
        "title": title,
        "rows": [row for row in rows if row["name"] in is_open],
        "unset": [
            row for row in rows if row["name"] not in is_open and (row["input"] or not can_change)
        ],
    }


def _field_row(record, form, now, can_change, name):
    is_sealed = name in SEALED_COLUMNS
    value = None if is_sealed else getattr(record, name)
    return {
        "name": name,
        "wire": json_name(name) if name != "integration" else "integrationType",
        "label": field_label(name),
        "help": form.fields[name].help_text if name in form.fields else "",
        "input": form[name] if can_change and name in form.fields else None,
        "clear": form[f"clear_{name}"] if can_change and is_sealed else None,
        "sealed": sealed_state(record, name, now) if is_sealed else None,
        "is_set": getattr(record, name) is not None,
        "value": _display_value(name, value),
        "facts": _fact_lines(name, (record.facts or {}).get(name)),
        "notes": _token_names(record) if name == "other_auth_info" else [],
    }


def _display_value(name, value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    kind = schema.AUTH_FIELDS.get(name)
    if kind == "date":
        return wording.format_datetime(value, wording.DATETIME_SECONDS_FORMAT)
    return str(serialize.normalize_number(value)) if kind == "number" else printable_on_page(value)


def _fact_lines(name, told):
    """What a token or a certificate tells everybody, as `(label, text)`."""
    if not told:
        return []
    if name == "pem":
        span = [
            wording.format_datetime(datetime.fromisoformat(told[edge]), wording.DATE_FORMAT)
            for edge in ("not_before", "not_after")
            if edge in told
        ]
        lines = [
            (_("Subject"), told.get("subject")),
            (_("Issuer"), told.get("issuer")),
            (_("Serial"), told.get("serial")),
            (_("Valid"), _("%s to %s") % tuple(span) if len(span) > 1 else ""),
        ]
    else:
        form = [told.get("typ", "JWT"), told.get("alg", "")]
        form += [_("key id %s") % told["kid"]] if "kid" in told else []
        form = [*filter(None, form), _("signature not checked")]
        times = ((_("Issued"), "iat"), (_("Not before"), "nbf"), (_("Ends"), "exp"))
        lines = [
            (_("Form"), ", ".join(form)),
            *(
                (
                    label,
                    wording.format_datetime(
                        token_facts.parse_numeric_date(told.get(at)),
                        wording.DATETIME_SECONDS_FORMAT,
                    ),
                )
                for label, at in times
            ),
            (_("Other claims"), _("only by reveal")),
        ]
    return [(label, text) for label, text in lines if text]


def _token_names(record):
    """The integration's labels for other_auth_info, position by position."""
    names = record.integration.token_names if record.integration_id else []
    return [(str(position), printable_on_page(name)) for position, name in enumerate(names, 1)]


def surrounding_fields(record, now):
    """What surrounds the auth object, as `(label, text, exact time or "")`."""
    lines = [
        (_("Connection id"), record.connection_id, ""),
        (_("Integration name"), record.integration_name, ""),
        (_("Workspace"), record.workspace_id, ""),
        (_("Categories"), ", ".join(record.categories or ()), ""),
        (_("Permissions"), ", ".join(record.permissions or ()), ""),
    ]
    for label, moment in (
        (_("Last healthy"), record.last_healthy_at),
        (_("Last unhealthy"), record.last_unhealthy_at),
        (_("Created by the API"), record.source_created_at),
        (_("Changed by the API"), record.source_updated_at),
        (_("Tokens came in"), record.received_at),
        (_("Changed here"), record.updated_at),
    ):
        lines.append((label, wording.relative_time(moment, now), wording.format_datetime(moment)))
    lines.insert(7, (_("Code"), record.last_unhealthy_code, ""))
    return [(label, printable_on_page(text), time) for label, text, time in lines if text]


def api_json(record):
    """The record as masked JSON of the API: pairs of a spelling and the text, indented.

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
        written = serialize.connection_json(values, auth, naming=naming)
        texts.append((naming, printable_on_page(_indented(written))))  # an escape of JSON too
    return texts


def _indented(value, margin=""):
    """JSON text with a line for each key; an array stays on one."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = margin + "  "
    lines = [f"{inner}{json.dumps(key)}: {_indented(of, inner)}" for key, of in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{margin}}}"


def sidebar(record, now):
    """What stands beside the form: `line` (see timeline.of), `texts` (see api_json), `history`
    (the latest entries) and `has_more` of them.
    """
    latest = list(history.queryset(record)[: MAX_HISTORY_ENTRIES + 1])
    return {
        "line": timeline.build(record, now),
        "texts": api_json(record),
        "history": history.entries(latest[:MAX_HISTORY_ENTRIES]),
        "has_more": len(latest) > MAX_HISTORY_ENTRIES,
    }
