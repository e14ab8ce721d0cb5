"""What is stored: integrations, connections with their auth objects, imports under way, keys."""

import hmac
import re
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, Q
from django.utils import timezone
from uuid_utils.compat import uuid7

from . import alive, expiry, keyring, payload
from .fields import Sealed, SealedJSONField, SealedTextField
from .issues import printable
from .keyring import SealError

PRODUCTION = "Production"


def in_one_line(name):
    """A stored name as it is shown and logged: on one line, and all of it to be seen."""
    return printable(re.sub(r"[\t\r\n]", " ", name), 255)


class VersionConflict(Exception):
    """Somebody else saved the record meanwhile; nothing was written."""


class StoredKey(models.Model):
    """Keys and proofs of our own, sealed under FERNET_KEYS (see keyring)."""

    name = models.CharField(max_length=32, primary_key=True)
    token = models.TextField()

    class Meta:
        default_permissions = ()


class Integration(models.Model):
    """A kind of system that connections lead to, such as HubSpot."""

    AUTH_TYPES = [
        ("oauth2", "OAuth 2"),
        ("oauth1", "OAuth 1"),
        ("token", "Token"),
        ("other", "Other"),
    ]

    type = models.CharField(
        max_length=255,
        unique=True,
        help_text="The API's integration_type, such as hubspot.",
    )
    name = models.CharField(max_length=255, blank=True)
    auth_type = models.CharField(max_length=16, choices=AUTH_TYPES, blank=True)
    token_names = models.JSONField(
        default=list,
        blank=True,
        help_text="Labels of the credentials in otherAuthInfo, in their order.",
    )
    token_instructions = models.JSONField(default=list, blank=True)
    categories = models.JSONField(default=list, blank=True)
    token_url = models.TextField(
        blank=True, help_text="Used for renewal where a connection has no token address."
    )

    class Meta:
        ordering = ["name", "type"]

    def __str__(self):
        return in_one_line(self.name or self.type)


class ConnectionAuthQuerySet(models.QuerySet):
    """Questions that the dashboard, the lists and the commands ask."""

    def in_use(self):
        return self.filter(binned_at=None)

    def in_bucket(self, bucket, now=None):
        """Those in one of expiry.BUCKETS at `now`, or the `stale` ones."""
        return self.filter(stale_at(now) if bucket == "stale" else in_bucket(bucket, now))

    def in_environment(self, name):
        """Those of an environment; absent counts as Production, as it is shown."""
        condition = Q(environment=name)
        if name == PRODUCTION:
            condition |= Q(environment=None) | Q(environment="")
        return self.filter(condition)

    def chosen(self, integration=None, environment=None, bucket=None):
        """The part that an export or a list asks for; None means any."""
        chosen = self
        if integration is not None:
            chosen = chosen.filter(integration=integration)
        if environment is not None:
            chosen = chosen.in_environment(environment)
        return chosen.in_bucket(bucket) if bucket is not None else chosen

    def breaking_within(self, period, now=None):
        """The broken and those that break within a timedelta, soonest first."""
        now = now or timezone.now()
        return self.filter(breaks_at__lte=now + period).order_by("breaks_at", "id")

    def bucket_counts(self, now=None):
        """`{bucket: count}` over expiry.BUCKETS plus `stale` and `total`, in one query."""
        now = now or timezone.now()
        counts = {name: Count("pk", filter=in_bucket(name, now)) for name in expiry.BUCKETS}
        return self.aggregate(**counts, stale=Count("pk", filter=stale_at(now)), total=Count("pk"))

    def unreadable(self):
        return self.filter(unreadable_fields__isnull=False)

    def listed(self):
        """Without the sealed columns: what lists need."""
        return self.defer(*SEALED_COLUMNS).select_related("integration")


