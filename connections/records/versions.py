"""What a change replaces is kept, sealed, for a week, and can be put back."""

import json
from datetime import datetime

from django.db import models
from django.utils import timezone

from connections.audit import log
from connections.encryption import keyring
from connections.encryption.fields import Sealed
from connections.encryption.keyring import MisplacedError, SealError
from connections.import_export.merge import CREDENTIAL_FIELDS, equal_when_serialized
from connections.json_format import schema
from connections.models import ConnectionAuth, FormerVersion, Integration, scope_of

AUTH_COLUMNS = (*schema.AUTH_FIELDS, "extra")
TOKEN_DATE_COLUMNS = ("received_at", "locally_changed_at")
SURROUNDING_COLUMNS = (*schema.CONNECTION_COLUMNS, *TOKEN_DATE_COLUMNS)


class OutOfScope(Exception):
    """A version would take a record to where its user may not reach."""


def build_former_version(record, fields, auth=None, *, by=None, run=None):
    """What a record holds before a change, as a FormerVersion that is not stored yet.

    `fields` names the attributes about to change, `auth` is what open_auth() gave (opened here if
    it is needed and not given), `by` and `run` are the ids of the user and the import.
    """
    names = {ConnectionAuth._meta.get_field(name).attname for name in fields} - {
        *TOKEN_DATE_COLUMNS
    }
    content = {
        "record": str(record.pk),
        "around": {name: _serialize(getattr(record, name)) for name in SURROUNDING_COLUMNS},
        "was_binned": record.binned_at is not None,
    }
    if _touches_auth(names):
        auth = record.open_auth()[0] if auth is None else auth
        content["auth"] = {n: _serialize(v) for n, v in auth.items() if not isinstance(v, Sealed)}
        # What does not open may do so again with another key.
        content["closed"] = {n: v.token for n, v in auth.items() if isinstance(v, Sealed)}
    return FormerVersion(
        record=record,
        version=record.version,
        replaced_by_id=by,
        run_id=run,
        fields=sorted(names),
        content=content,
    )


def open_content(held):
    """What a FormerVersion holds, opened. Raises SealError: also where it is another record's."""
    content = held.content.reveal()
    if content.get("record") != str(held.record_id):
        raise MisplacedError("This former version is of another record.")
    return content


def reseal_unreadable(text, record):
    """Seal anew, within the JSON text of a `content`, what did not open then and does now.

    `record` is the record's id. Returns the text, the same where nothing is new, and the names of
    the values that still don't open.
    """
    content = json.loads(text)
    newest, new, closed = keyring.key_ids()[0], {}, []
    for name, token in content.get("closed", {}).items():
        try:
            if keyring.key_id_for(token) != newest:
                new[name] = keyring.reseal(token, f"{record}/{name}")
        except SealError:
            closed.append(name)
    if new:
        content["closed"] |= new
        text = FormerVersion._meta.get_field("content").encode(content)
    return text, closed


def _touches_auth(names):
    return not {*AUTH_COLUMNS}.isdisjoint(names)


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
        record.save(update_fields=[record._meta.get_field(name).name for name in changes])
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


def _serialize(value):
    return value.isoformat() if isinstance(value, datetime) else value


def _deserialize(name, value):
    field = ConnectionAuth._meta.get_field(name)
    is_moment = isinstance(field, models.DateTimeField) and value is not None
    return datetime.fromisoformat(value) if is_moment else value


def former_versions_of(record):
    """What is kept of a record, newest first: pairs of a FormerVersion and the names of attributes
    that were given other values since. Opens nothing.
    """
    since, found = set(), []
    kept = record.former_versions.select_related("replaced_by", "run").defer(
        "content", "run__result"
    )
    for held in kept.order_by("-version"):
        since |= set(held.fields)
        found.append((held, sorted(since)))
    return found
