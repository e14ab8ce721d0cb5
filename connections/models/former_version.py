"""Auth objects that were replaced, and can be put back for a while."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from connections.encryption.fields import SealedJSONField
from connections.models.connection import ConnectionAuth
from connections.models.runs import ImportRun


class FormerVersion(models.Model):
    """What a record held before a change (see replacing)."""

    RETENTION = timedelta(days=7)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    record = models.ForeignKey(
        ConnectionAuth, on_delete=models.CASCADE, related_name="former_versions"
    )
    version = models.PositiveIntegerField()  # the record's, which held this
    replaced_at = models.DateTimeField(default=timezone.now, db_index=True)
    replaced_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    run = models.ForeignKey(ImportRun, on_delete=models.SET_NULL, null=True, related_name="+")
    # The attributes that the change gave other values: names, never a value.
    fields = models.JSONField()
    # {"record": its id, "around": {...}, "was_binned": bool} and, where the auth object changed,
    # {"auth": {...}, "closed": {field: token that does not open}}.
    content = SealedJSONField()
    restored_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
