"""What became of one connection: who did what to it, to which fields, and why. Never a value.

The audit log has what people and commands did to it by name. Imports and changes of many have one
entry there for all: what they made of a record its former versions tell, as long as they are kept.
"""

from datetime import datetime
from typing import NamedTuple

from django.db.models import Exists, Q, Value
from django.utils.translation import gettext as _

from . import bin, changes
from .models import AccessEvent, ChangeRun, ConnectionAuth, ImportRun, ReplacedAuth
from .writing import field_name

LOGGED, IMPORTED, MADE = 0, 1, 2
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


class Entry(NamedTuple):
    """One line of a history; `fields` as the API spells them, `result` "" where it was done."""

    at: datetime
    icon: str
    what: str
    who: str
    fields: list
    why: str
    result: str = ""


def keys(record):
    """A queryset of what entries() takes, newest first: to be counted and cut into pages."""
    pk = record.pk
    logged = AccessEvent.objects.filter(record_id=str(pk))
    # Of changes of a few the audit log tells by name.
    by_run = Q(run__kind=ImportRun.KIND) | Q(run__total__gt=bin.NAMED)
    imported = ReplacedAuth.objects.filter(by_run, record=pk)
    made = ConnectionAuth.all_objects.filter(~Exists(logged.filter(action="add")), pk=pk)
    return (
        logged.values_list("at", "id", Value(LOGGED))
        .union(
            imported.values_list("replaced_at", "version", Value(IMPORTED)),
            made.values_list("created_at", "version", Value(MADE)),
            all=True,
        )
        .order_by("-at", "-id")
    )


def entries(record, chosen):
    """The list of Entry for some of keys(), in their order."""
    numbers = {kind: [n for _, n, k in chosen if k == kind] for kind in (LOGGED, IMPORTED, MADE)}
    found = {}
    if numbers[LOGGED]:
        for event in AccessEvent.objects.filter(id__in=numbers[LOGGED]):
            found[LOGGED, event.pk] = _logged(event)
    if numbers[IMPORTED]:
        held = record.replaced.filter(version__in=numbers[IMPORTED], run__isnull=False)
        for former in held.select_related("by", "run").defer("content", "run__result"):
            found[IMPORTED, former.version] = _imported(former)
    if numbers[MADE]:
        run = ImportRun.objects.filter(pk=record.made_by_run).select_related("user").first()
        found[MADE, numbers[MADE][0]] = _made(record, run)
    return [found[kind, number] for _, number, kind in chosen if (kind, number) in found]


def _logged(event):
    return Entry(
        event.at,
        ICONS.get(event.action, "scroll-text"),
        event.get_action_display(),
        event.user,
        [field_name(name) for name in event.fields],
        event.reason,
        "" if event.result == "done" else event.get_result_display(),
    )


def _imported(former):
    who = former.by.get_username() if former.by else ""
    fields = [field_name(name) for name in former.fields]
    if former.run.kind == ChangeRun.KIND:
        what, why = _("Changed with many others"), changes.title_of(former.run)
        return Entry(former.replaced_at, "sliders-horizontal", what, who, fields, why)
    return Entry(
        former.replaced_at,
        "file-down",
        _("Changed by an import"),
        who,
        fields,
        _of_file(former.run),
    )


def _made(record, run):
    who = run.user.get_username() if run and run.user else ""
    what = _("Added by an import") if record.made_by_run else _("Added")
    return Entry(record.created_at, "plus", what, who, [], _of_file(run))


def _of_file(run):
    return _("File: %s") % run.file_name if run and run.file_name else ""
