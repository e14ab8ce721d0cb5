"""`manage.py seed_demo`: demo connections, to try the console with."""

import sys
from argparse import ArgumentTypeError

from django.utils import timezone
from tqdm import tqdm

from connections.management import demo
from connections.management.base import CommandError, LatchkeyCommand

MAX_COUNT = 1_000_000


def connection_count(text):
    if not text.isdecimal() or not 1 <= int(text) <= MAX_COUNT:
        raise ArgumentTypeError(f"give a whole number from 1 to {MAX_COUNT:,}")
    return int(text)


class Command(LatchkeyCommand):
    help = (
        "Fill an empty store with demo connections of every kind and expiry, to try the console "
        "with. All their secrets are synthetic. Refuses where other connections are stored."
    )

    def add_arguments(self, parser):
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--count",
            type=connection_count,
            default=500,
            help="How many connections (default: 500).",
        )
        what.add_argument(
            "--clear",
            action="store_true",
            help="Remove the demo connections and the integrations that only they use.",
        )
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, *, count, clear, **options):
        if clear:
            self.clear()
        else:
            self.seed(count)

    def clear(self):
        deleted, integrations = demo.clear()
        self.print_result(
            {"deleted": deleted, "integrations_deleted": integrations},
            f"Removed {deleted} demo connections and {integrations} integrations.",
        )

    def seed(self, count):
        with tqdm(unit=" records", total=count, disable=None) as bar:
            result = demo.seed(count, timezone.now(), lambda done, _: bar.update(done - bar.n))
        if result.error:
            raise CommandError(result.error.message)
        self.print_result(
            result.as_json(),
            f"Created {result.created} demo connections, updated {result.updated}. "
            "`seed_demo --clear` removes them.",
        )
        if result.rejected:
            sys.exit(1)
