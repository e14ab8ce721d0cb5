"""The record: a connection and its auth object."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from connections.encryption import keyring
from connections.encryption.digests import content_digest, identity_digest
from connections.encryption.fields import Sealed, SealedJSONField, SealedTextField
from connections.expiry import deadlines
from connections.expiry.deadlines import derived_columns
from connections.json_format import schema, serialize
from connections.lib.text import in_one_line
from connections.models.integration import Integration
from connections.models.queryset import ConnectionAuthQuerySet, InUseManager, sealed_columns
from connections.models.user_scope import PRODUCTION


class VersionConflict(Exception):
    """Somebody else changed the record meanwhile; nothing was written."""

    def __init__(self, record: "ConnectionAuth") -> None:
        self.record = record
        super().__init__(f"{record} was changed by somebody else meanwhile.")


class ConnectionAuth(models.Model):
    """A connection and its auth object. Attributes are named as the API's JSON (snake_case)."""

    AUTH_KINDS = [
        ("oauth2", "OAuth 2"),
        ("oauth1", "OAuth 1"),
        ("certificate", _("Certificate")),
        ("api_key", _("API key")),
        ("other", _("Other")),
        ("empty", _("Empty")),
    ]

    # The first field, since sealed values are bound to it when they are set.
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    # The connection that surrounds the auth object.
    connection_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    integration = models.ForeignKey(
        Integration,
        to_field="type",
        db_column="integration_type",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="connections",
    )
    integration_name = models.TextField(null=True, blank=True)
    environment = models.CharField(max_length=255, null=True, blank=True)
    external_xref = models.CharField(max_length=255, null=True, blank=True)
    workspace_id = models.TextField(null=True, blank=True)
    categories = models.JSONField(null=True, blank=True)
    permissions = models.JSONField(null=True, blank=True)
    is_paused = models.BooleanField(null=True, blank=True)
    last_healthy_at = models.DateTimeField(null=True, blank=True)
    last_unhealthy_at = models.DateTimeField(null=True, blank=True)
    last_unhealthy_code = models.TextField(null=True, blank=True)
    source_created_at = models.DateTimeField(null=True, blank=True)
    source_updated_at = models.DateTimeField(null=True, blank=True)
    secretsmanager_id = models.TextField(null=True, blank=True)
    secretsmanager_key = models.TextField(null=True, blank=True)

    # The auth object.
    access_token = SealedTextField(null=True, blank=True)
    api_url = models.TextField(null=True, blank=True)
    app_id = models.TextField(null=True, blank=True)
    audience = models.TextField(null=True, blank=True)
    authorize_url = models.TextField(null=True, blank=True)
    client_id = models.TextField(null=True, blank=True)
    client_secret = SealedTextField(null=True, blank=True)
    consumer_key = SealedTextField(null=True, blank=True)
    consumer_secret = SealedTextField(null=True, blank=True)
    dev_api_key = SealedTextField(null=True, blank=True)
    emails = SealedJSONField(null=True, blank=True)
    expires_in = models.FloatField(null=True, blank=True)
    expiry_date = models.DateTimeField(null=True, blank=True)
    key = SealedTextField(null=True, blank=True)
    meta = SealedJSONField(null=True, blank=True)
    name = models.CharField(max_length=255, null=True, blank=True)
    other_auth_info = SealedJSONField(null=True, blank=True)
    pem = SealedTextField(null=True, blank=True)
    refresh_token = SealedTextField(null=True, blank=True)
    refresh_token_expires_date = models.DateTimeField(null=True, blank=True)
    refresh_token_expires_in = models.FloatField(null=True, blank=True)
    refresh_url = models.TextField(null=True, blank=True)
    state = SealedTextField(null=True, blank=True)
    token = SealedTextField(null=True, blank=True)
    token_url = models.TextField(null=True, blank=True)
    user_id = models.TextField(null=True, blank=True)
    # Unknown keys, which the API may add: {"auth": {...}, "connection": {...}}, both optional.
    extra = SealedJSONField(null=True, blank=True)

    # Derived, by derive() alone, and stored so that lists and the dashboard can query it.
    access_expires_at = models.DateTimeField(null=True, editable=False)
    expiry_source = models.CharField(max_length=20, blank=True, default="", editable=False)
    refresh_expires_at = models.DateTimeField(null=True, editable=False)
    renewable = models.BooleanField(default=False, editable=False)
    breaks_at = models.DateTimeField(null=True, editable=False)
    auth_kind = models.CharField(
        max_length=12, choices=AUTH_KINDS, default="empty", editable=False
    )
    # What tokens and certificates say openly (see expiry.token_facts): never a secret.
    facts = models.JSONField(null=True, editable=False)
    content_digest = models.CharField(max_length=64, null=True, editable=False)
    # Digest of content, integration and environment where there is no connection_id: it identifies
    # such a record, so that two imports at once cannot create it twice.
    identity_digest = models.CharField(max_length=64, null=True, unique=True, editable=False)

    # Bookkeeping.
    # The id of the oldest key that a value of this record is sealed under; null where nothing is
    # sealed, "" where a value is sealed under none of our keys.
    sealed_under = models.CharField(max_length=8, null=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    # When a credential was last changed here, and not by an import.
    locally_changed_at = models.DateTimeField(null=True, editable=False)
    # Names of sealed fields that are known not to open; null where there are none.
    unreadable_fields = models.JSONField(null=True, editable=False)
    binned_at = models.DateTimeField(null=True, editable=False)
    binned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        db_index=False,  # only used where a user is deleted, but each row would pay for it
        editable=False,
        related_name="+",
    )
    # The ImportRun that created it, until that is undone. Not a foreign key: imports write it by
    # the thousand, and nothing is to be undone of a run that is deleted.
    made_by_run = models.UUIDField(null=True, editable=False)

    objects = InUseManager()
    all_objects = ConnectionAuthQuerySet.as_manager()

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        base_manager_name = "all_objects"
        indexes = [
            # What a key rotation still has to do, and how much that is.
            models.Index(fields=["sealed_under"], name="connection_sealed_under"),
            # Lists, soonest first; and all counts, of lists and of the dashboard,
            # without reading a record (for which SQLite needs binned_at as well).
            models.Index(
                fields=[
                    "breaks_at",
                    "id",
                    "integration",
                    "environment",
                    "renewable",
                    "access_expires_at",
                    "sealed_under",
                    "unreadable_fields",
                    "auth_kind",
                    "is_paused",
                    "binned_at",
                ],
                condition=Q(binned_at=None),
                name="connection_breaks",
            ),
            # Entries without an id that are imported again.
            models.Index(fields=["content_digest"], name="connection_content"),
            # The bin, and what has expired in it.
            models.Index(
                fields=["binned_at"], condition=Q(binned_at__isnull=False), name="connection_bin"
            ),
            # What an import created, in batches, to undo it.
            models.Index(
                fields=["made_by_run", "id"],
                condition=Q(made_by_run__isnull=False),
                name="connection_run",
            ),
        ]
        permissions = [
            ("reveal_secrets", gettext_noop("Can reveal secrets")),
            ("export_secrets", gettext_noop("Can export with secrets")),
            ("import_connections", gettext_noop("Can import connections")),
            ("refresh_connections", gettext_noop("Can renew connections")),
            ("view_audit", gettext_noop("Can read the audit log")),
            ("purge_connections", gettext_noop("Can purge what is in the bin")),
        ]

    def __str__(self):
        name = self.name or self.connection_id or f"Connection {str(self.pk)[-8:]}"
        return in_one_line(name)

    @property
    def environment_label(self) -> str:
        """The environment as it is shown: Production where it is absent."""
        return self.environment or PRODUCTION

    def bucket(self, now: datetime | None = None) -> str:
        """Which of deadlines.BUCKETS it is in."""
        return deadlines.bucket_of(self.breaks_at, now or timezone.now())

    def is_stale(self, now: datetime | None = None) -> bool:
        """As stale_at() asks the database: access has ended, and a machine can renew it."""
        now = now or timezone.now()
        return bool(
            self.renewable
            and self.access_expires_at
            and self.access_expires_at <= now
            and (self.breaks_at is None or self.breaks_at > now)
        )

    def open_auth(self) -> tuple[dict[str, Any], list[str]]:
        """The opened auth object, and the names of the fields that do not open.

        The former maps the names of set fields (and `extra`) to values; those that do not open
        are Sealed.
        """
        auth, unreadable = {}, []
        for name in (*schema.AUTH_FIELDS, "extra"):
            value = getattr(self, name)
            if isinstance(value, Sealed):
                try:
                    value = value.reveal()
                except keyring.SealError:
                    unreadable.append(name)
            elif schema.AUTH_FIELDS.get(name) == "number":
                value = serialize.normalize_number(value)
            if value is not None:
                auth[name] = value
        return auth, unreadable

    def mark_unreadable(self, fields: Iterable[str]) -> None:
        """Store which fields were found not to open, so that lists can say so.

        The version stays: the record itself has not changed.
        """
        fields = sorted({*(self.unreadable_fields or ()), *fields})
        if fields != self.unreadable_fields:
            self.unreadable_fields = fields
            type(self).all_objects.filter(pk=self.pk).update(
                unreadable_fields=fields, content_digest=None, identity_digest=None
            )

    def matches_digest(self, auth: dict[str, Any], digest_key: bytes | None = None) -> bool:
        """Whether this opened auth object of the record is the one that the application stored.

        True where something in it does not open, or did not, since then nobody can tell.
        """
        if any(isinstance(value, Sealed) for value in auth.values()):
            return True
        if self.content_digest is None:
            return bool(self.unreadable_fields)
        return self.content_digest == content_digest(auth, digest_key or keyring.digest_key())

    def derive(
        self,
        auth: dict[str, Any] | None = None,
        unreadable: Iterable[str] = (),
        digest_key: bytes | None = None,
        keep_digest: bool = False,
    ) -> tuple[dict[str, Any], Iterable[str]]:
        """Set the derived columns. Returns what open_auth() returns, or what was given of it.

        `keep_digest` keeps a digest that does not match the content: that was changed behind the
        application's back, and the integrity check has to find it still.
        """
        if auth is None:
            auth, unreadable = self.open_auth()
        for name, value in derived_columns(
            auth,
            issued_at=self.source_updated_at or self.source_created_at,
            received_at=self.received_at,
        ).items():
            setattr(self, name, value)
        self.unreadable_fields = list(unreadable) or None
        values = [getattr(self, name) for name in SEALED_COLUMNS]
        keys = {keyring.key_id_for(value.token) for value in values if isinstance(value, Sealed)}
        self.sealed_under = keyring.oldest_key_id(keys) if keys else None
        stored, self.content_digest = self.content_digest, None
        self.identity_digest = None
        if not unreadable:
            digest_key = digest_key or keyring.digest_key()
            self.content_digest = stored if keep_digest else content_digest(auth, digest_key)
            if self.connection_id is None and self.content_digest:
                self.identity_digest = identity_digest(
                    self.content_digest, self.integration_id, self.environment, digest_key
                )
        return auth, unreadable

    def save(self, **kwargs):
        """Insert a new record with its derived columns and fingerprints.

        Raises TypeError for a stored one: save_version() writes those.
        """
        if not self._state.adding:
            raise TypeError("A stored connection is written by save_version(), not by save().")
        with transaction.atomic(using=kwargs.get("using")):
            opened = self.derive()
            super().save(**{**kwargs, "force_insert": True})
            self.fingerprints.model.objects.replace({self.pk: opened})

    def save_version(self, update_fields: Iterable[str] | None = None) -> None:
        """Write the changed fields of a stored record (None: all fields) as its next version.

        The derived columns and the fingerprints follow the changed fields. The record must still
        be stored in the version that was loaded: otherwise VersionConflict is raised and nothing
        is written. No signals are sent.
        """
        fields = self._meta.concrete_fields
        if update_fields is not None:
            fields = [self._meta.get_field(name) for name in update_fields]
        names = {field.name for field in fields if not field.primary_key}
        has_new_secrets = not names.isdisjoint(SEALED_COLUMNS)
        now = timezone.now()
        with transaction.atomic():
            if not names.isdisjoint(DERIVED_FROM):
                opened = self.derive(keep_digest=self._was_tampered_with())
                names.update(DERIVED_COLUMNS)
                if not has_new_secrets:  # its tokens may be those from before a key rotation
                    names.discard("sealed_under")
            values = {name: getattr(self, self._meta.get_field(name).attname) for name in names}
            values |= {"version": self.version + 1, "updated_at": now}
            loaded = type(self).all_objects.filter(pk=self.pk, version=self.version)
            if not loaded.update(**values):
                raise VersionConflict(self)
            if has_new_secrets:
                self.fingerprints.model.objects.replace({self.pk: opened})
        self.version += 1
        self.updated_at = now

    def _was_tampered_with(self):
        """Whether the content was changed behind the application's back."""
        stored = type(self).all_objects.filter(pk=self.pk).first()
        return stored is not None and not stored.matches_digest(stored.open_auth()[0])


SEALED_COLUMNS = sealed_columns(ConnectionAuth)
DERIVED_COLUMNS = (
    "access_expires_at",
    "expiry_source",
    "refresh_expires_at",
    "renewable",
    "breaks_at",
    "auth_kind",
    "facts",
    "content_digest",
    "identity_digest",
    "unreadable_fields",
    "sealed_under",
)
DERIVED_FROM = {
    *schema.AUTH_FIELDS,
    "extra",
    "connection_id",
    "integration",
    "environment",
    "source_created_at",
    "source_updated_at",
    "received_at",
}

# The dates of the credentials, and the attributes whose change moves each.
CREDENTIAL_DATES = {
    "received_at": schema.TOKEN_FIELDS,
    "locally_changed_at": schema.CREDENTIAL_FIELDS,
}


def credential_dates(
    changed: Iterable[str], now: datetime, columns: Iterable[str] = tuple(CREDENTIAL_DATES)
) -> dict[str, datetime]:
    """The dates that a change of these attributes moves to now; `columns` are those to look at.

    A change by a person moves both, an import only `received_at`.
    """
    changed = {*changed}
    return {name: now for name in columns if not changed.isdisjoint(CREDENTIAL_DATES[name])}
