"""Keyed fingerprints of the secrets of each record, by which records.secret_search finds them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import models, transaction

from connections.encryption.digests import fingerprints_of
from connections.encryption.keyring import fingerprint_key
from connections.lib import database
from connections.models.connection import ConnectionAuth

REBUILD_CHUNK_SIZE = 500  # records whose fingerprints are made anew at a time

OpenedAuths = dict[UUID, tuple[dict[str, Any], list[str]]]  # id -> what open_auth() returned


class SecretFingerprintManager(models.Manager):
    def replace(self, opened: OpenedAuths) -> None:
        """Store the fingerprints of records in place of those that they have (see clear)."""
        key = fingerprint_key()
        self.clear(opened)
        self.bulk_create(
            self.model(record_id=pk, field=field, number=number)
            for pk, (auth, _) in opened.items()
            for field, number in sorted(fingerprints_of(auth, key))
        )

    def clear(self, opened: OpenedAuths) -> None:
        """Delete those of records, to make room for new ones.

        Fields that do not open keep theirs.
        """
        readable = [pk for pk, (_auth, unreadable) in opened.items() if not unreadable]
        self.filter(record__in=readable).delete()
        for pk, (_auth, unreadable) in opened.items():
            if unreadable:
                self.filter(record=pk).exclude(field__in=unreadable).delete()

    def rebuild(self, on_progress: Callable[[int], object] | None = None) -> int:
        """Replace those of all records, as after `loaddata`. Returns how many records."""
        done = 0
        for ids in database.id_ranges(ConnectionAuth.all_objects.all(), REBUILD_CHUNK_SIZE):
            with transaction.atomic():
                locked = ConnectionAuth.all_objects.select_for_update()
                records = database.filter_id_range(locked, *ids)
                opened = {record.pk: record.open_auth() for record in records}
                self.replace(opened)
            done += len(opened)
            if on_progress:
                on_progress(done)
        return done


class SecretFingerprint(models.Model):
    """That a record holds a secret in a field, without a way back to the secret."""

    # No constraint in the database: its look-up would cost each import a sixth of its speed.
    record = models.ForeignKey(
        ConnectionAuth, on_delete=models.CASCADE, db_constraint=False, related_name="fingerprints"
    )
    field = models.CharField(max_length=32)
    number = models.BigIntegerField()

    objects = SecretFingerprintManager()

    class Meta:
        default_permissions = ()
        indexes = [
            # Which records hold this secret; which secrets are shared.
            models.Index(fields=["number"], name="fingerprint_number")
        ]
