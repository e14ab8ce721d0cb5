"""Keyed fingerprints of the secrets of each record (see the room of that name)."""

from django.db import models

from connections.encryption.digests import fingerprints_of
from connections.models.connection import ConnectionAuth


class SecretFingerprintManager(models.Manager):
    def replace(self, opened, key):
        """Store the fingerprints of records in place of those that they have (see forget)."""
        self.clear(opened)
        self.bulk_create(
            self.model(record_id=pk, field=field, number=number)
            for pk, (auth, _) in opened.items()
            for field, number in sorted(fingerprints_of(auth, key))
        )

    def clear(self, opened):
        """Take those of records away, to make room for new ones.

        `opened` maps ids to what open_auth() gave. What does not open keeps those that it had.
        """
        self.filter(record__in=[pk for pk, (_, closed) in opened.items() if not closed]).delete()
        for pk, (_, closed) in opened.items():
            if closed:
                self.filter(record=pk).exclude(field__in=closed).delete()


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
            models.Index(fields=["number"], name="fingerprint_number"),
        ]
