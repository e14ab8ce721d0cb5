"""`manage.py take_snapshot`: keep the counts of the day."""

import json

from django.utils import timezone

from connections.management.base import LatchkeyCommand
from connections.records import daily_counts


class Command(LatchkeyCommand):
    help = (
        "Keep how many connections there are today, so that the dashboard of tomorrow can say "
        "what changed. Fit for cron, once a day; what was kept earlier that day stays, and the "
        "dashboard does the same when it is first looked at. Opens no sealed value."
    )

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, **options):
        now = timezone.now()
        is_new = not daily_counts.is_stored_today(now)
        if is_new:
            daily_counts.store_today(now)
        day = daily_counts.today(now)
        if options["json"]:
            self.stdout.write(json.dumps({"day": day.isoformat(), "taken": is_new}))
        elif is_new:
            self.stdout.write(f"Kept the counts of {day}.")
        else:
            self.stdout.write(f"The counts of {day} were kept already.")
