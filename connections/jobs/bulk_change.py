"""Changes of many connections at once: chosen in the list, previewed, confirmed, done, undone.

The chosen records are stored with their versions. Each batch is one transaction, which also
deletes the chunk that names its records: an interrupted run continues with the chunks that are
left, and a record that somebody else has saved since it was chosen is refused.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from struct import Struct
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from connections.accounts import permissions
from connections.audit import log
from connections.encryption import keyring
from connections.encryption.digests import identity_digest
from connections.jobs import chunks, runs
from connections.models import (
    ChangeRun,
    ConnectionAuth,
    FormerVersion,
    Integration,
    former_version,
    scope_of,
)
from connections.records import recycle_bin

BATCH_SIZE = 500  # records of one chunk, and so of one transaction
MAX_IN_REQUEST = 500  # up to so many records are changed within the request
PREVIEW_SIZE = 20  # records that a preview shows
JUDGED_COLUMNS = ("pk", "version", "is_paused", "environment", "integration_id")
PLACE_COLUMNS = ("integration_id", "environment")
ENTRY = Struct(">16sI")  # a record in a chunk: its id and version

REFUSALS = {
    "gone": _("Not there any more, or outside what you may reach."),
    "forbidden": _("You are not allowed to change connections in this way."),
    "newer": _("Saved by somebody else since they were chosen."),
    "outside": _("They would leave what you may reach."),
    "taken": _("Another connection without an id holds exactly the same there."),
}


# Choosing and previewing


def prepare(user, action: str, records: QuerySet[ConnectionAuth]) -> ChangeRun:
    """Store the records of a queryset, with their versions, as a run of one of ACTIONS."""
    pairs = records.order_by("pk").values_list("pk", "version").iterator(chunk_size=BATCH_SIZE)

    def encoded_batches():
        while batch := list(islice(pairs, BATCH_SIZE)):
            run.total += len(batch)
            yield b"".join(ENTRY.pack(pk.bytes, version) for pk, version in batch)

    with transaction.atomic():
        run = ChangeRun.objects.create(
            user=user, size=0, options={"action": action, "value": None}
        )
        chunks.store_chunks(run, encoded_batches())
        run.save(update_fields=["total"])
    if not run.action.needs_value:
        preview(run)
    return run


def preview(run: ChangeRun, value: str | None = None) -> None:
    """Store what a run would do; `value` is for an action that needs one."""
    run.options["value"] = value
    judge, counts, first = _ChangeJudge(run), Counter(), []
    for chunk in chunks.ChunkSource(run).chunks():
        versions = _decode(chunk)
        records = _visible_records(run, versions).values_list(*JUDGED_COLUMNS, named=True)
        for record, verdict in judge.verdicts(versions, records):
            counts[verdict] += 1
            if verdict == "changed" and len(first) < PREVIEW_SIZE:
                first.append(str(record.pk))
    run.result = {**_result(counts), "first": first}
    # Conditional: somebody may have started it meanwhile.
    ChangeRun.objects.filter(pk=run.pk, status=ChangeRun.Status.UPLOADED).update(
        options=run.options, result=run.result
    )


def _decode(chunk):
    """The records of a chunk: id -> version, in their order."""
    return {UUID(bytes=pk): version for pk, version in ENTRY.iter_unpack(chunk)}


def _result(counts: Counter) -> dict[str, Any]:
    """The result of a run, from counts of verdicts."""
    refused = {name: counts[name] for name in REFUSALS if counts[name]}
    return {"changed": counts["changed"], "already": counts["already"], "refused": refused}


def _visible_records(run, ids):
    """Those of some records that the run's user may see, by id."""
    return ConnectionAuth.objects.visible_to(run.user).filter(pk__in=ids).order_by("pk")


class _ChangeJudge:
    """Decides what a run does with each record."""

    def __init__(self, run):
        self.action, self.value = run.action, run.options["value"]
        if not self.action.needs_value:
            self.value = self.action.value
        self.is_allowed = permissions.has_staff_permission(run.user, self.action.permission)
        self.scope = scope_of(run.user)
        self.target_exists = (
            self.action.column != "integration_id"
            or Integration.objects.visible_to(run.user).filter(type=self.value).exists()
        )

    def verdicts(self, versions: dict[UUID, int], records) -> Iterator[tuple[Any, str]]:
        """Pairs of a record (None: not found) and `changed`, `already` or a key of REFUSALS."""
        found = {record.pk: record for record in records}
        for pk, version in versions.items():
            record = found.get(pk)
            yield record, self._verdict(record, version)

    def _verdict(self, record, version):
        if record is None:
            return "gone"
        if not self.is_allowed:
            return "forbidden"
        if self.action.is_applied_to(record, self.value):
            return "already"
        if record.version != version:
            return "newer"
        place = place_after(record, self.action.column, self.value)
        stays_in_scope = self.target_exists and self.scope.includes(*place)
        return "changed" if stays_in_scope else "outside"


# Doing it


class LostOwnership(Exception):
    """Another process has claimed the run."""


def start(run: ChangeRun) -> bool:
    """Start a previewed run: a small one is done at once, a larger one in the background.

    Returns and raises what runs.start() does.
    """
    options = dict(run.options)
    if options["action"] == "bin":
        options["binned_at"] = timezone.now().isoformat()
    launcher = (lambda run: execute(run.pk)) if run.total <= MAX_IN_REQUEST else None
    empty_result = {**_result(Counter()), "seconds": 0}  # in the place of the preview's
    try:
        return runs.start(run, options, launcher, result=empty_result)
    except runs.CannotStart:
        preview(run, run.options["value"])
        raise


