"""What people and machines did with what is stored: an append-only log."""

import json
from datetime import timezone

from django.db import models
from django.utils.translation import gettext_lazy as _


class AppendOnlyError(TypeError):
    """An entry of the audit log is never changed or deleted."""


class AccessEventQuerySet(models.QuerySet):
    """Reads entries and creates one; refuses to change or delete any."""

    def about(self, record):
        """The entries of one object: a connection, an integration, a user or a group."""
        return self.filter(record_type=record_type_of(record), record_id=str(record.pk))

    def _refuse(self, *args, **kwargs):
        raise AppendOnlyError("The audit log is append-only.")

    update = delete = bulk_create = bulk_update = _refuse


def record_type_of(record):
    """How entries name the type of an object, whatever the language: `connection`, `user`."""
    return record._meta.verbose_name_raw[:32]


class AccessEvent(models.Model):
    """An entry of the audit log, which names fields and holds no values. log_event() writes it.

    Ids count from 1 without a gap, and each entry is bound to the one before by its `mac`.
    """

    ACTIONS = {
        "login": _("Logged in"),
        "login_failed": _("Login failed"),
        "logout": _("Logged out"),
        "permission": _("Changed permissions"),
        "add": _("Added"),
        "change": _("Changed"),
        "delete": _("Deleted"),
        "restore": _("Restored"),
        "purge": _("Purged"),
        "undo": _("Undone"),
        "import": _("Imported"),
        "export": _("Exported"),
        "reveal": _("Revealed"),
        "refresh": _("Renewed"),
        "rotate": _("Rotated keys"),
        "find": _("Looked for a secret"),
        "verify": _("Verified"),
    }
    RESULTS = {
        "done": _("Done"),
        "failed": _("Failed"),
        "refused": _("Refused"),
        "started": _("Started"),
    }

    id = models.PositiveBigIntegerField(primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=16, choices=ACTIONS)
    # Names and no foreign keys: an entry outlives what it is about.
    user = models.CharField(max_length=255, blank=True)
    address = models.CharField(max_length=45, blank=True)
    record_type = models.CharField(max_length=32, blank=True)
    record_id = models.CharField(max_length=64, blank=True)
    record_name = models.CharField(max_length=255, blank=True)
    fields = models.JSONField(default=list)
    count = models.PositiveBigIntegerField(null=True)
    reason = models.TextField(blank=True)
    result = models.CharField(max_length=8, choices=RESULTS, default="done")
    previous = models.CharField(max_length=64, blank=True)
    mac = models.CharField(max_length=64)

    objects = AccessEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        default_permissions = ()
        # The filters of the audit page, each newest first.
        indexes = [
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["user", "id"], name="audit_user"),
            models.Index(fields=["action", "id"], name="audit_action"),
            models.Index(fields=["record_id", "id"], name="audit_record"),
            models.Index(fields=["record_name", "id"], name="audit_name"),
            models.Index(fields=["result", "id"], name="audit_result"),
        ]

    def __str__(self):
        return f"Entry {self.pk}"

    def save(self, *args, **kwargs):
        if not self._state.adding:
            raise AppendOnlyError("The audit log is append-only.")
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args, **kwargs):
        raise AppendOnlyError("The audit log is append-only.")

    def as_dict(self):
        """The entry as a dict fit for JSON, without `previous` and `mac`."""
        return {
            "entry": self.pk,
            "at": self.at.astimezone(timezone.utc).isoformat(timespec="microseconds"),
            "action": self.action,
            "user": self.user,
            "address": self.address,
            "record_type": self.record_type,
            "record_id": self.record_id,
            "record_name": self.record_name,
            "fields": self.fields,
            "count": self.count,
            "reason": self.reason,
            "result": self.result,
        }

    def mac_content(self):
        """The bytes that `mac` is over: the whole entry, and the mac of the one before."""
        return json.dumps({**self.as_dict(), "previous": self.previous}).encode()
