"""Keys of our own."""

from django.db import models

from connections.encryption import keyring


class StoredKey(models.Model):
    """A key of our own, or the proof, sealed under FERNET_KEYS (see encryption.keyring)."""

    name = models.CharField(max_length=32, primary_key=True)
    token = models.TextField()

    class Meta:
        default_permissions = ()


keyring.use_table(StoredKey)