def in_bucket(bucket, now=None):
    """The condition (Q) that `expiry.bucket_of` states for one value."""
    if bucket == "no_end":
        return Q(breaks_at=None)
    edges = expiry.bucket_edges(now or timezone.now())
    names = list(edges)
    if bucket == "later":
        return Q(breaks_at__gt=edges[names[-1]])
    condition = Q(breaks_at__lte=edges[bucket])
    position = names.index(bucket)
    return condition & Q(breaks_at__gt=edges[names[position - 1]]) if position else condition


def stale_at(now=None):
    """Renewable, not broken, and the access token has ended: a machine's work."""
    now = now or timezone.now()
    return Q(renewable=True, access_expires_at__lte=now) & (
        Q(breaks_at=None) | Q(breaks_at__gt=now)
    )


class InUseManager(models.Manager.from_queryset(ConnectionAuthQuerySet)):
    def get_queryset(self):
        return super().get_queryset().in_use()


class ConnectionAuth(models.Model):
    """One connection and its auth object. Attributes are the API's wire names."""

    AUTH_KINDS = [
        ("oauth2", "OAuth 2"),
        ("oauth1", "OAuth 1"),
        ("certificate", "Certificate"),
        ("api_key", "API key"),
        ("other", "Other"),
        ("empty", "Empty"),
    ]

    # The primary key is the first field: sealed values are bound to it as they are set.
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    # The connection around the auth object.
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
    # Keys that the API may add later: {"auth": {...}, "connection": {...}}, either part optional.
    extra = SealedJSONField(null=True, blank=True)

    # Derived, in derive() alone, and stored so that lists and the dashboard can ask for it.
    access_expires_at = models.DateTimeField(null=True, editable=False)
    expiry_source = models.CharField(max_length=20, blank=True, default="", editable=False)
    refresh_expires_at = models.DateTimeField(null=True, editable=False)
    renewable = models.BooleanField(default=False, editable=False)
    breaks_at = models.DateTimeField(null=True, editable=False)
    auth_kind = models.CharField(
        max_length=12, choices=AUTH_KINDS, default="empty", editable=False
    )
    content_digest = models.CharField(max_length=64, null=True, editable=False)
    # Digest over content, integration and environment, where there is no connection_id: the
    # identity of such a record, so that two imports at once can't make two of it.
    identity_digest = models.CharField(max_length=64, null=True, unique=True, editable=False)

    # Our own bookkeeping.
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    # Last change of a credential that was made here and not by an import.
    locally_changed_at = models.DateTimeField(null=True, editable=False)
    # Names of sealed fields that are known not to open; null where none is known.
    unreadable_fields = models.JSONField(null=True, editable=False)
    binned_at = models.DateTimeField(null=True, editable=False)

    objects = InUseManager()
    all_objects = ConnectionAuthQuerySet.as_manager()

    class Meta:
        verbose_name = "connection"
        base_manager_name = "all_objects"
        indexes = [
            # Lists soonest first, bucket counts, breaking_within, the charts.
            models.Index(
                fields=["breaks_at", "id"], condition=Q(binned_at=None), name="connection_breaks"
            ),
            # Re-import of entries without an id.
            models.Index(fields=["content_digest"], name="connection_content"),
            # The stale count and list.
            models.Index(
                fields=["access_expires_at"],
                condition=Q(binned_at=None, renewable=True),
                name="connection_stale",
            ),
        ]
        permissions = [
            ("reveal_secrets", "Can reveal secrets"),
            ("export_secrets", "Can export with secrets"),
            ("import_connections", "Can import connections"),
            ("refresh_connections", "Can renew connections"),
            ("view_audit", "Can read the audit log"),
        ]

    def __str__(self):
        name = self.name or self.connection_id or f"Connection {str(self.pk)[-8:]}"
        return in_one_line(name)

    @property
    def environment_label(self):
        """An absent environment is shown as Production, and stays absent."""
        return self.environment or PRODUCTION

    def bucket(self, now=None):
        return expiry.bucket_of(self.breaks_at, now or timezone.now())

    def is_stale(self, now=None):
        now = now or timezone.now()
        return bool(
            self.renewable
            and self.access_expires_at
            and self.access_expires_at <= now
            and (self.breaks_at is None or self.breaks_at > now)
        )

    def open_auth(self):
        """The auth object with its values opened, and the names of those that do not open.

        Returns `(auth, unreadable)`: `auth` maps the names of set fields (and `extra`) to plain
        values; one that does not open stays a Sealed and is named in the list `unreadable`.
        """
        auth, unreadable = {}, []
        for name in (*payload.AUTH_FIELDS, "extra"):
            value = getattr(self, name)
            if isinstance(value, Sealed):
                try:
                    value = value.reveal()
                except SealError:
                    unreadable.append(name)
            elif payload.AUTH_FIELDS.get(name) == "number":
                value = payload.plain_number(value)
            if value is not None:
                auth[name] = value
        return auth, unreadable

    def note_unreadable(self, fields):
        """Remember which fields were found not to open, so that lists can say so.

        No version is counted: the record itself has not changed.
        """
        fields = sorted({*(self.unreadable_fields or ()), *fields})
        if fields != self.unreadable_fields:
            self.unreadable_fields = fields
            type(self).all_objects.filter(pk=self.pk).update(
                unreadable_fields=fields, content_digest=None, identity_digest=None
            )

    def derive(self, auth=None, unreadable=(), digest_key=None):
        """Set the derived columns from the opened auth object (opened here if not given)."""
        if auth is None:
            auth, unreadable = self.open_auth()
        for name, value in derived(
            auth,
            issued_at=self.source_updated_at or self.source_created_at,
            received_at=self.received_at,
        ).items():
            setattr(self, name, value)
        self.unreadable_fields = list(unreadable) or None
        self.content_digest = self.identity_digest = None
        if not unreadable:
            digest_key = digest_key or keyring.digest_key()
            self.content_digest = content_digest(auth, digest_key)
            if self.connection_id is None:
                self.identity_digest = identity_digest(
                    self.content_digest, self.integration_id, self.environment, digest_key
                )

    def save(self, *, update_fields=None, **kwargs):
        """Write the record and what is derived from it.

        A stored record is only written where its version is still the one that was loaded;
        otherwise VersionConflict is raised and nothing is written.
        """
        if update_fields is None or DERIVED_FROM & set(update_fields):
            self.derive()
            if update_fields is not None:
                update_fields = {*update_fields, *DERIVED_COLUMNS}
        self.store(update_fields, **kwargs)

    def store(self, update_fields=None, **kwargs):
        """Write the record as it is, without deriving anything. See save()."""
        if self._state.adding:
            super().save(force_insert=True, using=kwargs.get("using"))
            return
        if update_fields is not None:
            update_fields = {*update_fields, "version", "updated_at"}
        self.version += 1
        try:
            super().save(force_update=True, update_fields=update_fields, **kwargs)
        except Exception:
            self.version -= 1
            raise

    def _do_update(self, base_qs, using, pk_val, values, update_fields, forced_update):
        if not forced_update:  # loaddata, which writes rows as they are
            return super()._do_update(base_qs, using, pk_val, values, update_fields, forced_update)
        unchanged = base_qs.filter(version=self.version - 1)
        if not super()._do_update(unchanged, using, pk_val, values, update_fields, forced_update):
            raise VersionConflict(f"{self} was changed by somebody else meanwhile.")
        return True


