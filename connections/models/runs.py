"""Imports and bulk changes: what they are to do, sealed, and what became of them."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from connections.models.connection import ConnectionAuth
from connections.models.user_scope import PRODUCTION, scope_of


class ImportRunQuerySet(models.QuerySet):
    def visible_to(self, user: User) -> Self:
        """All of them; for a user with limits only those of the user.

        Others may be of records outside of the limits.
        """
        return self.filter(user=user) if scope_of(user).is_limited else self

    def expired(self) -> Self:
        """The uploads that nobody confirmed within ImportRun.UPLOAD_RETENTION."""
        return self.filter(self._is_expired())

    def unexpired(self) -> Self:
        return self.exclude(self._is_expired())

    def interrupted_long_ago(self) -> Self:
        """Those under way without a heartbeat for ImportRun.INTERRUPTED_RETENTION."""
        since = timezone.now() - ImportRun.INTERRUPTED_RETENTION
        return self.filter(status=ImportRun.Status.RUNNING, heartbeat_at__lte=since)

    def _is_expired(self):
        since = timezone.now() - ImportRun.UPLOAD_RETENTION
        return Q(status=ImportRun.Status.UPLOADED, created_at__lte=since)


class RunManager(models.Manager.from_queryset(ImportRunQuerySet)):
    """Finds and creates runs of the model's kind."""

    def get_queryset(self):
        return super().get_queryset().filter(kind=self.model.KIND)

    def create(self, **fields):
        return super().create(kind=self.model.KIND, **fields)


class ImportRun(models.Model):
    """An import, and what became of it: of a file uploaded in the browser, or by the command.

    Other work that outlives a request is a run of another kind, such as ChangeRun.
    """

    KIND = "import"
    COMMAND = "import_connections"  # executes a run in a process of its own
    TASK = "import_run"  # executes it in a Celery worker
    # Columns of an interrupted run that are reset when it is started again.
    RESET_ON_RESUME = {"done": 0, "total": 0, "result": None}

    UPLOAD_RETENTION = timedelta(hours=1)  # of an upload that nobody confirms
    UNDO_PERIOD = timedelta(days=7)
    INTERRUPTED_RETENTION = timedelta(days=1)
    HEARTBEAT_TIMEOUT = timedelta(seconds=30)  # after that, see whether its process is alive

    class Status(models.TextChoices):
        UPLOADED = "uploaded", _("Uploaded")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        CANCELLED = "cancelled", _("Cancelled")
        FAILED = "failed", _("Nothing stored")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, default=KIND, editable=False)
    # Null for an import by command.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True)
    file_name = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.UPLOADED)
    # The choices made at the confirmation (see jobs.import_job and jobs.bulk_change).
    options = models.JSONField(default=dict)
    started_at = models.DateTimeField(null=True)
    # The process that executes it (see lib.processes); "" until one has claimed it.
    process = models.CharField(max_length=255, blank=True, default="")
    heartbeat_at = models.DateTimeField(null=True)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    finished_at = models.DateTimeField(null=True)
    # The result so far, or of the whole: counts and issues, never a value.
    result = models.JSONField(null=True)
    # The result of undoing it (see jobs.undo), once somebody has.
    undo_result = models.JSONField(null=True)

    objects = RunManager()
    all_kinds = ImportRunQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        default_manager_name = "all_kinds"  # what dumpdata writes
        constraints = [
            models.UniqueConstraint(
                fields=["user", "kind"],
                condition=Q(status="running"),
                name="import_run_one_a_person",
            )
        ]

    @property
    def expires_at(self) -> datetime:
        """When an upload that nobody confirms is deleted."""
        return self.created_at + self.UPLOAD_RETENTION

    @property
    def can_be_undone(self) -> bool:
        """It has changed something, and the former versions of that are still kept."""
        is_recent = self.finished_at and self.finished_at > timezone.now() - self.UNDO_PERIOD
        return bool(is_recent and self.has_changes)

    @property
    def has_changes(self) -> bool:
        """Whether it has changed a record, or may have: its result need not be complete."""
        return not self.has_complete_result or bool(
            self.result["created"] or self.result["updated"]
        )

    @property
    def has_complete_result(self) -> bool:
        """Whether the result counts all that it stored: not where it was killed or continued."""
        is_continued = self.options.get("continued") and not self.options["atomic"]
        return self.result is not None and not is_continued


@dataclass(frozen=True)
class Action:
    """A bulk change: its title, the column that it sets, and the value (None: to be chosen)."""

    title: str | Promise
    column: str = ""
    value: str | bool | None = None
    permission: str = "connections.change_connectionauth"

    @property
    def needs_value(self) -> bool:
        return bool(self.column) and self.value is None

    def is_applied_to(self, record: ConnectionAuth, value: str | bool | None) -> bool:
        """Whether a record already has the value."""
        if self.column == "environment":
            return (record.environment or PRODUCTION) == value
        if self.column == "is_paused":
            return bool(record.is_paused) == value
        return self.column == "integration_id" and record.integration_id == value


ACTIONS = {
    "pause": Action(_("Pause"), "is_paused", True),
    "resume": Action(_("Resume"), "is_paused", False),
    "environment": Action(_("Set the environment"), "environment"),
    "integration": Action(_("Set the integration"), "integration_id"),
    "bin": Action(_("Move to the bin"), permission="connections.delete_connectionauth"),
}


class ChangeRun(ImportRun):
    """A bulk change of connections (see jobs.bulk_change), from its preview on.

    Its `options` are the action and its value. Its chunks are what is left to do: each batch
    deletes its own.
    """

    KIND = "change"
    COMMAND = "change_connections"
    TASK = "change_run"
    RESET_ON_RESUME = {}

    objects = RunManager()

    class Meta:
        proxy = True
        default_permissions = ()

    @property
    def action(self) -> Action:
        return ACTIONS[self.options["action"]]

    @property
    def title(self) -> str:
        """What it does, such as `Set the environment: Sandbox`."""
        title, value = self.action.title, self.options["value"]
        return f"{title}: {value}" if value else str(title)

    @property
    def has_changes(self) -> bool:
        return bool(self.result["changed"])


class ImportChunk(models.Model):
    """A sealed piece of what a run works on: of a file, or of the list of records to change."""

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="chunks")
    position = models.PositiveIntegerField()
    token = models.BinaryField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="import_chunk_position")
        ]


def chunk_binding(run: ImportRun, position: int) -> str:
    """What the token of a chunk is bound to (see keyring.seal_bytes)."""
    return f"import/{run.pk}/{position}"
