"""Imports run outside the request: what is known of a run while it is under way."""

from django.conf import settings
from django.db import migrations, models


def end_finished(apps, schema_editor):
    runs = apps.get_model("connections", "ImportRun").objects
    for run in runs.exclude(finished_at=None).iterator():
        result = run.result or {}
        run.status = "failed" if "error" in result else "done"
        run.options = {"on_conflict": result.get("on_conflict", "update")}
        run.started_at = run.finished_at
        run.done = run.total = result.get("read", 0)
        run.save()


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0002_groups'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='importrun',
            name='cancel_requested',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='importrun',
            name='done',
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='importrun',
            name='heartbeat_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='importrun',
            name='options',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='importrun',
            name='process',
            field=models.CharField(blank=True, default='', max_length=255),
        ),
        migrations.AddField(
            model_name='importrun',
            name='started_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='importrun',
            name='status',
            field=models.CharField(choices=[('uploaded', 'Uploaded'), ('running', 'Running'), ('done', 'Done'), ('cancelled', 'Cancelled'), ('failed', 'Nothing stored')], default='uploaded', max_length=10),
        ),
        migrations.AddField(
            model_name='importrun',
            name='total',
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AddConstraint(
            model_name='importrun',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'running')), fields=('user',), name='import_run_one_a_person'),
        ),
        migrations.RunPython(end_finished, migrations.RunPython.noop),
    ]
