"""The four groups, with the permissions that each needs."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

VIEW = ["view_connectionauth", "view_integration"]
OPERATE = [
    *VIEW,
    "add_connectionauth",
    "change_connectionauth",
    "delete_connectionauth",
    "add_integration",
    "change_integration",
    "import_connections",
    "refresh_connections",
]
GROUPS = {
    "Viewer": VIEW,
    "Operator": OPERATE,
    "Custodian": [*OPERATE, "delete_integration", "reveal_secrets", "export_secrets"],
    "Auditor": [*VIEW, "view_audit"],
}


def make_groups(apps: Apps, schema_editor):
    # Permissions are otherwise made after the last migration, too late for this one.
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


class Migration(migrations.Migration):
    dependencies = [
        ("connections", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
