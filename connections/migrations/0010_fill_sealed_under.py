"""Which key sealed what was stored before there was a column for it."""

from django.db import migrations

from connections.encryption import keyring
from connections.models.queryset import sealed_columns

BATCH = 500


def fill(apps, schema_editor):
    model = apps.get_model("connections", "ConnectionAuth")
    names = sealed_columns(model)
    rows, batch = model.objects.filter(sealed_under=None).order_by("pk"), [None]
    while batch:
        after = {} if batch[-1] is None else {"pk__gt": batch[-1][0]}
        batch = list(rows.filter(**after).values_list("pk", *names)[:BATCH])
        by_key = {}
        for pk, *values in batch:
            if tokens := [value.token for value in values if value is not None]:
                by_key.setdefault(keyring.oldest_key(tokens), []).append(pk)
        for name, ids in by_key.items():
            model.objects.filter(pk__in=ids).update(sealed_under=name)


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0009_user_scope'),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
