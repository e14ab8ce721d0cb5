"""What outlives a request: imports of the browser, kept sealed until stored, and other runs.

Every change of a run's state is a conditional UPDATE whose row count says who was first: of two
confirmations, two processes that take it over, or an end and a cancellation.
"""

import subprocess
import sys
import time
from collections import Counter, deque
from contextlib import contextmanager, suppress
from dataclasses import asdict
from threading import Thread

from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    IntegrityError,
    connection,
    connections,
    transaction,
)
from django.utils import timezone

from connections import alive
from connections.accounts.permissions import import_permissions, reload_user
from connections.encryption import keyring
from connections.import_export import importer
from connections.json_format.stream.sources import read_chunks
from connections.models import ImportChunk, ImportRun

Status = ImportRun.Status
STORED_OPTIONS = (
    "on_conflict",
    "atomic",
    "allow_older",
)  # what a run remembers of importing.Options
MAX_SHOWN_VERDICTS = 100  # of each verdict
MAX_REPORTED_ISSUES = 10_000  # errors, and as many warnings, in the report of a finished import
MAX_RECENT_ERRORS = 5  # refusals that are shown while it runs
QUIET_ARGS = ("--verbosity", "0")  # a process says nothing but the lines of the audit log
PROGRESS_INTERVAL = 0.5  # seconds between two notes of the progress


class AlreadyRunning(Exception):
    """Another import of the same person is under way."""


class CannotStart(Exception):
    """No process could be started for a run."""


# Uploads


class ChunkSource:
    """An ImportRun's chunks as a source."""

    def __init__(self, run):
        self.run, self.name = run, run.file_name
        self._cached = None, b""

    def chunks(self):
        for chunk in self.run.chunks.order_by("position").iterator(chunk_size=1):  # 1.4 MB each
            yield self._open(chunk)

    def read_chunk(self, position):
        return self._open(self.run.chunks.get(position=position))

    def read(self, offset, length):
        return read_chunks(self._cached_chunk, offset, length)

    def _cached_chunk(self, position):
        # Where one read ends in a chunk, the next begins: it is opened once.
        if self._cached[0] != position:
            self._cached = position, self.read_chunk(position)
        return self._cached[1]

    def _open(self, chunk):
        return keyring.unseal_bytes(chunk.token, chunk_binding(self.run, chunk.position))


def chunk_binding(run, position):
    return f"import/{run.pk}/{position}"


@transaction.atomic
def store_upload(source, user):
    """Store a source for the hour, each chunk sealed for its place."""
    run = ImportRun.objects.create(
        user=user, file_name=source.name[:255], size=source.size, sha256=""
    )
    store_chunks(run, source.chunks())
    run.sha256 = source.sha256
    run.save(update_fields=["sha256"])
    return run


def store_chunks(run, pieces):
    """Store pieces (bytes) of what a run is to do, each sealed for its place."""
    for position, data in enumerate(pieces):
        ImportChunk.objects.create(
            run=run,
            position=position,
            token=keyring.seal_bytes(data, chunk_binding(run, position)),
        )


class ImportReport:
    """Collects verdicts: counts, the first of each kind for a page, and the issues to report."""

    def __init__(self):
        self.verdicts_by_action = {action: [] for action in importer.VERDICT_ACTIONS}
        self.issues = []
        self.actions, self.warnings, self.level_counts = Counter(), Counter(), Counter()
        self.newest = deque(maxlen=MAX_RECENT_ERRORS)

    def add(self, verdict):
        self.actions[verdict.action] += 1
        shelf = self.verdicts_by_action[verdict.action]
        if len(shelf) < MAX_SHOWN_VERDICTS:
            shelf.append(verdict)
        for issue in verdict.issues:
            if issue.level == "warning":
                self.warnings[issue.code, issue.message, issue.path] += 1
            else:
                self.newest.appendleft(issue)
            self.level_counts[issue.level] += 1
            if self.level_counts[issue.level] <= MAX_REPORTED_ISSUES:
                self.issues.append(issue.as_json())

    @property
    def warning_rows(self):
        return [
            (message, path, count) for (_, message, path), count in self.warnings.most_common()
        ]

    def partial_result(self, seconds):
        """The result of what was reported until now, in the form of a finished one."""
        result = importer.ImportResult(
            **self.actions, warnings=self.level_counts["warning"], seconds=seconds
        )
        return {**result.as_json(), "issues": [issue.as_json() for issue in self.newest]}


# What a person does with a run


def confirm(run, options):
    """Start an uploaded run with importing.Options. See start()."""
    return start(run, {name: asdict(options)[name] for name in STORED_OPTIONS})


