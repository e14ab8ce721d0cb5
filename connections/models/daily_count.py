"""How many connections there were, day by day."""

from django.db import models


class DailyCount(models.Model):
    """The counts of a day (see records.daily_counts): a row a weekday, so that a week is kept."""

    weekday = models.PositiveSmallIntegerField(primary_key=True)  # 0 is Monday
    day = models.DateField()
    taken_at = models.DateTimeField()
    # [[type of the integration or null, environment, {bucket or "stale": count}], …]: so that they
    # can be summed up for a filter, and for a user with limits.
    counts = models.JSONField()

    class Meta:
        default_permissions = ()
