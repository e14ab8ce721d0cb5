"""Imports: entries are judged, and written in short transactions. A preview writes nothing.

The command and the browser call run_import() and show the same ImportResult.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice

from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.utils import timezone
from uuid_utils import uuid7

from connections.audit import log
from connections.import_export.judge import ImportOptions, Judge, Task
from connections.import_export.results import ImportResult, Verdict
from connections.import_export.scanned_source import ScannedSource, have_common_entries
from connections.import_export.writer import Writer
from connections.json_format.issues import FileRefused, Issue
from connections.json_format.stream.sources import Source
from connections.lib import database
from connections.lib import processes as lib_processes

PIECES_PER_TRANSACTION = 16
CONFLICT_POLICIES = ("update", "replace", "skip", "fail")


class Cancelled(Exception):
    """Raised by `on_progress` to stop an import after the batch that is stored."""


def run_import(
    sources: Iterable[Source],
    options: ImportOptions | None = None,
    on_verdict: Callable[[Verdict], object] | None = None,
    on_progress: Callable[[int, int], object] | None = None,
    jobs: int = 1,
    user: User | None = None,
) -> ImportResult:
    """Import sources.

    The syntax of all sources is checked first: where one is refused, nothing of any is stored.
    `on_verdict(verdict)` is called for each entry, `on_progress(done, total)` before the first
    batch and after each, and may raise Cancelled. `jobs` processes read, judge and seal; this one
    writes. The audit log gets an entry before anything is stored, which is the only one where the
    process is killed, and one with the counts at the end, both in the name of `user`.
    """
    options = options or ImportOptions()
    sources = list(sources)
    result = ImportResult(dry_run=options.dry_run)
    if not options.dry_run:
        log.log_event("import", user=user, reason=_describe(sources, options), result="started")
    is_inside = connection.in_atomic_block
    try:
        _run(result, sources, options, on_verdict, on_progress, jobs)
    except BaseException as error:
        if options.atomic:
            result.mark_rolled_back()
        if isinstance(error, KeyboardInterrupt) and not is_inside:
            # Ctrl-C may have come within a BEGIN or COMMIT, and Django be wrong about the state
            # of the connection: drop it. What was not committed is rolled back.
            connection.close()
            del connections[DEFAULT_DB_ALIAS]
        _audit(result, sources, options, user, "failed")
        raise
    _audit(result, sources, options, user, "failed" if result.error else "done")
    return result


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
        scanned = [ScannedSource(source) for source in sources]
        total = sum(source.layout.count for source in scanned)
        # Where files have entries in common, the verdict on one depends on what became of
        # another: they are taken piece by piece, and a preview writes and is rolled back.
        is_shared = have_common_entries(scanned)
        # Equal content without an id may be spelled in two ways: only the database can tell.
        may_be_shared = sum(source.has_entry_without_id for source in scanned) > 1
        rolls_back_preview = options.dry_run and (is_shared or may_be_shared)
        if rolls_back_preview:
            options = replace(options, dry_run=False)
        one_by_one = is_shared or rolls_back_preview
        processes = 1 if one_by_one else lib_processes.worker_count(jobs, total)
        judge = Judge(scanned, options, timezone.now())
        writer = Writer(judge, result, on_verdict, one_by_one)
        is_one_transaction = rolls_back_preview or (options.atomic and not options.dry_run)
        with (
            lib_processes.workers(judge.judge, processes) as in_order,
            transaction.atomic() if is_one_transaction else nullcontext(),
        ):
            if not result.dry_run:
                database.enlarge_page_cache()
            _write_all(writer, in_order, total, on_progress)
            is_refused = options.atomic and result.rejected
            if is_one_transaction and (is_refused or rolls_back_preview):
                transaction.set_rollback(True)
        if is_refused:
            result.error = Issue("nothing_stored")
            result.mark_rolled_back()
    except Cancelled:
        result.cancelled = True
        if options.atomic:
            result.mark_rolled_back()
    except lib_processes.ProcessDied:
        result.fail(Issue("process_died"), options.atomic)
    except FileRefused as refusal:
        result.error = refusal.issue
        if result.read:  # otherwise the first pass refused it, before anything was stored
            result.fail(refusal.issue, options.atomic)
    result.seconds = time.monotonic() - started


def _tasks(scanned) -> Iterator[Task]:
    """The work, piece by piece.

    The ids of new records count up from one that is made here, so that their order is that of the
    file. A task that waits for a process has to fit into a pipe.
    """
    for index, source in enumerate(scanned):
        for piece in source.layout.pieces:
            yield Task(index, piece, uuid7().int)


def _write_all(writer, in_order, total, on_progress):
    """Write what the processes judge, some pieces at a time: a commit costs as much as many rows.

    Pieces are gathered outside of the transaction, so that others can write in between.
    """
    if on_progress:
        on_progress(0, total)
    judged_pieces = in_order(_tasks(writer.judge.scanned))
    group_size = 1 if writer.one_by_one else PIECES_PER_TRANSACTION
    while group := list(islice(judged_pieces, group_size)):
        writer.write(group)
        if on_progress:
            on_progress(writer.result.read, total)