def start(run, options, by=None, **more):
    """Start a run that waits for that; `by` (launch) is called to have it done.

    `more` are other columns to set. False where it was started before; raises Busy or CannotStart.
    """
    now = timezone.now()
    this = ImportRun.all_kinds.filter(pk=run.pk)
    try:
        with transaction.atomic():
            claimed = this.filter(status=Status.UPLOADED).update(
                status=Status.RUNNING, options=options, started_at=now, heartbeat_at=now, **more
            )
    except IntegrityError:
        raise AlreadyRunning from None
    if claimed:
        try:
            (by or launch)(run)
        except CannotStart:
            this.filter(process="").update(status=Status.UPLOADED)
            raise
    return bool(claimed)


def resume(run):
    """Start an interrupted run again: what an import had stored is unchanged then."""
    if not run.is_interrupted:
        return False
    now = timezone.now()
    claimed = ImportRun.all_kinds.filter(
        pk=run.pk, status=Status.RUNNING, heartbeat_at=run.heartbeat_at
    ).update(
        process="",
        started_at=now,
        heartbeat_at=now,
        cancel_requested=False,
        options={**run.options, "continued": True},
        **run.RESET_ON_RESUME,
    )
    if claimed:
        launch(run)
    return bool(claimed)


def cancel(run):
    """Ask a run to stop after the batch that it is at."""
    running = ImportRun.all_kinds.filter(pk=run.pk, status=Status.RUNNING)
    return can_report_progress(run) and bool(running.update(cancel_requested=True))


def discard(run):
    """Throw away what was not confirmed, or was interrupted."""
    if run.status == Status.RUNNING:
        return run.abandon()
    with transaction.atomic():
        waiting = ImportRun.all_kinds.select_for_update().filter(pk=run.pk, status=Status.UPLOADED)
        return bool(waiting and waiting[0].delete())


def can_report_progress(run):
    """Whether a run can say how far it is, and hear that it is cancelled.

    All or nothing is one transaction, in which SQLite lets nobody else write.
    """
    return not (run.options.get("atomic") and connection.vendor == "sqlite")


def launch(run):
    """Have a process of its own do the run: a thread would end with its worker of the server."""
    try:
        if settings.CELERY_BROKER_URL:
            from connections.jobs import tasks  # no other command needs to load Celery

            tasks.TASKS_BY_KIND[run.kind].delay(str(run.pk))
            return
        process = subprocess.Popen(  # noqa: S603  (nothing that a person typed)
            [sys.executable, "manage.py", run.COMMAND, "--run", str(run.pk), *QUIET_ARGS],
            cwd=settings.BASE_DIR,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            # Its standard output is the server's own, which outlives this worker.
            stderr=subprocess.DEVNULL,
        )
    except Exception as error:  # Celery's brokers each have errors of their own
        raise CannotStart from error
    Thread(target=process.wait, daemon=True).start()  # leave no zombie


# The work


def execute(pk, jobs=1):
    """Do the import of that id. Its Result, or None where it does not wait for a process."""
    run = claim(ImportRun, pk)
    if run is None:
        return None
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


def claim(model, pk):
    """The run of that class and id that waits for a process, now this one's; None without any."""
    waiting = model.objects.filter(pk=pk, status=Status.RUNNING, process="")
    if not waiting.update(process=alive.current_process_name(), heartbeat_at=timezone.now()):
        return None
    return model.objects.select_related("user").get(pk=pk)


@contextmanager
def mark_interrupted_on_error(run):
    """What fails inside shows as interrupted now, and not in a while."""
    try:
        yield
    except BaseException:
        with suppress(DatabaseError):
            owned_row(run).update(
                process="", heartbeat_at=timezone.now() - ImportRun.HEARTBEAT_TIMEOUT
            )
        raise


def create_command_run(names):
    """A run for an import by the command, so that it can be undone."""
    now = timezone.now()
    return ImportRun.objects.create(
        file_name=", ".join(names)[:255],
        size=0,
        sha256="",
        status=Status.RUNNING,
        started_at=now,
        heartbeat_at=now,
        process=alive.current_process_name(),
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
        result={**result.as_json(), "issues": issues},
    )
    return True


def _import_options(run):
    """importing.Options of a run, with what its user may do now."""
    chosen = {name: run.options[name] for name in STORED_OPTIONS}
    return importer.ImportOptions(
        **chosen, **import_permissions(run.user), run_id=run.pk, user_id=run.user_id
    )


def owned_row(run):
    """The run's row, as long as this process is the one that does it."""
    return ImportRun.all_kinds.filter(pk=run.pk, status=Status.RUNNING, process=run.process)


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
            result={**result.as_json(), "issues": report.issues},
        )
        if ended:
            run.chunks.all().delete()
