"""What changes replaced, kept sealed for a while so that it can be restored."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from connections.encryption import keyring
from connections.encryption.fields import Sealed, SealedJSONField
from connections.json_format import schema
from connections.models.connection import CREDENTIAL_DATES, ConnectionAuth
from connections.models.runs import ImportRun

AUTH_COLUMNS = (*schema.AUTH_FIELDS, "extra")

SURROUNDING_COLUMNS = (*schema.CONNECTION_COLUMNS, *CREDENTIAL_DATES)


class FormerVersionQuerySet(models.QuerySet):
    def expired(self):
        """Those that have been kept for FormerVersion.RETENTION."""
        return self.filter(replaced_at__lte=timezone.now() - FormerVersion.RETENTION)

    def unexpired(self):
        return self.filter(replaced_at__gt=timezone.now() - FormerVersion.RETENTION)


class FormerVersion(models.Model):
    """What a record held before a change (see records.versions)."""

    RETENTION = timedelta(days=7)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    record = models.ForeignKey(
        ConnectionAuth, on_delete=models.CASCADE, related_name="former_versions"
    )
    version = models.PositiveIntegerField()  # of the record, when it held this
    replaced_at = models.DateTimeField(default=timezone.now, db_index=True)
    replaced_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    run = models.ForeignKey(ImportRun, on_delete=models.SET_NULL, null=True, related_name="+")
    # Names of the attributes that the change gave other values; never a value.
    fields = models.JSONField()
    # {"record": its id, "around": {surrounding column: value}, "was_binned": bool} and, where the
    # auth object changed, {"auth": {field: value}, "closed": {field: token that does not open}}.
    content = SealedJSONField()
    restored_at = models.DateTimeField(null=True)

    objects = FormerVersionQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    @property
    def holds_auth(self) -> bool:
        """Whether it holds the auth object, which is kept only where the change was one of it."""
        return not {*AUTH_COLUMNS}.isdisjoint(self.fields)

    def open_content(self) -> dict[str, Any]:
        """The content, opened. Raises SealError, also where it is that of another record."""
        content = self.content.reveal()
        if content.get("record") != str(self.record_id):
            raise keyring.MisplacedError("This former version is of another record.")
        return content


def build_former_version(
    record: ConnectionAuth,
    fields: Iterable[str],
    auth: dict[str, Any] | None = None,
    *,
    user_id: int | None = None,
    run_id: UUID | None = None,
) -> FormerVersion:
    """What a record holds before a change, as a FormerVersion that is not stored yet.

    `fields` names the attributes about to change. `auth` is the auth object that open_auth()
    returned; it is opened here where it is needed and not given. `user_id` and
    `run_id` say who, or what, makes the change.
    """
    names = {ConnectionAuth._meta.get_field(name).attname for name in fields}
    names -= CREDENTIAL_DATES.keys()
    former = FormerVersion(
        record=record,
        version=record.version,
        replaced_by_id=user_id,
        run_id=run_id,
        fields=sorted(names),
    )
    content = {
        "record": str(record.pk),
        "around": {name: _serialize(getattr(record, name)) for name in SURROUNDING_COLUMNS},
        "was_binned": record.binned_at is not None,
    }
    if former.holds_auth:
        auth = record.open_auth()[0] if auth is None else auth
        content["auth"] = {n: _serialize(v) for n, v in auth.items() if not isinstance(v, Sealed)}
        # Tokens that do not open now may do so again with another key.
        content["closed"] = {n: v.token for n, v in auth.items() if isinstance(v, Sealed)}
    former.content = content
    return former


def reseal_unreadable(text: str, record: str, reseal: keyring.Resealer) -> tuple[str, list[str]]:
    """Reseal, within the JSON text of a `content`, the tokens that did not open then and do now.

    `record` is the id of the record. Returns the text, changed or not, and the names of the
    fields whose tokens still do not open.
    """
    content = json.loads(text)
    closed = content.get("closed", {})
    resealed = {name: reseal(token, f"{record}/{name}")[1] for name, token in closed.items()}
    opened = {name: token for name, token in resealed.items() if token is not None}
    if closed != closed | opened:
        content["closed"] = closed | opened
        text = FormerVersion._meta.get_field("content").encode(content)
    return text, [name for name in closed if name not in opened]


def _serialize(value):
    return value.isoformat() if isinstance(value, datetime) else value


def former_versions_of(record: ConnectionAuth) -> list[tuple[FormerVersion, list[str]]]:
    """The former versions of a record, newest first, each with the names of the attributes that
    were given other values since. Opens nothing.
    """
    since, found = set(), []
    former_versions = (
        record.former_versions.unexpired()
        .select_related("replaced_by", "run")
        .defer("content", "run__result")
    )
    for former in former_versions.order_by("-version"):
        since |= set(former.fields)
        found.append((former, sorted(since)))
    return found
