from django.db import migrations, models


class Migration(migrations.Migration):
    """The table of Django's database cache, as `createcachetable` makes it. It has no model."""

    dependencies = [
        ("connections", "0010_fill_sealed_under"),
    ]

    operations = [
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
    ]
