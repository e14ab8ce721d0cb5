"""The schema of release 0.1.0, its four groups, and an audit log that the database protects."""
import connections.encryption.fields
import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
import uuid
import uuid_utils.compat
from django.conf import settings
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

VIEWER = ["view_connectionauth", "view_integration"]
OPERATOR = [
    *VIEWER,
    "add_connectionauth",
    "change_connectionauth",
    "delete_connectionauth",
    "add_integration",
    "change_integration",
    "import_connections",
    "refresh_connections",
]
GROUPS = {
    "Viewer": VIEWER,
    "Operator": OPERATOR,
    "Custodian": [
        *OPERATOR,
        "delete_integration",
        "change_token_url",
        "reveal_secrets",
        "export_secrets",
        "purge_connections",
        "share_views",
    ],
    "Auditor": [*VIEWER, "view_audit"],
}

SQLITE_TRIGGER = """
CREATE TRIGGER audit_no_{event} BEFORE {event} ON connections_accessevent
BEGIN SELECT RAISE(ABORT, 'The audit log is append-only.'); END
"""
POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'The audit log is append-only.'; END $$
"""
POSTGRESQL_TRIGGER = """
CREATE TRIGGER audit_no_{event} BEFORE {event} ON connections_accessevent
FOR EACH {unit} EXECUTE FUNCTION audit_refuse()
"""


def create_groups(apps: Apps, schema_editor):
    """Create the groups with the permissions that each needs."""
    # Django creates permissions after the last migration, which is too late for this one.
    config = apps.get_app_config("connections")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects
    for name, codenames in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.add(
            *permissions.filter(content_type__app_label="connections", codename__in=codenames)
        )


def protect_audit_log(apps: Apps, schema_editor):
    """Have the database refuse to change or delete audit entries, whoever asks.

    SQLite drops the triggers of a table that it rebuilds: a later migration that alters the
    table has to call this again.
    """
    if schema_editor.connection.vendor == "sqlite":
        for event in ("update", "delete"):
            schema_editor.execute(SQLITE_TRIGGER.format(event=event))
    else:
        schema_editor.execute(POSTGRESQL_FUNCTION)
        for event, unit in {"update": "ROW", "delete": "ROW", "truncate": "STATEMENT"}.items():
            schema_editor.execute(POSTGRESQL_TRIGGER.format(event=event, unit=unit))


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name='DailyCount',
            fields=[
                ('weekday', models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('taken_at', models.DateTimeField()),
                ('counts', models.JSONField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Integration',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('type', models.CharField(help_text="The API's integration_type, such as hubspot.", max_length=255, unique=True, verbose_name='type')),
                ('name', models.CharField(blank=True, max_length=255, verbose_name='name')),
                ('auth_type', models.CharField(blank=True, choices=[('oauth2', 'OAuth 2'), ('oauth1', 'OAuth 1'), ('token', 'Token'), ('other', 'Other')], max_length=16, verbose_name='auth type')),
                ('token_names', models.JSONField(blank=True, default=list, help_text='Labels of the credentials in otherAuthInfo, in their order.', verbose_name='token names')),
                ('token_instructions', models.JSONField(blank=True, default=list, verbose_name='token instructions')),
                ('categories', models.JSONField(blank=True, default=list, verbose_name='categories')),
                ('token_url', models.TextField(blank=True, help_text='Used for renewal where a connection has no token address.', verbose_name='token address')),
                ('token_url_digest', models.CharField(editable=False, max_length=64, null=True)),
            ],
            options={
                'verbose_name': 'integration',
                'verbose_name_plural': 'integrations',
                'ordering': ['name', 'type'],
                'permissions': [('change_token_url', 'Can change the token address')],
            },
        ),
        migrations.CreateModel(
            name='StoredKey',
            fields=[
                ('name', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('token', models.TextField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='UserScope',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='scope', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('environments', models.JSONField(blank=True, default=list)),
                ('integrations', models.JSONField(blank=True, default=list)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='AccessEvent',
            fields=[
                ('id', models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('action', models.CharField(choices=[('login', 'Logged in'), ('login_failed', 'Login failed'), ('logout', 'Logged out'), ('permission', 'Changed permissions'), ('add', 'Added'), ('change', 'Changed'), ('delete', 'Deleted'), ('restore', 'Restored'), ('purge', 'Purged'), ('undo', 'Undone'), ('import', 'Imported'), ('export', 'Exported'), ('reveal', 'Revealed'), ('refresh', 'Renewed'), ('rotate', 'Rotated keys'), ('find', 'Looked for a secret'), ('verify', 'Verified')], max_length=16)),
                ('user', models.CharField(blank=True, max_length=255)),
                ('address', models.CharField(blank=True, max_length=45)),
                ('record_type', models.CharField(blank=True, max_length=32)),
                ('record_id', models.CharField(blank=True, max_length=64)),
                ('record_name', models.CharField(blank=True, max_length=255)),
                ('fields', models.JSONField(default=list)),
                ('count', models.PositiveBigIntegerField(null=True)),
                ('reason', models.TextField(blank=True)),
                ('result', models.CharField(choices=[('done', 'Done'), ('failed', 'Failed'), ('refused', 'Refused'), ('started', 'Started')], default='done', max_length=8)),
                ('previous', models.CharField(blank=True, max_length=64)),
                ('mac', models.CharField(max_length=64)),
            ],
            options={
                'verbose_name': 'audit entry',
                'verbose_name_plural': 'audit entries',
                'default_permissions': (),
                'indexes': [models.Index(fields=['at'], name='audit_at'), models.Index(fields=['user', 'id'], name='audit_user'), models.Index(fields=['action', 'id'], name='audit_action'), models.Index(fields=['record_id', 'id'], name='audit_record'), models.Index(fields=['record_name', 'id'], name='audit_name'), models.Index(fields=['result', 'id'], name='audit_result')],
            },
        ),
        migrations.CreateModel(
            name='ConnectionAuth',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('connection_id', models.CharField(blank=True, max_length=255, null=True, unique=True)),
                ('integration_name', models.TextField(blank=True, null=True)),
                ('environment', models.CharField(blank=True, max_length=255, null=True)),
                ('external_xref', models.CharField(blank=True, max_length=255, null=True)),
                ('workspace_id', models.TextField(blank=True, null=True)),
                ('categories', models.JSONField(blank=True, null=True)),
                ('permissions', models.JSONField(blank=True, null=True)),
                ('is_paused', models.BooleanField(blank=True, null=True)),
                ('last_healthy_at', models.DateTimeField(blank=True, null=True)),
                ('last_unhealthy_at', models.DateTimeField(blank=True, null=True)),
                ('last_unhealthy_code', models.TextField(blank=True, null=True)),
                ('source_created_at', models.DateTimeField(blank=True, null=True)),
                ('source_updated_at', models.DateTimeField(blank=True, null=True)),
                ('secretsmanager_id', models.TextField(blank=True, null=True)),
                ('secretsmanager_key', models.TextField(blank=True, null=True)),
                ('access_token', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('api_url', models.TextField(blank=True, null=True)),
                ('app_id', models.TextField(blank=True, null=True)),
                ('audience', models.TextField(blank=True, null=True)),
                ('authorize_url', models.TextField(blank=True, null=True)),
                ('client_id', models.TextField(blank=True, null=True)),
                ('client_secret', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('consumer_key', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('consumer_secret', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('dev_api_key', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('emails', connections.encryption.fields.SealedJSONField(blank=True, null=True)),
                ('expires_in', models.FloatField(blank=True, null=True)),
                ('expiry_date', models.DateTimeField(blank=True, null=True)),
                ('key', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('meta', connections.encryption.fields.SealedJSONField(blank=True, null=True)),
                ('name', models.CharField(blank=True, max_length=255, null=True)),
                ('other_auth_info', connections.encryption.fields.SealedJSONField(blank=True, null=True)),
                ('pem', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('refresh_token', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('refresh_token_expires_date', models.DateTimeField(blank=True, null=True)),
                ('refresh_token_expires_in', models.FloatField(blank=True, null=True)),
                ('refresh_url', models.TextField(blank=True, null=True)),
                ('state', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('token', connections.encryption.fields.SealedTextField(blank=True, null=True)),
                ('token_url', models.TextField(blank=True, null=True)),
                ('user_id', models.TextField(blank=True, null=True)),
                ('extra', connections.encryption.fields.SealedJSONField(blank=True, null=True)),
                ('access_expires_at', models.DateTimeField(editable=False, null=True)),
                ('expiry_source', models.CharField(blank=True, default='', editable=False, max_length=20)),
                ('refresh_expires_at', models.DateTimeField(editable=False, null=True)),
                ('renewable', models.BooleanField(default=False, editable=False)),
                ('breaks_at', models.DateTimeField(editable=False, null=True)),
                ('auth_kind', models.CharField(choices=[('oauth2', 'OAuth 2'), ('oauth1', 'OAuth 1'), ('certificate', 'Certificate'), ('api_key', 'API key'), ('other', 'Other'), ('empty', 'Empty')], default='empty', editable=False, max_length=12)),
                ('facts', models.JSONField(editable=False, null=True)),
                ('content_digest', models.CharField(editable=False, max_length=64, null=True)),
                ('identity_digest', models.CharField(editable=False, max_length=64, null=True, unique=True)),
                ('sealed_under', models.CharField(editable=False, max_length=8, null=True)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('received_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('locally_changed_at', models.DateTimeField(editable=False, null=True)),
                ('unreadable_fields', models.JSONField(editable=False, null=True)),
                ('binned_at', models.DateTimeField(editable=False, null=True)),
                ('made_by_run', models.UUIDField(editable=False, null=True)),
                ('binned_by', models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('integration', models.ForeignKey(blank=True, db_column='integration_type', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='connections', to='connections.integration', to_field='type')),
            ],
            options={
                'verbose_name': 'connection',
                'verbose_name_plural': 'connections',
                'permissions': [('reveal_secrets', 'Can reveal secrets'), ('export_secrets', 'Can export with secrets'), ('import_connections', 'Can import connections'), ('refresh_connections', 'Can renew connections'), ('view_audit', 'Can read the audit log'), ('purge_connections', 'Can purge what is in the bin')],
                'base_manager_name': 'all_objects',
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_objects', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='ImportRun',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(default='import', editable=False, max_length=10)),
                ('file_name', models.CharField(max_length=255)),
                ('size', models.PositiveBigIntegerField()),
                ('sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('status', models.CharField(choices=[('uploaded', 'Uploaded'), ('running', 'Running'), ('done', 'Done'), ('cancelled', 'Cancelled'), ('failed', 'Nothing stored')], default='uploaded', max_length=10)),
                ('options', models.JSONField(default=dict)),
                ('started_at', models.DateTimeField(null=True)),
                ('process', models.CharField(blank=True, default='', max_length=255)),
                ('heartbeat_at', models.DateTimeField(null=True)),
                ('done', models.PositiveBigIntegerField(default=0)),
                ('total', models.PositiveBigIntegerField(default=0)),
                ('cancel_requested', models.BooleanField(default=False)),
                ('finished_at', models.DateTimeField(null=True)),
                ('result', models.JSONField(null=True)),
                ('undo_result', models.JSONField(null=True)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'default_permissions': (),
                'default_manager_name': 'all_kinds',
            },
            managers=[
                ('all_kinds', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='ImportChunk',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField()),
                ('token', models.BinaryField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='chunks', to='connections.importrun')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='FormerVersion',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField()),
                ('replaced_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('fields', models.JSONField()),
                ('content', connections.encryption.fields.SealedJSONField()),
                ('restored_at', models.DateTimeField(null=True)),
                ('record', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='former_versions', to='connections.connectionauth')),
                ('replaced_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='connections.importrun')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='ChangeRun',
            fields=[
            ],
            options={
                'proxy': True,
                'default_permissions': (),
                'indexes': [],
                'constraints': [],
            },
            bases=('connections.importrun',),
        ),
        migrations.CreateModel(
            name='SavedView',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=60)),
                ('query', models.CharField(max_length=2000)),
                ('is_shared', models.BooleanField(default=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'view',
                'permissions': [('share_views', 'Can share views of the list')],
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='SecretFingerprint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('field', models.CharField(max_length=32)),
                ('number', models.BigIntegerField()),
                ('record', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='fingerprints', to='connections.connectionauth')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AddConstraint(
            model_name='importrun',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'running')), fields=('user', 'kind'), name='import_run_one_a_person'),
        ),
        migrations.AddConstraint(
            model_name='importchunk',
            constraint=models.UniqueConstraint(fields=('run', 'position'), name='import_chunk_position'),
        ),
        migrations.AddIndex(
            model_name='connectionauth',
            index=models.Index(fields=['sealed_under'], name='connection_sealed_under'),
        ),
        migrations.AddIndex(
            model_name='connectionauth',
            index=models.Index(condition=models.Q(('binned_at', None)), fields=['breaks_at', 'id', 'integration', 'environment', 'renewable', 'access_expires_at', 'sealed_under', 'unreadable_fields', 'auth_kind', 'is_paused', 'binned_at'], name='connection_breaks'),
        ),
        migrations.AddIndex(
            model_name='connectionauth',
            index=models.Index(fields=['content_digest'], name='connection_content'),
        ),
        migrations.AddIndex(
            model_name='connectionauth',
            index=models.Index(condition=models.Q(('binned_at__isnull', False)), fields=['binned_at'], name='connection_bin'),
        ),
        migrations.AddIndex(
            model_name='connectionauth',
            index=models.Index(condition=models.Q(('made_by_run__isnull', False)), fields=['made_by_run', 'id'], name='connection_run'),
        ),
        migrations.AddConstraint(
            model_name='savedview',
            constraint=models.UniqueConstraint(fields=('user', 'name'), name='saved_view_one_of_a_name'),
        ),
        migrations.AddIndex(
            model_name='secretfingerprint',
            index=models.Index(fields=['number'], name='fingerprint_number'),
        ),
        # The table of Django's database cache, as `createcachetable` creates it. It has no model.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.CreateModel(
                    name="CacheEntry",
                    fields=[
                        (
                            "cache_key",
                            models.CharField(max_length=255, primary_key=True, serialize=False),
                        ),
                        ("value", models.TextField()),
                        ("expires", models.DateTimeField(db_index=True)),
                    ],
                    options={"db_table": "connections_cache"},
                ),
            ],
        ),
        migrations.RunPython(protect_audit_log, migrations.RunPython.noop),
        migrations.RunPython(create_groups, migrations.RunPython.noop),
    ]
