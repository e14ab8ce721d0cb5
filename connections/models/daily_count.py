"""How many connections there were, day by day."""

from django.db import models


class DailyCount(models.Model):
    """The counts of a day (see snapshots): a row for each day of the week, so a week is kept."""

    weekday = models.PositiveSmallIntegerField(primary_key=True)  # 0 is Monday
    day = models.DateField()
    taken_at = models.DateTimeField()
    # By place, so that a narrowed page and a user with limits have theirs:
    # [[type of the integration or null, environment, {bucket or "stale": count}], …]
    counts = models.JSONField()

    class Meta:
        default_permissions = ()
