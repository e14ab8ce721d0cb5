"""Keyed fingerprints of the secrets of each record (see the room of that name)."""

from django.db import models

from .connection import ConnectionAuth


class SecretFingerprint(models.Model):
    """That a record holds a secret in a field, without a way back to the secret."""

    # No constraint in the database: its look-up would cost each import a sixth of its speed.
    record = models.ForeignKey(
        ConnectionAuth, on_delete=models.CASCADE, db_constraint=False, related_name="fingerprints"
    )
    field = models.CharField(max_length=32)
    number = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        indexes = [
            # Which records hold this secret; which secrets are shared.
            models.Index(fields=["number"], name="fingerprint_number"),
        ]
