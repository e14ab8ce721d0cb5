"""What happened to one connection: who did what to it, to which fields, and why. Never a value.

The audit log names what people and commands did to it. An import and a bulk change have one entry
there for all of their records: what they did to one is known from its former versions, as long as
those are kept.
"""

from collections import namedtuple
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db.models import (
    CharField,
    Exists,
    JSONField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
)
from django.utils.translation import gettext as _

from connections.json_format.schema import json_name
from connections.models import AccessEvent, ChangeRun, ConnectionAuth, FormerVersion, ImportRun
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
DEFAULT_ICON, BULK_CHANGE_ICON = "scroll-text", "sliders-horizontal"


class HistoryEntry(NamedTuple):
    """One line of a history; `fields` as the API spells them, `result` "" where it was done."""

    at: datetime
    icon: str
    title: str
    user: str
    fields: list[str]
    reason: str
    result: str


def queryset(record: ConnectionAuth) -> QuerySet:
    """The rows that entries() takes, newest first: to be counted and cut into pages."""
    rows = _logged_rows(record).union(_replaced_rows(record), _creation_rows(record), all=True)
    return rows.order_by("-at", "-id")  # by the names of the first part


def entries(rows: Iterable[tuple]) -> list[HistoryEntry]:
    """Some rows of queryset() as entries, in their order."""
    return [_entry(_Row(*row)) for row in rows]


def _entry(row):
    reason = row.reason
    if row.source == "log":
        icon, title = ICONS.get(row.action, DEFAULT_ICON), str(AccessEvent.ACTIONS[row.action])
    elif row.run_kind == ChangeRun.KIND:
        icon, title = BULK_CHANGE_ICON, _("Changed with many others")
        reason = ChangeRun(options=row.run_options).title
    else:
        icon = ICONS["import"]
        reason = _("File: %s") % row.file_name if row.file_name else ""
        if row.source == "version":
            title = _("Changed by an import")
        else:
            title = _("Added by an import") if row.file_name else _("Added")
    is_done = row.result in (None, "done")
    return HistoryEntry(
        row.at,
        icon,
        title,
        row.user or "",
        [json_name(name) for name in row.fields or ()],
        reason,
        "" if is_done else str(AccessEvent.RESULTS[row.result]),
    )


# The columns of the union. Those in the second line are of entries of the audit log, those in the
# third of runs; `number` orders what happened at one moment.
_Row = namedtuple(
    "_Row", "source at number user fields action result reason run_kind run_options file_name"
)
NULLS = {
    "action": Value(None, CharField()),
    "result": Value(None, CharField()),
    "reason": Value(None, TextField()),
    "fields": Value(None, JSONField()),
    "run_kind": Value(None, CharField()),
    "run_options": Value(None, JSONField()),
    "file_name": Value(None, CharField()),
}


def _select(queryset, source, **columns):
    """The rows of a source: a column is the name of a field or an expression, or else null."""
    columns = {**NULLS, "source": Value(source), **columns}
    return queryset.values_list(*(columns[name] for name in _Row._fields))


def _logged_rows(record):
    """The entries of the audit log that name the record."""
    same = ("at", "user", "fields", "action", "result", "reason")
    logged = AccessEvent.objects.filter(record_id=str(record.pk))
    return _select(logged, "log", number="id", **{name: name for name in same})


def _replaced_rows(record):
    """What imports and bulk changes replaced; small bulk changes are in the audit log by name."""
    is_by_run = Q(run__kind=ImportRun.KIND) | Q(run__total__gt=recycle_bin.MAX_LOGGED_BY_NAME)
    return _select(
        FormerVersion.objects.filter(is_by_run, record=record.pk),
        "version",
        at="replaced_at",
        number="version",
        user="replaced_by__username",
        fields="fields",
        run_kind="run__kind",
        run_options="run__options",
        file_name="run__file_name",
    )


def _creation_rows(record):
    """The creation of the record, where the audit log has none that names it."""
    is_logged = Exists(AccessEvent.objects.filter(record_id=str(record.pk), action="add"))
    run = ImportRun.objects.filter(pk=OuterRef("made_by_run"))
    return _select(
        ConnectionAuth.all_objects.filter(~is_logged, pk=record.pk),
        "record",
        at="created_at",
        number="version",
        user=Subquery(run.values("user__username")),
        file_name=Subquery(run.values("file_name")),
    )
