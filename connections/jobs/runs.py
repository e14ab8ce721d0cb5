"""The state of a run: who has started, claimed, cancelled or discarded it.

Each change of state is a conditional UPDATE, and its row count says who was first: of two people
who confirm, of two processes that claim, or of an end and a cancellation.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from connections.lib import database, processes
from connections.models import ImportRun

Status = ImportRun.Status
QUIET_ARGS = ("--verbosity", "0")  # print nothing but the lines of the audit log


class AlreadyRunning(Exception):
    """Another run of the same kind and person is under way."""


class CannotStart(Exception):
    """Neither a process nor a Celery worker could be given the work."""


# What a person does with a run


def start(
    run: ImportRun,
    options: dict[str, Any],
    launcher: Callable[[ImportRun], object] | None = None,
    **updates: Any,
) -> bool:
    """Start an uploaded run: `launcher` (launch() by default) has it done.

    `updates` are further columns to set. Returns False where it was started before or has expired;
    raises AlreadyRunning or CannotStart.
    """
    now = timezone.now()
    row = ImportRun.all_kinds.filter(pk=run.pk)
    waiting = row.unexpired().filter(status=Status.UPLOADED)
    try:
        with transaction.atomic():
            started = waiting.update(
                status=Status.RUNNING, options=options, started_at=now, heartbeat_at=now, **updates
            )
    except IntegrityError:
        raise AlreadyRunning from None
    if started:
        try:
            (launcher or launch)(run)
        except CannotStart:
            row.filter(process="").update(status=Status.UPLOADED)
            raise
    return bool(started)


def state(run: ImportRun) -> str:
    """The status of a run, but "interrupted" where its process is gone, and "waiting" where no
    process has taken it up in time: a worker is busy, or there is none.
    """
    recently = timezone.now() - ImportRun.HEARTBEAT_TIMEOUT
    is_silent = run.status == Status.RUNNING and run.heartbeat_at <= recently
    if not is_silent or processes.is_alive(run.process):
        return run.status
    is_unclaimed = not run.process and run.heartbeat_at == run.started_at
    return "waiting" if is_unclaimed else "interrupted"


def is_interrupted(run: ImportRun) -> bool:
    """Whether no process does a run that is under way."""
    return state(run) in ("waiting", "interrupted")


def abandon(run: ImportRun) -> bool:
    """End an interrupted run: what it stored stays, the upload is deleted. False if it is not."""
    if not is_interrupted(run):
        return False
    stored = None if run.options.get("atomic") else run.result
    return finish(run, _interrupted_row(run), Status.CANCELLED, result=stored)


def resume(run: ImportRun) -> bool:
    """Start an interrupted run again. What an import has stored is found unchanged then.

    Returns False where it is not interrupted (any more); raises CannotStart.
    """
    if not is_interrupted(run):
        return False
    now = timezone.now()
    resumed = _interrupted_row(run).update(
        process="",
        started_at=now,
        heartbeat_at=now,
        cancel_requested=False,
        options={**run.options, "continued": True},
        **run.RESET_ON_RESUME,
    )
    if resumed:
        launch(run)
    return bool(resumed)


def cancel(run: ImportRun) -> bool:
    """Ask a run to stop after its current batch. Returns False where it can't or has ended."""
    running = ImportRun.all_kinds.filter(pk=run.pk, status=Status.RUNNING)
    return can_report_progress(run) and bool(running.update(cancel_requested=True))


def _interrupted_row(run):
    """The row of an interrupted run, unless a process has taken it up or ended it since."""
    running = ImportRun.all_kinds.filter(pk=run.pk, status=Status.RUNNING)
    return running.filter(heartbeat_at=run.heartbeat_at)


def discard(run: ImportRun) -> bool:
    """Delete a run that was not confirmed, or end one that was interrupted."""
    if run.status == Status.RUNNING:
        return abandon(run)
    with transaction.atomic():
        row = ImportRun.all_kinds.filter(pk=run.pk, status=Status.UPLOADED)
        uploaded = row.select_for_update().first()
        return bool(uploaded and uploaded.delete())


def can_report_progress(run: ImportRun) -> bool:
    """Whether a run can write its progress, and read that it is to stop.

    An import of all or nothing is one transaction, in which SQLite lets nobody else write.
    """
    return not (run.options.get("atomic") and database.is_sqlite())


# Who does the work


def launch(run: ImportRun) -> None:
    """Have a Celery worker do a run or, without a broker, a process. Raises CannotStart."""
    if not settings.CELERY_BROKER_URL:
        start_command(run.COMMAND, "--run", str(run.pk))
        return
    from celery import current_app  # imported here, since no command needs to load Celery

    try:
        current_app.send_task(run.TASK, [str(run.pk)])
    except Exception as error:  # each of Celery's brokers has errors of its own
        raise CannotStart from error


def start_command(*arguments: str) -> None:
    """Start `manage.py` with these arguments in a process of its own. Raises CannotStart.

    It outlives the worker of the server that starts it, as a thread would not.
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


def claim(model: type[ImportRun], pk: UUID | str) -> ImportRun | None:
    """Take a started run for this process. Returns None where it does not wait for one."""
    waiting = model.objects.filter(pk=pk, status=Status.RUNNING, process="")
    if not waiting.update(process=processes.process_name(), heartbeat_at=timezone.now()):
        return None
    return model.objects.select_related("user").get(pk=pk)


def owned_row(run: ImportRun) -> QuerySet[ImportRun]:
    """The run's row, as long as it is under way and this process has claimed it."""
    return ImportRun.all_kinds.filter(pk=run.pk, status=Status.RUNNING, process=run.process)


@transaction.atomic
def finish(run: ImportRun, row: QuerySet[ImportRun], status: str, **columns: Any) -> bool:
    """End a run and delete its input, if its `row` is still there. Returns whether it was."""
    finished = row.update(status=status, finished_at=timezone.now(), **columns)
    if finished:
        run.chunks.all().delete()
    return bool(finished)


@contextmanager
def mark_interrupted_on_error(run: ImportRun) -> Iterator[None]:
    """On any error inside, show the run as interrupted at once, without the usual wait."""
    try:
        yield
    except BaseException:
        with suppress(DatabaseError):
            owned_row(run).update(
                process="", heartbeat_at=timezone.now() - ImportRun.HEARTBEAT_TIMEOUT
            )
        raise
