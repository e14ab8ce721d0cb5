"""The same record as a project without Latchkey would model it: the raw encrypted fields."""

from django.db import models
from fernet_fields import EncryptedTextField


class Connection(models.Model):
    connection_id = models.CharField(max_length=255, unique=True)
    integration_type = models.CharField(max_length=255, null=True)
    integration_name = models.TextField(null=True)
    environment = models.CharField(max_length=255, null=True)
    external_xref = models.CharField(max_length=255, null=True)
    workspace_id = models.TextField(null=True)
    categories = models.TextField(null=True)
    permissions = models.TextField(null=True)
    is_paused = models.BooleanField(null=True)
    created_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)
    last_healthy_at = models.DateTimeField(null=True)

    access_token = EncryptedTextField(null=True)
    api_url = models.TextField(null=True)
    app_id = models.TextField(null=True)
    audience = models.TextField(null=True)
    authorize_url = models.TextField(null=True)
    client_id = models.TextField(null=True)
    client_secret = EncryptedTextField(null=True)
    consumer_key = EncryptedTextField(null=True)
    consumer_secret = EncryptedTextField(null=True)
    dev_api_key = EncryptedTextField(null=True)
    emails = EncryptedTextField(null=True)
    expires_in = models.FloatField(null=True)
    expiry_date = models.DateTimeField(null=True)
    key = EncryptedTextField(null=True)
    meta = EncryptedTextField(null=True)
    name = models.CharField(max_length=255, null=True)
    other_auth_info = EncryptedTextField(null=True)
    pem = EncryptedTextField(null=True)
    refresh_token = EncryptedTextField(null=True)
    refresh_token_expires_date = models.DateTimeField(null=True)
    refresh_token_expires_in = models.FloatField(null=True)
    refresh_url = models.TextField(null=True)
    state = EncryptedTextField(null=True)
    token = EncryptedTextField(null=True)
    token_url = models.TextField(null=True)
    user_id = models.TextField(null=True)

    class Meta:
        app_label = "rival"
