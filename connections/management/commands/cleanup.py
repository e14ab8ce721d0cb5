"""`manage.py cleanup`: delete what has expired, for cron."""

import json
import sys

from connections.audit import log
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
        if verbosity == 0:  # started by the console: standard output is that of the server
            log.log_to(sys.stdout)
        result = cleanup.delete_expired()
        if options["json"]:
            self.stdout.write(json.dumps(result.as_json()))
        elif verbosity:
            self.stdout.write(
                f"Deleted: {result.purged:,} from the bin, {result.former_versions:,} former "
                f"versions, {result.uploads:,} uploads. Ended: {result.ended:,} interrupted runs."
            )
