"""`manage.py verify_audit`: whether the audit log is complete and unchanged."""

import json
import sys
import time

from tqdm import tqdm

from connections.audit import verify
from connections.lib.text import printable
from connections.management.base import CommandError, LatchkeyCommand
from connections.models import AccessEvent

MAX_NAMED_FAULTS = 1000  # more are counted
MAX_ANCHOR_LENGTH = 10_000  # characters of an anchor


class Command(LatchkeyCommand):
    help = (
        "Verify the audit log: name the entries that were edited, removed or swapped. Exit "
        "status: 0 it is complete and unchanged, 1 it is not, 2 could not tell."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--anchor",
            metavar="FILE",
            help="what --head printed before, stored elsewhere: reveals entries that were cut off",
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--head", action="store_true", help="print the anchor for next time, if all is well"
        )
        what.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *, anchor, head, **options):
        started = time.monotonic()
        anchor = _read_anchor(anchor) if anchor else None
        result, faults, count = verify.VerifyResult(), [], 0
        total = AccessEvent.objects.count()
        with tqdm(total=total, unit=" entries", disable=None, file=sys.stderr) as bar:
            for fault in verify.verify(result, anchor, on_progress=bar.update):
                count += 1
                if count <= MAX_NAMED_FAULTS:
                    faults.append(fault)
        if self.as_json:
            seconds = round(time.monotonic() - started, 3)
            found = {"checked": result.checked, "head": result.head, "bad": faults}
            self.stdout.write(json.dumps({**found, "bad_count": count, "seconds": seconds}))
        else:
            self.print_verdict(result, faults, count, head)
        if count:
            sys.exit(1)

    def print_verdict(self, result, faults, count, head):
        for fault in faults:
            entries = f"Entry {fault['entry']}"
            if fault["until"] != fault["entry"]:
                entries = f"Entries {fault['entry']} to {fault['until']}"
            self.stderr.write(f"{entries}: {fault['message']} [{fault['code']}]")
        if count > len(faults):
            self.stderr.write(f"… and {count - len(faults)} more.")
        if not head:
            verdict = f"{count} faults" if count else "whole, and as it was written"
            self.stdout.write(f"{result.checked} entries: {verdict}.")
        elif not count:  # an anchor of a log with faults would vouch for them
            self.stdout.write(json.dumps(result.head))


def _read_anchor(path):
    try:
        with open(path, encoding="utf-8") as file:
            anchor = json.loads(file.read(MAX_ANCHOR_LENGTH))
        if anchor["entry"] >= 0 and isinstance(anchor["mac"], str):
            return anchor
    except OSError as error:
        raise CommandError(f"{printable(path)}: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError):
        pass
    raise CommandError(f"{printable(path)} is nothing that --head printed.")
