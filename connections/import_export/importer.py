"""Imports: entries -> verdicts -> short transactions -> one result. Preview writes nothing.

The command and the browser call run() and print the same Result.
"""

import time
from collections import deque
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import islice
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.utils import timezone
from uuid_utils import uuid7

from connections.audit import log
from connections.import_export.duplicates import Duplicates
from connections.import_export.judge import Judge
from connections.import_export.writer import Writer
from connections.json_format.issues import FileRefused, Issue
from connections.json_format.stream.reader import scan
from connections.lib import database
from connections.lib import processes as lib_processes
from connections.models import UNLIMITED, Scope

PIECES_PER_TRANSACTION = 16  # pieces that are written in one transaction
CONFLICT_POLICIES = ("update", "replace", "skip", "fail")
VERDICT_ACTIONS = ("created", "updated", "unchanged", "skipped", "rejected")


@dataclass(frozen=True)
class ImportOptions:
    """How to import. `integration` and `environment` are for entries that name none; `run_id` and
    `user_id` are the ids of an ImportRun and of a user: what is stored remembers them.
    """

    on_conflict: str = "update"
    allow_older: bool = False
    dry_run: bool = False
    atomic: bool = False
    integration: str | None = None
    environment: str | None = None
    scope: Scope = UNLIMITED  # what lies outside is neither written nor told of
    may_add: bool = True
    may_change: bool = True
    run_id: UUID | None = None
    user_id: int | None = None


