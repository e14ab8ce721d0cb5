"""Imports as runs: confirmed in the browser or begun by the command, reported, cancelled."""

import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, transaction
from django.utils import timezone

from connections.accounts.permissions import import_permissions, reload_user
from connections.import_export import importer
from connections.jobs import cleanup
from connections.jobs.chunks import ChunkSource
from connections.jobs.runs import (
    Status,
    can_report_progress,
    claim,
    mark_interrupted_on_error,
    owned_row,
    start,
)
from connections.lib import processes
from connections.models import ImportRun

STORED_OPTIONS = (
    "on_conflict",
    "atomic",
    "allow_older",
)  # what a run remembers of importing.Options

MAX_SHOWN_VERDICTS = 100  # of each verdict

MAX_REPORTED_ISSUES = 10_000  # errors, and as many warnings, in the report of a finished import

MAX_RECENT_ERRORS = 5  # refusals that are shown while it runs

PROGRESS_INTERVAL = 0.5  # seconds between two notes of the progress


class ImportReport:
    """Collects verdicts: counts, the first of each kind for a page, and the issues to report."""

    def __init__(self):
        self.verdicts_by_action = {action: [] for action in importer.VERDICT_ACTIONS}
        self.issues = []
        self.actions, self.level_counts = Counter(), Counter()
        self.warnings = {}  # (key, path, params) -> [the first issue of them, their number]
        self.newest = deque(maxlen=MAX_RECENT_ERRORS)

    def add(self, verdict):
        self.actions[verdict.action] += 1
        shelf = self.verdicts_by_action[verdict.action]
        if len(shelf) < MAX_SHOWN_VERDICTS:
            shelf.append(verdict)
        for issue in verdict.issues:
            if issue.level == "warning":
                kind = (issue.key, issue.path, *issue.params.values())
                self.warnings.setdefault(kind, [issue, 0])[1] += 1
            else:
                self.newest.appendleft(issue)
            self.level_counts[issue.level] += 1
            if self.level_counts[issue.level] <= MAX_REPORTED_ISSUES:
                self.issues.append(issue.as_stored())

    @property
    def warning_rows(self):
        """Pairs of a warning and how often it came, the most frequent ones first."""
        return sorted(self.warnings.values(), key=lambda row: row[1], reverse=True)

    def partial_result(self, seconds):
        """The result of what was reported until now, in the form of a finished one."""
        result = importer.ImportResult(
            **self.actions, warnings=self.level_counts["warning"], seconds=seconds
        )
        return result.as_stored([issue.as_stored() for issue in self.newest])


def confirm(run, options):
    """Start an uploaded run with importing.Options. See start()."""
    return start(run, {name: asdict(options)[name] for name in STORED_OPTIONS})


def execute(pk, jobs=1):
    """Do the import of that id. Its Result, or None where it does not wait for a process."""
    run = claim(ImportRun, pk)
    if run is None:
        return None
    cleanup.delete_expired()  # an import would bring a record in the bin back
    report = ImportReport()
    progress = _Progress(run, report)
    try:
        with mark_interrupted_on_error(run):
            result = importer.run_import(
                [ChunkSource(run)],
                _import_options(run),
                on_verdict=report.add,
                on_progress=progress,
                jobs=jobs,
                user=run.user,
            )
            _finish(run, result, report)
    finally:
        progress.close()
    return result


def create_command_run(names):
    """A run for an import by the command, so that it can be undone."""
    cleanup.delete_expired()  # as in execute()
    now = timezone.now()
    return ImportRun.objects.create(
        file_name=", ".join(names)[:255],
        size=0,
        sha256="",
        status=Status.RUNNING,
        started_at=now,
        heartbeat_at=now,
        process=processes.current_process_name(),
    )


def finish_command_run(run, result, options, issues):
    """Note what became of a run of the command; one that stored nothing is forgotten."""
    if not (result.created or result.updated):
        run.delete()
        return False
    owned_row(run).update(
        status=Status.DONE,
        finished_at=timezone.now(),
        done=result.read,
        options={name: asdict(options)[name] for name in STORED_OPTIONS},
        result=result.as_stored(issues),
    )
    return True


def _import_options(run):
    """importing.Options of a run, with what its user may do now."""
    chosen = {name: run.options[name] for name in STORED_OPTIONS}
    return importer.ImportOptions(
        **chosen, **import_permissions(run.user), run_id=run.pk, user_id=run.user_id
    )


class _Progress:
    """Called after each batch: notes how far the run is, and stops it where that is asked for."""

    def __init__(self, run, report):
        self.run, self.report = run, report
        self.started_at = self.reported_at = None
        self.database = DEFAULT_DB_ALIAS

    def __call__(self, done, total):
        now = time.monotonic()
        if not can_report_progress(self.run):
            return
        if self.started_at is None:
            self.started_at = now
            self._open_connection()
        elif done < total and now - self.reported_at < PROGRESS_INTERVAL:
            return
        self.reported_at = now
        self._cancel_if_permissions_changed()
        row = owned_row(self.run).using(self.database)
        with suppress(DatabaseError):  # a note can wait; what is wrong will show at the next batch
            told = row.update(
                done=done,
                total=total,
                heartbeat_at=timezone.now(),
                result=self.report.partial_result(now - self.started_at),
            )
            if not told or (done < total and row.filter(cancel_requested=True).exists()):
                raise importer.Cancelled

    def _cancel_if_permissions_changed(self):
        """Where its user may do other things now than at its start, the import stops. (All or
        nothing on SQLite lets nobody change that meanwhile.)
        """
        before = import_permissions(self.run.user)
        reload_user(self.run)
        if import_permissions(self.run.user) != before:
            raise importer.Cancelled

    def _open_connection(self):
        """Notes from within one long transaction need a connection of their own, to be seen."""
        if self.run.options["atomic"]:
            self.database = "progress"
            connections[self.database] = connection.copy(self.database)

    def close(self):
        if self.database != DEFAULT_DB_ALIAS:
            connections[self.database].close()
            del connections[self.database]


def _finish(run, result, report):
    if result.error:
        status = Status.FAILED
    elif result.cancelled:
        status = Status.CANCELLED
    else:
        status = Status.DONE
    with transaction.atomic():
        ended = owned_row(run).update(
            status=status,
            finished_at=timezone.now(),
            done=result.read,
            result=result.as_stored(report.issues),
        )
        if ended:
            run.chunks.all().delete()
