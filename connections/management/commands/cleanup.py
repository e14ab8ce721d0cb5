"""`manage.py cleanup`: delete what has expired, for cron."""

from dataclasses import asdict

from connections.jobs import cleanup
from connections.management.base import LatchkeyCommand


class Command(LatchkeyCommand):
    help = (
        "Delete what has expired: records that have been in the bin and former versions that have "
        "been kept for seven days, and uploads that nobody confirmed within an hour. Exit status: "
        "0 done, 2 could not be done."
    )

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *, verbosity, **options):
        is_background = self.is_background(verbosity)
        result = cleanup.delete_expired()
        if not is_background:
            self.print_result(
                asdict(result),
                f"Deleted: {result.purged:,} from the bin, {result.former_versions:,} former "
                f"versions, {result.uploads:,} uploads. Ended: {result.ended:,} interrupted runs.",
            )
