"""The fields on the page of one connection, in fieldsets. Nothing sealed is opened."""

from datetime import datetime

from django.utils.translation import gettext as _

from connections.console import wording
from connections.console.labels import field_label
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


def build_fieldsets(record, form, now, *, can_change):
    """The fieldsets of the main column and those of the side column, for the template.

    The page of a new record begins with its identity.
    """
    main, side = MAIN_FIELDSETS, SIDE_FIELDSETS
    if record._state.adding:
        identity, *side = SIDE_FIELDSETS
        main = (identity, *MAIN_FIELDSETS)
    return tuple(
        [_fieldset(record, form, now, can_change, title, names) for title, names in column]
        for column in (main, side)
    )


def find_unreadable(record):
    """The names of sealed fields whose token none of our keys made. Opens nothing."""
    return [
        name
        for name in SEALED_COLUMNS
        if isinstance(getattr(record, name), Sealed) and not getattr(record, name).is_authentic
    ]


def _fieldset(record, form, now, can_change, title, names):
    if title is IDENTITY_TITLE and record._state.adding:
        names = (names[0], "connection_id", *names[1:])
    shows_all = title in (IDENTITY_TITLE, EXPIRY_TITLE)
    rows, unset_rows = [], []
    for name in names:
        row = _field_row(record, form, now, can_change, name)
        if row["is_set"] or shows_all or (row["input"] and row["input"].errors):
            rows.append(row)
        elif row["input"] or not can_change:
            unset_rows.append(row)
    return {"title": title, "rows": rows, "unset_rows": unset_rows}


def _field_row(record, form, now, can_change, name):
    is_sealed = name in SEALED_COLUMNS
    return {
        "name": name,
        "api_name": json_name(name) if name != "integration" else "integrationType",
        "label": field_label(name),
        "help_text": form.fields[name].help_text if name in form.fields else "",
        "input": form[name] if can_change and name in form.fields else None,
        "clear": form[f"clear_{name}"] if can_change and is_sealed else None,
        "sealed": _sealed_state(record, name, now) if is_sealed else None,
        "is_set": getattr(record, name) is not None,
        "value": "" if is_sealed else _display_value(name, getattr(record, name)),
        "facts": _fact_lines(name, (record.facts or {}).get(name)),
        "token_names": _token_names(record) if name == "other_auth_info" else [],
    }


def _sealed_state(record, name, now):
    """What a token tells of a sealed value without being opened."""
    sealed = getattr(record, name)
    if not isinstance(sealed, Sealed):
        return {"is_set": False}
    return {
        "is_set": True,
        "opens": name not in (record.unreadable_fields or ()),  # as far as we know
        "size": wording.approximate_size(sealed.size),
        "sealed_at": sealed.sealed_at,
        "ago": wording.relative_time(sealed.sealed_at, now),
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


def _fact_lines(name, stored_facts):
    """The facts of a token or a certificate as labels and texts."""
    if not stored_facts:
        return []
    lines = _certificate_lines(stored_facts) if name == "pem" else _token_lines(stored_facts)
    return [(label, text) for label, text in lines if text]


def _certificate_lines(stored_facts):
    dates = [
        wording.format_datetime(datetime.fromisoformat(stored_facts[edge]), wording.DATE_FORMAT)
        for edge in ("not_before", "not_after")
        if edge in stored_facts
    ]
    return [
        (_("Subject"), stored_facts.get("subject")),
        (_("Issuer"), stored_facts.get("issuer")),
        (_("Serial"), stored_facts.get("serial")),
        (_("Valid"), _("%s to %s") % tuple(dates) if len(dates) > 1 else ""),
    ]


def _token_lines(stored_facts):
    form = [stored_facts.get("typ", "JWT"), stored_facts.get("alg", "")]
    form += [_("key id %s") % stored_facts["kid"]] if "kid" in stored_facts else []
    form = [*filter(None, form), _("signature not checked")]

    def moment(claim):
        value = token_facts.parse_numeric_date(stored_facts.get(claim))
        return wording.format_datetime(value, wording.DATETIME_SECONDS_FORMAT)

    return [
        (_("Form"), ", ".join(form)),
        (_("Issued"), moment("iat")),
        (_("Not before"), moment("nbf")),
        (_("Ends"), moment("exp")),
        (_("Other claims"), _("only by reveal")),
    ]


def _token_names(record):
    names = record.integration.token_names if record.integration_id else []
    return [(str(position), printable_on_page(name)) for position, name in enumerate(names, 1)]
