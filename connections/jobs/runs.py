"""What outlives a request: imports of the browser, kept sealed until stored, and other runs.

Every change of a run's state is a conditional UPDATE whose row count says who was first: of two
confirmations, two processes that take it over, or an end and a cancellation.
"""

import subprocess
import sys
from contextlib import contextmanager, suppress
from threading import Thread

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from connections.lib import database, processes
from connections.models import ImportRun

Status = ImportRun.Status
QUIET_ARGS = ("--verbosity", "0")  # a process says nothing but the lines of the audit log


class AlreadyRunning(Exception):
    """Another import of the same person is under way."""


class CannotStart(Exception):
    """Neither a process nor a Celery worker could be given the work."""


# Uploads


# What a person does with a run


def start(run, options, by=None, **more):
    """Start a run that waits for that; `by` (launch) is called to have it done.

    `more` are other columns to set. False where it was started before; raises Busy or CannotStart.
    """
    now = timezone.now()
    this = ImportRun.all_kinds.filter(pk=run.pk)
    waiting = this.unexpired().filter(status=Status.UPLOADED)
    try:
        with transaction.atomic():
            claimed = waiting.update(
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


def state(run: ImportRun) -> str:
    """The status of a run, but "interrupted" where its process is gone, and "waiting" where no
    process has taken it up in time: a worker is busy, or there is none.
    """
    if not run.is_silent or processes.is_alive(run.process):
        return run.status
    return "waiting" if run.is_unclaimed else "interrupted"


def is_interrupted(run: ImportRun) -> bool:
    """Whether no process does a run that is under way."""
    return state(run) in ("waiting", "interrupted")


def abandon(run: ImportRun) -> bool:
    """End an interrupted run: what it stored stays, the upload is deleted. False if it is not."""
    if not is_interrupted(run):
        return False
    with transaction.atomic():
        interrupted = ImportRun.all_kinds.filter(
            pk=run.pk, status=Status.RUNNING, heartbeat_at=run.heartbeat_at
        )
        stored = None if run.options.get("atomic") else run.result
        if interrupted.update(status=Status.CANCELLED, finished_at=timezone.now(), result=stored):
            run.chunks.all().delete()
            return True
    return False


def resume(run):
    """Start an interrupted run again: what an import had stored is unchanged then."""
    if not is_interrupted(run):
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
        return abandon(run)
    with transaction.atomic():
        waiting = ImportRun.all_kinds.select_for_update().filter(pk=run.pk, status=Status.UPLOADED)
        return bool(waiting and waiting[0].delete())


def can_report_progress(run):
    """Whether a run can say how far it is, and hear that it is cancelled.

    All or nothing is one transaction, in which SQLite lets nobody else write.
    """
    return not (run.options.get("atomic") and database.is_sqlite())


def launch(run):
    """Have a Celery worker do a run, or a process of its own: a thread would end with the server's
    worker. Raises CannotStart.
    """
    if not settings.CELERY_BROKER_URL:
        start_command(run.COMMAND, "--run", str(run.pk))
        return
    from celery import current_app  # loaded only here: no command needs Celery

    try:
        current_app.send_task(run.TASK, [str(run.pk)])
    except Exception as error:  # each of Celery's brokers has errors of its own
        raise CannotStart from error


def start_command(*arguments):
    """Start `manage.py` with these arguments in a process that outlives the one of the server.

    Raises CannotStart.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  (nothing that a person typed)
            [sys.executable, "manage.py", *arguments, *QUIET_ARGS],
            cwd=settings.BASE_DIR,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            # Its standard output is the server's own, which outlives this worker.
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise CannotStart from error
    Thread(target=process.wait, daemon=True).start()  # leave no zombie


# The work


def claim(model, pk):
    """The run of that class and id that waits for a process, now this one's; None without any."""
    waiting = model.objects.filter(pk=pk, status=Status.RUNNING, process="")
    if not waiting.update(process=processes.current_process_name(), heartbeat_at=timezone.now()):
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


def owned_row(run):
    """The run's row, as long as this process is the one that does it."""
    return ImportRun.all_kinds.filter(pk=run.pk, status=Status.RUNNING, process=run.process)
