"""What became of one connection: who did what to it, to which fields, and why. Never a value.

The audit log has what people and commands did to it by name. Imports and changes of many have one
entry there for all: what they made of a record its former versions tell, as long as they are kept.
"""

from datetime import datetime
from typing import NamedTuple

from django.db.models import Exists, JSONField, OuterRef, Q, Subquery, Value
from django.utils.translation import gettext as _

from connections.json_format.schema import json_name
from connections.models import (
    AccessEvent,
    ChangeRun,
    ConnectionAuth,
    FormerVersion,
    ImportRun,
    runs,
)
from connections.records import recycle_bin

ICONS = {
    "add": "plus",
    "change": "pencil",
    "delete": "trash-2",
    "restore": "rotate-cw",
    "undo": "rotate-cw",
    "reveal": "eye",
    "refresh": "rotate-cw",
    "import": "file-down",
}


class HistoryEntry(NamedTuple):
    """One line of a history; `fields` as the API spells them, `result` "" where it was done."""

    at: datetime
    icon: str
    what: str
    who: str
    fields: list
    why: str
    result: str = ""


def queryset(record):
    """A queryset of what entries() takes, newest first: to be counted and cut into pages."""
    pk = record.pk
    logged = AccessEvent.objects.filter(record_id=str(pk))
    # Of changes of a few the audit log tells by name.
    by_run = Q(run__kind=ImportRun.KIND) | Q(run__total__gt=recycle_bin.MAX_LOGGED_BY_NAME)
    replaced = FormerVersion.objects.filter(by_run, record=pk)
    made = ConnectionAuth.all_objects.filter(~Exists(logged.filter(action="add")), pk=pk)
    run = ImportRun.objects.filter(pk=OuterRef("made_by_run"))
    done, nothing = Value("done"), Value(None, JSONField())
    return (
        logged.values_list("at", "id", "action", "result", "user", "fields", "reason", nothing)
        .union(
            replaced.values_list(
                *("replaced_at", "version", "run__kind", done, "replaced_by__username", "fields"),
                *("run__file_name", "run__options"),
            ),
            made.values_list(
                *("created_at", "version", Value(ImportRun.KIND), done),
                *(Subquery(run.values("user__username")), nothing),
                *(Subquery(run.values("file_name")), nothing),
            ),
            all=True,
        )
        .order_by("-at", "-id")
    )


def entries(found):
    """The list of Entry for some of rows(), in their order."""
    return [_entry(*row) for row in found]


def _entry(at, _number, action, result, user, fields, why, options):
    what, icon = AccessEvent.ACTIONS[action], ICONS.get(action, "scroll-text")
    if action == ImportRun.KIND:
        what = _("Changed by an import")
        if fields is None:  # nothing was changed: that is how it came
            what = _("Added by an import") if why else _("Added")
        why = _("File: %s") % why if why else ""
    elif options:
        what, icon = _("Changed with many others"), "sliders-horizontal"
        why = runs.title_of(ChangeRun(options=options))
    return HistoryEntry(
        at,
        icon,
        what,
        user or "",
        [json_name(name) for name in fields or ()],
        why,
        "" if result == "done" else AccessEvent.RESULTS[result],
    )