SEALED_COLUMNS = tuple(
    field.name
    for field in ConnectionAuth._meta.concrete_fields
    if isinstance(field, SealedTextField)
)
DERIVED_COLUMNS = (
    "access_expires_at",
    "expiry_source",
    "refresh_expires_at",
    "renewable",
    "breaks_at",
    "auth_kind",
    "content_digest",
    "identity_digest",
    "unreadable_fields",
)
DERIVED_FROM = {
    *payload.AUTH_FIELDS,
    "extra",
    "connection_id",
    "integration",
    "environment",
    "source_created_at",
    "source_updated_at",
    "received_at",
}


def derived(auth, *, issued_at, received_at):
    """The derived expiry columns of an opened auth object, by column name."""
    deadlines = expiry.deadlines(auth, issued_at=issued_at, received_at=received_at)
    return {**deadlines._asdict(), "auth_kind": expiry.auth_kind(auth)}


def content_digest(auth, digest_key):
    """Keyed digest (hex) of a whole auth object: equal digest means equal content.

    Its unknown keys count; those of the Connection around it do not.
    """
    if "extra" in auth:
        auth = {**auth, "extra": auth["extra"].get("auth", {})}
        if not auth["extra"]:
            del auth["extra"]
    return hmac.digest(digest_key, payload.canonical(auth), "sha256").hex()


