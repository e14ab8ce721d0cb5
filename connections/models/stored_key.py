"""Keys of our own."""

from django.db import models


class StoredKey(models.Model):
    """Keys and proofs of our own, sealed under FERNET_KEYS (see keyring)."""

    name = models.CharField(max_length=32, primary_key=True)
    token = models.TextField()

    class Meta:
        default_permissions = ()
