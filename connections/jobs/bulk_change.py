"""Changes of many connections at once: chosen in the list, shown before they are done, undone.

The records are kept with their versions as they were chosen; a batch is done in one transaction,
which also takes it off what is left to do. So what is interrupted goes on where it was, and what
somebody else has saved meanwhile stays as they saved it.
"""

import time
from collections import Counter, defaultdict
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from connections.accounts import permissions
from connections.audit import log
from connections.encryption import stored_keys
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
from connections.models.runs import action_of, title_of
from connections.records import recycle_bin

BATCH_SIZE = 500  # records of one transaction
MAX_IN_REQUEST = 500  # up to so many are changed within the request
PREVIEW_SIZE = 20  # records that a preview shows
JUDGED_COLUMNS = ("pk", "version", "is_paused", "environment", "integration_id")  # columns
ENTRY_SIZE = 20  # bytes that a record takes in a chunk: its id, and its version


REFUSALS = {
    "gone": _("Not there any more, or outside what you may reach."),
    "forbidden": _("You are not allowed to change connections in this way."),
    "newer": _("Saved by somebody else since they were chosen."),
    "outside": _("They would leave what you may reach."),
    "taken": _("Another connection without an id holds exactly the same there."),
}


def prepare(user, action, records):
    """Keep the records of a queryset, with their versions, for one of ACTIONS. The ChangeRun."""
    chosen = records.order_by("pk").values_list("pk", "version")
    with transaction.atomic():
        run = ChangeRun.objects.create(
            kind=ChangeRun.KIND, user=user, size=0, options={"action": action, "value": None}
        )
        counted = _ChunkEncoder(chosen.iterator(chunk_size=BATCH_SIZE))
        chunks.store_chunks(run, counted.pieces())
        run.total = counted.count
        run.save(update_fields=["total"])
    if not action_of(run).needs_value:
        preview(run)
    return run


class _ChunkEncoder:
    """Pairs of an id and a version as pieces of bytes, and how many they were."""

    def __init__(self, pairs):
        self.pairs, self.count = pairs, 0

    def pieces(self):
        piece = b""
        for pk, version in self.pairs:
            piece += pk.bytes + version.to_bytes(4, "big")
            self.count += 1
            if len(piece) == BATCH_SIZE * ENTRY_SIZE:
                yield piece
                piece = b""
        if piece:
            yield piece


def _title_for_log(run):
    """The same in English: the next reader of the audit log may have another language."""
    with translation.override(settings.LANGUAGE_CODE):
        return title_of(run)


def preview(run, value=None):
    """Judge what a run would do (with a value, where its action asks for one), and remember it."""
    run.options["value"] = value
    judge, found, first = _ChangeJudge(run), Counter(), []
    for piece in chunks.ChunkSource(run).chunks():
        records = _records(run, piece).values_list(*JUDGED_COLUMNS, named=True)
        for record, verdict in judge.verdicts(piece, records):
            found[verdict] += 1
            if verdict == "changed" and len(first) < PREVIEW_SIZE:
                first.append(str(record.pk))
    run.result = {**_result_counts(found), "first": first}
    # Whoever has started it meanwhile is not disturbed.
    ChangeRun.objects.filter(pk=run.pk, status=ChangeRun.Status.UPLOADED).update(
        options=run.options, result=run.result
    )


def _result_counts(found):
    refused = {name: found[name] for name in REFUSALS if found[name]}
    return {"changed": found["changed"], "already": found["already"], "refused": refused}


def _records(run, piece):
    """The records of a piece that its user may reach, by id."""
    ids = [UUID(bytes=piece[at : at + 16]) for at in range(0, len(piece), ENTRY_SIZE)]
    reachable = ConnectionAuth.objects.visible_to(run.user).filter(pk__in=ids)
    return reachable.order_by("pk")


class _ChangeJudge:
    """Says of each record of a run what is to become of it."""

    def __init__(self, run):
        self.action, self.value = action_of(run), run.options["value"]
        if not self.action.needs_value:
            self.value = self.action.value
        self.is_allowed = permissions.has_staff_permission(run.user, self.action.permission)
        self.scope = scope_of(run.user)
        self.target_exists = (
            self.action.column != "integration_id"
            or Integration.objects.visible_to(run.user).filter(type=self.value).exists()
        )

    def verdicts(self, piece, records):
        """Pairs of a record (None where it is gone) and `changed`, `already` or a refusal."""
        found = {record.pk: record for record in records}
        for at in range(0, len(piece), ENTRY_SIZE):
            record = found.get(UUID(bytes=piece[at : at + 16]))
            yield (
                record,
                self._verdict(record, int.from_bytes(piece[at + 16 : at + ENTRY_SIZE], "big")),
            )

    def _verdict(self, record, version):
        if record is None:
            return "gone"
        if not self.is_allowed:
            return "forbidden"
        if self.action.is_applied_to(record, self.value):
            return "already"
        if record.version != version:
            return "newer"
        return "changed" if self._stays_in_scope(record) else "outside"

    def _stays_in_scope(self, record):
        place = {"integration_id": record.integration_id, "environment": record.environment}
        if self.action.column in place:
            place[self.action.column] = self.value
        return self.target_exists and self.scope.includes(*place.values())


# Doing it


