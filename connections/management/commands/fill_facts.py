"""`manage.py fill_facts`: what tokens and certificates say, for what was stored before."""

import json

from tqdm import tqdm

from connections import telling
from connections.management.base import LatchkeyCommand


class Command(LatchkeyCommand):
    help = (
        "Once after an upgrade: keep beside tokens and certificates that are stored already what "
        "they say about themselves (algorithm, key id, times; subject, issuer, serial, validity). "
        "Opens them, and shows nothing of it. Can be interrupted and run again. Exit status: 0 "
        "done, 2 it could not be done."
    )

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, **options):
        with tqdm(unit=" records", disable=None) as bar:
            checked, filled = telling.fill(bar.update)
        if options["json"]:
            self.stdout.write(json.dumps({"checked": checked, "filled": filled}))
        else:
            self.stdout.write(f"Looked at {checked}, {filled} of them have facts now.")
