"""Restoring what a change replaced."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import models, transaction
from django.utils import timezone

from connections.audit import log
from connections.encryption.fields import Sealed
from connections.json_format.serialize import equal_when_serialized
from connections.models import (
    ConnectionAuth,
    FormerVersion,
    Integration,
    VersionConflict,
    credential_dates,
    scope_of,
)
from connections.models.former_version import AUTH_COLUMNS, build_former_version


class OutOfScope(Exception):
    """The version belongs to an integration or environment outside the scope of the user."""


def restore_version(
    record_id: UUID, version_id: UUID | None, expected_version: int | None, user: User
) -> tuple[FormerVersion, list[str]]:
    """Restore a former version of a record that the user may see.

    Returns the FormerVersion and the names of the attributes that changed. Raises
    ConnectionAuth.DoesNotExist, FormerVersion.DoesNotExist (it is not kept any more),
    VersionConflict where the record is not in the expected version, and what restore_locked()
    raises; nothing is changed then.
    """
    with transaction.atomic():
        visible = ConnectionAuth.objects.visible_to(user)
        record = visible.select_for_update().get(pk=record_id)
        former = record.former_versions.unexpired().get(pk=version_id)
        if record.version != expected_version:
            raise VersionConflict(record)
        return former, restore_locked(record, former, user=user)


def restore_locked(
    record: ConnectionAuth, former: FormerVersion, *, user: User | None, is_undo: bool = False
) -> list[str]:
    """Give a record, which the caller has locked, the content of one of its former versions.

    Returns the names of the attributes that changed; what they held becomes a former version in
    turn. The credentials count as changed here now; an undo restores that date as well. Raises
    SealError, VersionConflict, IntegrityError or OutOfScope.
    """
    changes = _surrounding_changes(record, former.open_content()["around"])
    if not scope_of(user).includes(
        *(changes.get(name, getattr(record, name)) for name in ("integration_id", "environment"))
    ):
        raise OutOfScope
    auth = None
    # A version of a change around the auth object does not hold that. The next version that does
    # holds what it was; where there is none, it has not changed since.
    later = record.former_versions.filter(version__gte=former.version).order_by("version")
    if with_auth := next((version for version in later if version.holds_auth), None):
        auth, unreadable = record.open_auth()
        changes |= _auth_changes(record, with_auth.open_content(), auth, unreadable)
    former.restored_at = timezone.now()
    former.save(update_fields=["restored_at"])
    if not is_undo:
        changes.pop("locally_changed_at", None)
        changes |= credential_dates(changes, former.restored_at, ["locally_changed_at"])
    if not changes:
        return []
    replaced = build_former_version(record, changes, auth, user_id=user.pk if user else None)
    replaced.save(force_insert=True)
    if kind := changes.get("integration_id"):  # it may have been deleted meanwhile
        name = changes.get("integration_name") or record.integration_name or kind
        Integration.objects.get_or_create(type=kind, defaults={"name": name[:255]})
    for name, value in changes.items():
        setattr(record, name, value)
    record.save_version(changes)
    log.log_event("undo", record=record, fields=replaced.fields, user=user)
    return replaced.fields


def _surrounding_changes(record: ConnectionAuth, former: dict[str, Any]) -> dict[str, Any]:
    """The columns around the auth object that differ from a former version -> values in that."""
    values = {name: _deserialize(name, value) for name, value in former.items()}
    return {
        name: value
        for name, value in values.items()
        if not equal_when_serialized(value, getattr(record, name))
    }


def _auth_changes(record, content, auth, unreadable):
    """The fields of the auth object that differ from a former version -> values in that."""
    changes = {}
    for name in AUTH_COLUMNS:
        if token := content["closed"].get(name):
            sealed = Sealed(token, name, str(record.pk), record._meta.get_field(name).is_json)
            if sealed != getattr(record, name):
                changes[name] = sealed
        else:
            value = _deserialize(name, content["auth"].get(name))
            if name in unreadable or not equal_when_serialized(value, auth.get(name)):
                changes[name] = value
    return changes


def _deserialize(name, value):
    field = ConnectionAuth._meta.get_field(name)
    is_moment = isinstance(field, models.DateTimeField) and value is not None
    return datetime.fromisoformat(value) if is_moment else value
