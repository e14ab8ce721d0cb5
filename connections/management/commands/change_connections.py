"""`manage.py change_connections`: do a bulk change that was confirmed in the browser."""

import sys
import uuid

from connections.jobs import bulk_change
from connections.management.base import CommandError, LatchkeyCommand


class Command(LatchkeyCommand):
    help = (
        "Do a change of many connections that was confirmed in the browser; the console calls "
        "this by itself. Exit status: 0 done, 1 some connections were refused, 2 no change of "
        "that id waits."
    )

    def add_arguments(self, parser):
        parser.add_argument("--run", type=uuid.UUID, metavar="ID", required=True, help="its id")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *, run, verbosity, **options):
        is_background = self.is_background(verbosity)
        result = bulk_change.execute(run)
        if result is None:
            raise CommandError("No confirmed change of that id waits.")
        if not is_background:
            self.print_result(
                result,
                f"{result['changed']:,} changed, {result['already']:,} already so, "
                f"{sum(result['refused'].values()):,} refused.",
            )
        if result["refused"]:
            sys.exit(1)