@dataclass
class ImportResult:
    """The outcome of a run; `read` is the sum of the five verdicts, `seconds` wall time."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    rejected: int = 0
    warnings: int = 0
    dry_run: bool = False
    seconds: float = 0.0
    cancelled: bool = False
    error: Issue | None = None

    @property
    def read(self):
        return sum(getattr(self, action) for action in VERDICT_ACTIONS)

    def count(self, verdict):
        setattr(self, verdict.action, getattr(self, verdict.action) + 1)
        self.warnings += sum(issue.level == "warning" for issue in verdict.issues)

    def store_nothing(self):
        """What was stored is rolled back again: those records count as skipped."""
        self.skipped += self.created + self.updated
        self.created = self.updated = 0

    def stop(self, error, atomic):
        """End the run half way: its error says whether anything that it stored stays."""
        if atomic:
            self.store_nothing()
        stays = (self.created or self.updated) and not self.dry_run
        outcome = "changes_kept" if stays else "nothing_stored"
        self.error = replace(error, params={**error.params, "outcome": outcome})

    def as_json(self):
        """The result object that `--json` prints (docs/json-format.md)."""
        written = {"read": self.read, **asdict(self), "seconds": round(self.seconds, 3)}
        del written["error"]
        if not self.cancelled:
            del written["cancelled"]
        if self.error:
            written["error"] = {"code": self.error.code, "message": self.error.message}
        return written

    def as_stored(self, issues):
        """The JSON that a run stores, with some issues (each from Issue.as_stored)."""
        error = {"error": self.error.as_stored()} if self.error else {}
        return {**self.as_json(), **error, "issues": issues}


class Cancelled(Exception):
    """Raised by `on_progress` to stop a run after the batch that is stored."""


class RollBackAtomic(Exception):
    """Rolls an atomic run back."""


class RollBackPreview(Exception):
    """Rolls a preview back that had to write."""


def run_import(sources, options=None, on_verdict=None, on_progress=None, jobs=1, user=None):
    """Import sources (see reader) and return a Result.

    The syntax of all sources is checked first: where one is refused, nothing of any is stored.
    `on_verdict(verdict)` is called for each entry, `on_progress(done, total)` before the first
    batch and after each, and may raise Cancelled; `jobs` processes read, judge and seal, and this
    one writes. It is audited as of `user` (see audit.record): an entry before anything is stored,
    which stays alone where the process is killed, and one with the counts at the end.
    """
    options = options or ImportOptions()
    result = ImportResult(dry_run=options.dry_run)
    if not options.dry_run:
        log.log_event("import", user=user, reason=_describe(sources, options), result="started")
    is_inside = connection.in_atomic_block
    try:
        _run(result, sources, options, on_verdict, on_progress, jobs)
    except BaseException as error:
        if options.atomic:
            result.store_nothing()
        if isinstance(error, KeyboardInterrupt) and not is_inside:
            _reset_connection()
        _audit(result, sources, options, user, "failed")
        raise
    _audit(result, sources, options, user, "failed" if result.error else "done")
    return result


def _reset_connection():
    """Leave a connection that Ctrl-C may have met within a BEGIN or COMMIT: what Django believes
    of it need not be so. What was not committed is rolled back.
    """
    connection.close()
    del connections[DEFAULT_DB_ALIAS]


def _audit(result, sources, options, user, outcome):
    if options.dry_run:
        return
    counts = (
        f"{result.created} created, {result.updated} updated, {result.unchanged} unchanged, "
        f"{result.skipped} skipped, {result.rejected} refused"
    )
    log.log_event(
        "import",
        user=user,
        count=result.created + result.updated,
        reason=f"{counts} {_describe(sources, options)}",
        result=outcome,
    )


def _describe(sources, options):
    return f"({options.on_conflict}): {', '.join(source.name for source in sources)}"


def _run(result, sources, options, on_verdict, on_progress, jobs):
    started = time.monotonic()
    try:
        scanned = [_scan(source) for source in sources]
        total = sum(layout.count for _, layout, _ in scanned)
        # Where files share records, what one says depends on what became of another: they are
        # taken piece after piece, and a preview does all of it and rolls it back.
        found = [repeats for _, _, repeats in scanned]
        is_shared = Duplicates.have_common_entries(found)
        # Without an id, equal content may be spelled in two ways: only the store can tell.
        is_unsure = sum(repeats.has_entry_without_id for repeats in found) > 1
        rehearses = options.dry_run and (is_shared or is_unsure)
        if rehearses:
            options = replace(options, dry_run=False)
        processes = 1 if is_shared or rehearses else lib_processes.worker_count(jobs, total)
        judge = Judge(scanned, options, timezone.now())
        writer = Writer(judge, result, on_verdict, one_by_one=is_shared or rehearses)
        is_one = rehearses or (options.atomic and not options.dry_run)
        with (
            lib_processes.workers(judge.judge, processes) as in_order,
            transaction.atomic() if is_one else nullcontext(),
        ):
            if not result.dry_run:
                database.enlarge_page_cache()
            _write_all(writer, in_order, total, on_progress)
            if options.atomic and result.rejected:
                raise RollBackAtomic
            if rehearses:
                raise RollBackPreview
    except RollBackPreview:
        pass
    except RollBackAtomic:
        result.error = Issue("nothing_stored")
        result.store_nothing()
    except Cancelled:
        result.cancelled = True
        if options.atomic:
            result.store_nothing()
    except lib_processes.ProcessDied:
        result.stop(Issue("process_died"), options.atomic)
    except FileRefused as refusal:
        result.error = refusal.issue
        if result.read:  # else the check found it, before anything was stored
            result.stop(refusal.issue, options.atomic)
    result.seconds = time.monotonic() - started


def _scan(source):
    repeats = Duplicates()
    layout = scan(source, repeats.add)
    repeats.finish(source, layout)
    return source, layout, repeats


def _tasks(scanned):
    """The work, piece by piece. Ids are made here, so that their order is that of the file: those
    of a piece follow its first one. (What waits for a process must fit into a pipe.)
    """
    for index, (_, layout, _) in enumerate(scanned):
        for piece in layout.pieces:
            yield index, piece, uuid7().int


def _write_all(writer, in_order, total, on_progress):
    """Write what the processes judge, some pieces at a time: a commit costs as much as many rows.

    They are gathered outside the transaction, so that others get to write in between.
    """
    done, given = 0, deque()
    if on_progress:
        on_progress(done, total)
    judged = in_order(_track_tasks(_tasks(writer.judge.scanned), given))
    together = 1 if writer.one_by_one else PIECES_PER_TRANSACTION
    while group := [(given.popleft(), piece) for piece in islice(judged, together)]:
        writer.write(group)
        done += sum(task[1].count for task, _ in group)
        if on_progress:
            on_progress(done, total)


def _track_tasks(tasks, given):
    for task in tasks:
        given.append(task)
        yield task
