"""`manage.py find_secret`: which connections hold a given secret, or share one."""

import getpass
import json
import sys

from tqdm import tqdm

from connections.encryption.digests import SECRET_FIELDS
from connections.lib import processes
from connections.lib.text import printable
from connections.management.base import CommandError, LatchkeyCommand
from connections.models import ConnectionAuth, SecretFingerprint
from connections.records import secret_search


class Command(LatchkeyCommand):
    help = (
        "Find the connections that hold the secret given on standard input, and the fields that "
        "it is in. Opens no value of a connection. Exit status: 0 not found (or none is shared), "
        "1 found, 2 could not search."
    )

    def add_arguments(self, parser):
        other = parser.add_mutually_exclusive_group()
        other.add_argument(
            "--shared",
            action="store_true",
            help="Instead: secrets that several connections hold, without showing any.",
        )
        other.add_argument(
            "--rebuild",
            action="store_true",
            help="Instead: compute the fingerprints of all connections again.",
        )
        other.add_argument(
            "--former",
            action="store_true",
            help="Look in the former versions of the last seven days as well; opens each of them.",
        )
        parser.add_argument(
            "--field",
            choices=sorted(SECRET_FIELDS),
            help="With --shared: look at this field alone.",
        )
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, *, shared, rebuild, former, field, **options):
        if field and not shared:
            raise CommandError("--field goes with --shared.")
        if rebuild:
            self.rebuild()
        elif shared:
            self.list_shared(field)
        else:
            self.find(former)

    def find(self, former):
        found = secret_search.search(read_secret(), former=former, jobs=processes.cores())
        if self.as_json:
            result = {"found": [holder.as_json() for holder in found.holders]}
            if former:
                result["former"] = [holder.as_json() for holder in found.former]
                result["unopened"] = found.unopened
            self.stdout.write(json.dumps(result))
        else:
            for holder in found.holders:
                self.stdout.write(describe_holder(holder))
            for holder in found.former:
                self.stdout.write(f"{describe_holder(holder)}, in version {holder.version}")
            places = f"{len(found)} place{'' if len(found) == 1 else 's'}"
            self.stdout.write(f"Found in {places}." if found else "Found nowhere.")
        if found.unopened:
            self.stderr.write(
                f"Former versions with a value that does not open: {found.unopened}."
            )
        if found or found.unopened:
            sys.exit(1)

    def list_shared(self, field):
        groups = list(secret_search.iter_shared_holders(field))
        if self.as_json:
            shared = [[holder.as_json() for holder in group] for group in groups]
            self.stdout.write(json.dumps({"shared": shared}))
        else:
            for number, group in enumerate(groups, 1):
                count = len({holder.record.pk for holder in group})
                self.stdout.write(f"Secret {number}: {count} connections")
                for holder in group:
                    self.stdout.write(f"  {describe_holder(holder)}")
            self.stdout.write(f"{len(groups)} secrets are shared.")
        if groups:
            sys.exit(1)

    def rebuild(self):
        total = ConnectionAuth.all_objects.count()
        with tqdm(total=total, unit=" records", disable=None) as bar:
            count = SecretFingerprint.objects.rebuild(lambda done: bar.update(done - bar.n))
        self.print_result({"rebuilt": count}, f"Made anew for {count} connections.")


def read_secret():
    """Read the secret from standard input, at a terminal without an echo."""
    if sys.stdin.isatty():
        secret = getpass.getpass("Secret (not shown): ")
    else:
        secret = sys.stdin.buffer.read(secret_search.MAX_SECRET_BYTES + 1).decode(errors="replace")
    if not secret.strip():
        raise CommandError("Give the secret on standard input.")
    return secret


def describe_holder(holder):
    record = holder.record
    return f"{printable(str(record))}: {holder.field} ({record.connection_id or record.pk})"
