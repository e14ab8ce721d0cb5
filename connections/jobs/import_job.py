"""Imports as runs: confirmed in the browser or started by the command."""

import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, replace
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections
from django.utils import timezone

from connections.accounts.permissions import import_permissions, reload_user
from connections.import_export import importer
from connections.import_export.importer import ImportOptions
from connections.import_export.results import VERDICT_ACTIONS, ImportResult, Verdict
from connections.jobs import cleanup, runs
from connections.jobs.chunks import ChunkSource
from connections.json_format.issues import Issue
from connections.json_format.stream.sources import Source
from connections.lib import processes
from connections.models import ImportRun

STORED_OPTIONS = ("on_conflict", "atomic", "allow_older")  # the ImportOptions that a run keeps
MAX_SHOWN_VERDICTS = 100  # of each action
MAX_REPORTED_ISSUES = 10_000  # errors, and as many warnings, in the report of a finished import
MAX_RECENT_ERRORS = 5  # shown while the import runs
PROGRESS_INTERVAL = 0.5  # seconds between two updates of the run's row


class ImportReport:
    """Collects verdicts: counts, the first of each action for a page, and the issues to report."""

    def __init__(self):
        self.verdicts_by_action = {action: [] for action in VERDICT_ACTIONS}
        self.issues = []  # as stored in the result of a run
        self.action_counts, self.level_counts = Counter(), Counter()
        self.warnings = {}  # (key, path, params) -> [the first issue of them, their number]
        self.recent_errors = deque(maxlen=MAX_RECENT_ERRORS)

    def add(self, verdict: Verdict) -> None:
        self.action_counts[verdict.action] += 1
        verdicts = self.verdicts_by_action[verdict.action]
        if len(verdicts) < MAX_SHOWN_VERDICTS:
            verdicts.append(verdict)
        for issue in verdict.issues:
            if issue.level == "warning":
                kind = (issue.key, issue.path, *issue.params.values())
                self.warnings.setdefault(kind, [issue, 0])[1] += 1
            else:
                self.recent_errors.appendleft(issue)
            self.level_counts[issue.level] += 1
            if self.level_counts[issue.level] <= MAX_REPORTED_ISSUES:
                self.issues.append(issue.as_stored())

    @property
    def warning_rows(self) -> list[tuple[Issue, int]]:
        """Pairs of a warning and how often it came, the most frequent ones first."""
        return sorted(self.warnings.values(), key=lambda row: row[1], reverse=True)

    def partial_result(self, seconds: float) -> dict:
        """The result so far, in the form in which that of a finished run is stored."""
        result = ImportResult(
            **self.action_counts, warnings=self.level_counts["warning"], seconds=seconds
        )
        return result.as_stored([issue.as_stored() for issue in self.recent_errors])


def confirm(run: ImportRun, options: ImportOptions) -> bool:
    """Start an uploaded run with these options. Returns and raises what runs.start() does."""
    return runs.start(run, _stored_options(options))


def execute(pk: UUID | str, jobs: int = 1) -> ImportResult | None:
    """Do a started import, in `jobs` processes. Returns None where none of that id waits."""
    run = runs.claim(ImportRun, pk)
    if run is None:
        return None
    report = ImportReport()
    with runs.mark_interrupted_on_error(run):
        cleanup.delete_expired()  # an import restores the records that it finds in the bin
        stored = {name: run.options[name] for name in STORED_OPTIONS}
        permissions = import_permissions(run.user)  # those that the user has now
        options = ImportOptions(**stored, **permissions, run_id=run.pk, user_id=run.user_id)
        with closing(ImportProgress(run, report)) as progress:
            result = importer.run_import(
                [ChunkSource(run)],
                options,
                on_verdict=report.add,
                on_progress=progress,
                jobs=jobs,
                user=run.user,
            )
        _finish(run, result, report)
    return result


def import_sources(
    sources: list[Source],
    options: ImportOptions,
    *,
    on_verdict: Callable[[Verdict], object],
    on_progress: Callable[[int, int], object],
    jobs: int = 1,
) -> tuple[ImportResult, UUID | None]:
    """Import sources for the command, as importer.run_import() does, as a run that can be undone.

    Returns the result, and the id of the run: None where nothing was stored.
    """
    report = ImportReport()
    run = None if options.dry_run else _create_command_run([source.name for source in sources])

    def add_verdict(verdict):
        if verdict.issues:  # the counts are those of the result
            report.add(verdict)
        on_verdict(verdict)

    result = importer.run_import(
        sources,
        replace(options, run_id=run and run.pk),
        on_verdict=add_verdict,
        on_progress=on_progress,
        jobs=jobs,
    )
    if run is None:
        return result, None
    if not (result.created or result.updated):
        run.delete()
        return result, None
    runs.finish(
        run,
        runs.owned_row(run),
        ImportRun.Status.DONE,
        done=result.read,
        options=_stored_options(options),
        result=result.as_stored(report.issues),
    )
    return result, run.pk


def _create_command_run(file_names):
    cleanup.delete_expired()  # as in execute()
    now = timezone.now()
    return ImportRun.objects.create(
        file_name=", ".join(file_names)[:255],
        size=0,
        sha256="",
        status=ImportRun.Status.RUNNING,
        started_at=now,
        heartbeat_at=now,
        process=processes.process_name(),
    )


def _stored_options(options):
    return {name: asdict(options)[name] for name in STORED_OPTIONS}


class ImportProgress:
    """Called after each batch: stores how far the run is, and raises Cancelled where the run was
    cancelled, was claimed by another process, or its user has other permissions now.
    """

    def __init__(self, run, report):
        self.run, self.report = run, report
        self.started_at = self.reported_at = None  # monotonic seconds
        self.database = DEFAULT_DB_ALIAS

    def __call__(self, done, total):
        now = time.monotonic()
        if not runs.can_report_progress(self.run):
            return
        if self.started_at is None:
            self.started_at = now
            if self.run.options["atomic"]:
                # Its own connection is in a transaction, of which nobody sees anything.
                self.database = "progress"
                connections[self.database] = connection.copy(self.database)
        elif done < total and now - self.reported_at < PROGRESS_INTERVAL:
            return
        self.reported_at = now
        before = import_permissions(self.run.user)
        reload_user(self.run)
        if import_permissions(self.run.user) != before:
            raise importer.Cancelled
        row = runs.owned_row(self.run).using(self.database)
        with suppress(DatabaseError):  # progress can wait; a lasting error fails the next batch
            updated = row.update(
                done=done,
                total=total,
                heartbeat_at=timezone.now(),
                result=self.report.partial_result(now - self.started_at),
            )
            if not updated or (done < total and row.filter(cancel_requested=True).exists()):
                raise importer.Cancelled

    def close(self):
        if self.database != DEFAULT_DB_ALIAS:
            connections[self.database].close()
            del connections[self.database]


def _finish(run, result, report):
    if result.error:
        status = ImportRun.Status.FAILED
    elif result.cancelled:
        status = ImportRun.Status.CANCELLED
    else:
        status = ImportRun.Status.DONE
    stored = result.as_stored(report.issues)
    runs.finish(run, runs.owned_row(run), status, done=result.read, result=stored)
