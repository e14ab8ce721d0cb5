"""`manage.py take_snapshot`: store the counts of the day."""

from django.utils import timezone

from connections.management.base import LatchkeyCommand
from connections.models import DailyCount
from connections.records import daily_counts


class Command(LatchkeyCommand):
    help = (
        "Store the counts of the day, so that tomorrow's dashboard can tell what changed. For "
        "cron, once a day: counts that were stored earlier that day stay. The first visit of the "
        "dashboard stores them too. Opens no sealed value."
    )

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, **options):
        now = timezone.now()
        day = daily_counts.today(now)
        is_new = not DailyCount.objects.filter(day=day).exists()
        if is_new:
            daily_counts.store_today(now)
        self.print_result(
            {"day": day.isoformat(), "taken": is_new},
            f"Kept the counts of {day}." if is_new else f"The counts of {day} were kept already.",
        )