def identity_digest(digest, integration, environment, digest_key):
    """Keyed digest (hex) that stands for a record without a connection_id."""
    place = payload.canonical([digest, integration, environment])
    return hmac.digest(digest_key, place, "sha256").hex()


class ImportRun(models.Model):
    """A file given for import in the browser, and what became of it (see runs)."""

    KEPT_FOR = timedelta(hours=1)  # an upload that nobody confirms
    INTERRUPTED_KEPT_FOR = timedelta(days=1)
    SILENT_FOR = timedelta(seconds=30)  # after that, look whether the process lives

    class Status(models.TextChoices):
        UPLOADED = "uploaded"
        RUNNING = "running"
        DONE = "done"
        CANCELLED = "cancelled"
        FAILED = "failed", "Nothing stored"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    file_name = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.UPLOADED)
    # What was ticked at the confirmation: see runs.OPTIONS.
    options = models.JSONField(default=dict)
    started_at = models.DateTimeField(null=True)
    # The process that does it (see alive); "" until one has taken it over.
    process = models.CharField(max_length=255, blank=True, default="")
    heartbeat_at = models.DateTimeField(null=True)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    finished_at = models.DateTimeField(null=True)
    # The result object, of what is done so far or of the whole: counts and issues, never a value.
    result = models.JSONField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(status="running"), name="import_run_one_a_person"
            )
        ]

    @property
    def thrown_away_at(self):
        return self.created_at + self.KEPT_FOR

    @property
    def is_interrupted(self):
        """Under way, but nothing was heard of it for a while and its process is gone."""
        return (
            self.status == self.Status.RUNNING
            and self.heartbeat_at <= timezone.now() - self.SILENT_FOR
            and not alive.is_alive(self.process)
        )

    @property
    def status_label(self):
        return "Interrupted" if self.is_interrupted else self.get_status_display()

    @classmethod
    def throw_away_old(cls):
        """Forget uploads that nobody confirmed within the hour; end what was interrupted long ago.

        Nothing is written where there is nothing to do: a page that looks must not wait for one
        that writes.
        """
        now = timezone.now()
        for run in cls.objects.filter(
            status=cls.Status.UPLOADED, created_at__lte=now - cls.KEPT_FOR
        ):
            run.delete()
        for run in cls.objects.filter(
            status=cls.Status.RUNNING, heartbeat_at__lte=now - cls.INTERRUPTED_KEPT_FOR
        ):
            run.give_up()

    def give_up(self):
        """End an interrupted run: what it stored stays, the upload is thrown away."""
        if not self.is_interrupted:
            return False
        with transaction.atomic():
            ended = type(self).objects.filter(
                pk=self.pk, status=self.Status.RUNNING, heartbeat_at=self.heartbeat_at
            )
            stored = None if self.options.get("atomic") else self.result
            if ended.update(
                status=self.Status.CANCELLED, finished_at=timezone.now(), result=stored
            ):
                self.chunks.all().delete()
                return True
        return False


class ImportChunk(models.Model):
    """A piece of an uploaded file, sealed."""

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="chunks")
    position = models.PositiveIntegerField()
    token = models.BinaryField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="import_chunk_position")
        ]
