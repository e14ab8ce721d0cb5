"""What a change replaces is kept, sealed, for a week, and can be put back."""

from datetime import datetime

from django.db import models
from django.utils import timezone

from connections.audit import log
from connections.encryption.fields import Sealed
from connections.json_format.schema import CREDENTIAL_FIELDS
from connections.json_format.serialize import equal_when_serialized
from connections.models import ConnectionAuth, Integration, scope_of
from connections.models.former_version import (
    AUTH_COLUMNS,
    _touches_auth,
    build_former_version,
    open_content,
)


class OutOfScope(Exception):
    """A version would take a record to where its user may not reach."""


def restore_version(held, record, *, user, is_undo=False):
    """Give a record (locked by the caller) back what a FormerVersion holds; the names that change.

    What it holds now is kept in its turn. An undo also brings back when a credential was changed
    here; otherwise that is now. Raises SealError, VersionConflict, IntegrityError or OutOfReach.
    """
    changes = _surrounding_changes(record, open_content(held)["around"])
    place = [changes.get(n, getattr(record, n)) for n in ("integration_id", "environment")]
    if user and not scope_of(user).includes(*place):
        raise OutOfScope
    auth = None
    # A change of what surrounds the auth object keeps nothing of that: the next one that does
    # tells what it was, and where there is none, it still is.
    later = record.former_versions.filter(version__gte=held.version).order_by("version")
    if kept := next((kept for kept in later if _touches_auth(kept.fields)), None):
        auth, unreadable = record.open_auth()
        changes |= _auth_changes(record, open_content(kept), auth, unreadable)
    held.restored_at = timezone.now()
    if not is_undo:
        changes.pop("locally_changed_at", None)
        if {*CREDENTIAL_FIELDS} & changes.keys():
            changes["locally_changed_at"] = held.restored_at
    if changes:
        replaced = build_former_version(record, changes, auth, by=user.pk if user else None)
        replaced.save(force_insert=True)
        if kind := changes.get("integration_id"):  # it may have been deleted meanwhile
            name = changes.get("integration_name") or record.integration_name or kind
            Integration.objects.get_or_create(type=kind, defaults={"name": name[:255]})
        for name, value in changes.items():
            setattr(record, name, value)
        record.save_version(changes)
        log.log_event("undo", record=record, fields=replaced.fields, user=user)
    held.save(update_fields=["restored_at"])
    return replaced.fields if changes else []


def _surrounding_changes(record, kept):
    """The columns around the auth object that differ from what was kept -> their former values."""
    values = {name: _deserialize(name, value) for name, value in kept.items()}
    return {
        n: value
        for n, value in values.items()
        if not equal_when_serialized(value, getattr(record, n))
    }


def _auth_changes(record, kept, auth, unreadable):
    """The fields of the auth object that differ from what was kept -> their former values."""
    changes = {}
    for name in AUTH_COLUMNS:
        if token := kept["closed"].get(name):
            closed = Sealed(token, name, str(record.pk), record._meta.get_field(name).is_json)
            if closed != getattr(record, name):
                changes[name] = closed
        else:
            value = _deserialize(name, kept["auth"].get(name))
            if name in unreadable or not equal_when_serialized(value, auth.get(name)):
                changes[name] = value
    return changes


def _deserialize(name, value):
    field = ConnectionAuth._meta.get_field(name)
    is_moment = isinstance(field, models.DateTimeField) and value is not None
    return datetime.fromisoformat(value) if is_moment else value