def execute(pk: UUID | str) -> dict[str, Any] | None:
    """Do a started run, batch by batch. Returns its result, or None where none of that id waits.

    The result: `changed`, `already`, `refused` (reason -> count), `seconds`.
    """
    run = runs.claim(ChangeRun, pk)
    if run is None:
        return None
    with runs.mark_interrupted_on_error(run):
        if not run.done:
            _log_run(run, "started", run.total)
        status = ChangeRun.Status.DONE
        for position in run.chunks.order_by("position").values_list("position", flat=True):
            if runs.owned_row(run).filter(cancel_requested=True).exists():
                status = ChangeRun.Status.CANCELLED
                break
            execute_batch(run, position)
        with transaction.atomic():
            if runs.finish(run, runs.owned_row(run), status, result=run.result):
                _log_run(run, "done", run.result["changed"], status)
    return run.result


@transaction.atomic
def execute_batch(run: ChangeRun, position: int) -> None:
    """Change the records of a chunk, delete the chunk, and add to the result of the run.

    Raises LostOwnership, and changes nothing then.
    """
    started_at = time.monotonic()
    permissions.reload_user(run)  # they may have changed since the batch before
    versions = _decode(chunks.ChunkSource(run).read_chunk(position))
    judge, result, changed = _ChangeJudge(run), run.result, []
    counts = Counter(result["refused"], changed=result["changed"], already=result["already"])
    locked = _visible_records(run, versions).select_for_update(of=("self",)).defer_sealed()
    for record, verdict in judge.verdicts(versions, locked):
        counts[verdict] += 1
        if verdict == "changed":
            changed.append(record)
    if changed:
        taken = _apply(run, judge, changed)
        counts.update(changed=-taken, taken=taken)
    seconds = result["seconds"] + time.monotonic() - started_at
    run.result = {**_result(counts), "seconds": seconds}
    run.chunks.filter(position=position).delete()
    updated = runs.owned_row(run).update(
        done=F("done") + len(versions), heartbeat_at=timezone.now(), result=run.result
    )
    if not updated:
        raise LostOwnership


def _apply(run, judge, records):
    """Change locked records. Returns how many were refused as `taken`."""
    if run.options["action"] == "bin":
        queryset = ConnectionAuth.objects.filter(pk__in=[record.pk for record in records])
        recycle_bin.mark_binned(queryset, run.user, run.options["binned_at"])
        log_each_record(run, "delete", records, [], run.user)
        return 0
    column = judge.action.column
    changed = set_column(column, dict.fromkeys(records, judge.value), run.user, run)
    log_each_record(run, "change", changed, [model_field_name(column)], run.user)
    return len(records) - len(changed)


# Setting a column, which an undo does too


def model_field_name(column: str) -> str:
    """The name of the field of a column, as audit entries have it: `integration`."""
    return ConnectionAuth._meta.get_field(column).name


def set_column(
    column: str, values: dict[ConnectionAuth, Any], user, run: ChangeRun | None = None
) -> list[ConnectionAuth]:
    """Set a column of locked records (record -> value), and store their former versions.

    The column is no credential, so `locally_changed_at` stays. Returns the changed records: all
    but those whose new place is taken, where another one without an id holds the same.
    """
    changed, ids_by_value = [], defaultdict(list)
    origin = {"user_id": user and user.pk, "run_id": run and run.pk}
    for record, value in values.items():
        if _update_identity(record, column, value):
            changed.append(record)
            ids_by_value[value].append(record.pk)
    FormerVersion.objects.bulk_create(
        former_version.build_former_version(record, [model_field_name(column)], **origin)
        for record in changed
    )
    for value, ids in ids_by_value.items():
        ConnectionAuth.objects.filter(pk__in=ids).update(
            **{column: value}, updated_at=timezone.now(), version=F("version") + 1
        )
    return changed


def place_after(record: ConnectionAuth, column: str, value: Any) -> list[str | None]:
    """The integration and environment of a record once a column is set to a value."""
    return [value if name == column else getattr(record, name) for name in PLACE_COLUMNS]


def _update_identity(record, column, value):
    """Update the identity of a record without an id that moves. False where it is taken."""
    has_identity = record.connection_id is None and record.content_digest is not None
    if column not in PLACE_COLUMNS or not has_identity:
        return True
    place = place_after(record, column, value)
    digest = identity_digest(record.content_digest, *place, keyring.digest_key())
    try:
        with transaction.atomic():
            ConnectionAuth.objects.filter(pk=record.pk).update(identity_digest=digest)
    except IntegrityError:
        return False
    return True


# The audit log


def log_each_record(
    run: ChangeRun, action: str, records: list[ConnectionAuth], fields: list[str], user
) -> None:
    """Write an audit entry for each record of a small run; of a large one, _log_run() does."""
    if run.total <= recycle_bin.MAX_LOGGED_BY_NAME:
        for record in records:
            log.log_event(
                action, user=user, record=record, fields=fields, reason=_title_for_log(run)
            )


def _log_run(run, result, count, status=None):
    """Write an audit entry for a large run as a whole, at its start and at its end."""
    if run.total > recycle_bin.MAX_LOGGED_BY_NAME:
        action = "delete" if run.options["action"] == "bin" else "change"
        stopped = ", cancelled" if status == ChangeRun.Status.CANCELLED else ""
        reason = f"{_title_for_log(run)} (change {run.pk}{stopped})"
        log.log_event(action, user=run.user, count=count, reason=reason, result=result)


def _title_for_log(run):
    """The title in English: readers of the audit log have languages of their own."""
    with translation.override(settings.LANGUAGE_CODE):
        return run.title
