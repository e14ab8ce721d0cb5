"""A digest over the token address of an integration, and who may change that."""

from django.contrib.auth.management import create_permissions
from django.db import migrations, models


def give_to_custodians(apps, schema_editor):
    # Permissions are otherwise made after the last migration, too late for this one.
    config = apps.get_app_config("connections")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    permission = apps.get_model("auth", "Permission").objects.get(
        content_type__app_label="connections", codename="change_token_url"
    )
    apps.get_model("auth", "Group").objects.get(name="Custodian").permissions.add(permission)


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0003_import_runs'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='integration',
            options={'ordering': ['name', 'type'], 'permissions': [('change_token_url', 'Can change the token address')]},
        ),
        migrations.AddField(
            model_name='integration',
            name='token_url_digest',
            field=models.CharField(editable=False, max_length=64, null=True),
        ),
        migrations.RunPython(give_to_custodians, migrations.RunPython.noop),
    ]