def start(run):
    """Start a run that was looked at: a small one is done at once, others in the background.

    False where it was started before; raises runs.Busy or runs.CannotStart.
    """
    options = dict(run.options)
    if options["action"] == "bin":
        options["binned_at"] = timezone.now().isoformat()
    by = (lambda run: execute(run.pk)) if run.total <= MAX_IN_REQUEST else None
    nothing_yet = {**_result_counts(Counter()), "seconds": 0}  # what was there was a forecast
    try:
        return runs.start(run, options, by, result=nothing_yet)
    except runs.CannotStart:
        preview(run, run.options["value"])
        raise


class LostOwnership(Exception):
    """Another process does the run now."""


def execute(pk):
    """Do a run that waits for a process, batch by batch. Its result; None where none waits."""
    run = runs.claim(ChangeRun, pk)
    if run is None:
        return None
    with runs.mark_interrupted_on_error(run):
        if not run.done:
            _log_run(run, "started", run.total)
        began, before = time.monotonic(), run.result["seconds"]
        status = ChangeRun.Status.DONE
        for position in run.chunks.order_by("position").values_list("position", flat=True):
            if runs.owned_row(run).filter(cancel_requested=True).exists():
                status = ChangeRun.Status.CANCELLED
                break
            _do_batch(run, position, lambda: before + time.monotonic() - began)
        _finish(run, status)
    return run.result


@transaction.atomic
def _do_batch(run, position, seconds):
    permissions.reload_user(run)  # a batch before may have been long ago
    piece = chunks.ChunkSource(run).read_chunk(position)
    judge, found, chosen = _ChangeJudge(run), Counter(), []
    locked = _records(run, piece).select_for_update(of=("self",)).defer_sealed()
    for record, verdict in judge.verdicts(piece, locked):
        found[verdict] += 1
        if verdict == "changed":
            chosen.append(record)
    if chosen:
        taken = _apply(run, judge, chosen)
        found.update(changed=-taken, taken=taken)
    run.result = _add_results(run.result, _result_counts(found), seconds())
    run.chunks.filter(position=position).delete()
    told = runs.owned_row(run).update(
        done=F("done") + len(piece) // ENTRY_SIZE, heartbeat_at=timezone.now(), result=run.result
    )
    if not told:
        raise LostOwnership


def _add_results(result, more, seconds):
    refused = Counter(result["refused"]) + Counter(more["refused"])
    return {
        "changed": result["changed"] + more["changed"],
        "already": result["already"] + more["already"],
        "refused": dict(refused),
        "seconds": seconds,
    }


def _apply(run, judge, records):
    """Write a batch; all are locked, judged, and reachable. How many another one has taken."""
    if run.options["action"] == "bin":
        chosen = ConnectionAuth.objects.filter(pk__in=[record.pk for record in records])
        recycle_bin.mark_binned(chosen, run.user, run.options["binned_at"])
        log_each_record(run, "delete", records, [], run.user)
        return 0
    column = judge.action.column
    done, taken = set_column(column, {record: judge.value for record in records}, run.user, run)
    log_each_record(run, "change", done, [model_field_name(column)], run.user)
    return len(taken)


def model_field_name(column):
    """The name of the field of a column, as entries of logs have it: `integration`."""
    return ConnectionAuth._meta.get_field(column).name


def set_column(column, values, user, run=None):
    """Set a column of locked records (record -> value); what it held is kept, and versions count.

    It is no credential: when such a one was changed here stays. Returns the records that are
    changed, and those whose place another one without an id has taken.
    """
    done, taken, by_value = [], [], defaultdict(list)
    origin = {"by": user and user.pk, "run": run and run.pk}
    for record, value in values.items():
        if _update_identity(record, column, value):
            done.append(record)
            by_value[value].append(record.pk)
        else:
            taken.append(record)
    FormerVersion.objects.bulk_create(
        former_version.build_former_version(record, [model_field_name(column)], **origin)
        for record in done
    )
    for value, ids in by_value.items():
        ConnectionAuth.objects.filter(pk__in=ids).update(
            **{column: value}, updated_at=timezone.now(), version=F("version") + 1
        )
    return done, taken


def _update_identity(record, column, value):
    """Where a record without an id moves, its identity does so too. False where that is taken."""
    place = {"integration_id": record.integration_id, "environment": record.environment}
    has_identity = record.connection_id is None and record.content_digest is not None
    if column not in place or not has_identity:
        return True
    place[column] = value
    digest = identity_digest(record.content_digest, *place.values(), stored_keys.digest_key())
    try:
        with transaction.atomic():
            ConnectionAuth.objects.filter(pk=record.pk).update(identity_digest=digest)
    except IntegrityError:
        return False
    return True


def _finish(run, status):
    with transaction.atomic():
        if runs.owned_row(run).update(
            status=status, finished_at=timezone.now(), result=run.result
        ):
            run.chunks.all().delete()
            _log_run(run, "done", run.result["changed"], status)


def log_each_record(run, action, records, fields, user):
    """Few are told of by name, as in the bin; many by their number, at the start and the end."""
    if run.total <= recycle_bin.MAX_LOGGED_BY_NAME:
        for record in records:
            log.log_event(
                action, user=user, record=record, fields=fields, reason=_title_for_log(run)
            )


def _log_run(run, result, count, status=None):
    if run.total > recycle_bin.MAX_LOGGED_BY_NAME:
        action = "delete" if run.options["action"] == "bin" else "change"
        stopped = ", cancelled" if status == ChangeRun.Status.CANCELLED else ""
        reason = f"{_title_for_log(run)} (change {run.pk}{stopped})"
        log.log_event(action, user=run.user, count=count, reason=reason, result=result)
