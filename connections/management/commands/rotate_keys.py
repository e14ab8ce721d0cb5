"""`manage.py rotate_keys`: reseal everything under the newest of FERNET_KEYS."""

import sys
import time
from dataclasses import asdict

from tqdm import tqdm

from connections.jobs import key_rotation
from connections.lib import processes
from connections.management.base import CommandError, LatchkeyCommand, add_jobs_argument


class Command(LatchkeyCommand):
    help = (
        "Reseal everything that is stored under the newest (first) of FERNET_KEYS. It may be "
        "stopped at any moment and run again, and the console may stay in use. Exit status: "
        "0 done, 1 some values do not open (or, with --verify, an old key is still needed), 2 not "
        "done."
    )

    def add_arguments(self, parser):
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--dry-run", action="store_true", help="Count, and change nothing.")
        what.add_argument(
            "--verify", action="store_true", help="Instead: say whether the old keys can go."
        )
        add_jobs_argument(parser, "open and seal")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, *, dry_run, verify, jobs, **options):
        if verify:
            self.verify(jobs)
        else:
            self.rotate(jobs, dry_run)

    def rotate(self, jobs, dry_run):
        started_at = time.monotonic()
        try:
            with tqdm(total=key_rotation.count_rows(), unit=" rows", disable=None) as bar:
                result = key_rotation.rotate(jobs, dry_run, bar.update)
        except processes.ProcessDied:
            raise CommandError("A process was killed: run it again.") from None
        counts = {
            name: getattr(result, name) for name in ("total", "rotated", "current", "unreadable")
        }
        seconds = round(time.monotonic() - started_at, 3)
        for model, pk, name in result.unreadable_values:
            self.stderr.write(f"{model} {pk}: {name} does not open.")
        if result.unnamed_count:
            self.stderr.write(f"{result.unnamed_count} further values do not open.")
        would = "would be " if dry_run else ""
        self.print_result(
            {**counts, "seconds": seconds},
            f"{result.total} rows in {seconds:.1f} s: {result.rotated} {would}rotated, "
            f"{result.current} current, {result.unreadable} unreadable.",
        )
        if result.unreadable:
            sys.exit(1)

    def verify(self, jobs):
        usage = key_rotation.old_key_usage(jobs)
        verdict = "The old keys can go: nothing is sealed under them."
        if usage.needs_old:
            verdict = (
                f"The old keys are still needed: by {usage.rows} rows, {usage.stored_keys} keys "
                f"of our own and {usage.uploads} pieces of uploads. Run rotate_keys."
            )
        self.print_result({"needs_old": usage.needs_old, **asdict(usage)}, verdict)
        if usage.unreadable and not self.as_json:
            self.stdout.write(f"{usage.unreadable} rows hold values that do not open.")
        if usage.needs_old or usage.unreadable:
            sys.exit(1)
