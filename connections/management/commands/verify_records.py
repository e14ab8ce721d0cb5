"""`manage.py verify_records`: whether records were changed behind the application."""

import sys
import time
from dataclasses import asdict

from tqdm import tqdm

from connections.jobs import integrity
from connections.lib.text import printable
from connections.management.base import LatchkeyCommand, add_jobs_argument
from connections.models import ConnectionAuth


class Command(LatchkeyCommand):
    help = (
        "Open every sealed value and compare every record with its digest, also in the bin: finds "
        "what was changed, moved or damaged behind the application. Exit status: 0 all is as it "
        "was stored, 1 something is not, 2 could not check."
    )

    def add_arguments(self, parser):
        add_jobs_argument(parser, "open and compare")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, *, jobs, **options):
        started_at = time.monotonic()
        total = ConnectionAuth.all_objects.count()
        with tqdm(total=total, unit=" records", disable=None) as bar:
            result = integrity.verify(jobs, lambda checked: bar.update(checked - bar.n))
        seconds = time.monotonic() - started_at
        bad = [asdict(fault) for fault in result.faults]
        if not self.as_json:
            for fault in result.faults:
                name = printable(fault.connection_id or fault.id)
                sentence = integrity.FAULT_MESSAGES[fault.code]
                self.stderr.write(f"{name}: {fault.field}: {sentence} [{fault.code}]")
        self.print_result(
            {"checked": result.checked, "bad": bad, "seconds": round(seconds, 3)},
            f"Checked {result.checked} in {seconds:.1f} s: {len(bad)} faults.",
        )
        if result.faults:
            sys.exit(1)
