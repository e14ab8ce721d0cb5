"""`manage.py find_secret`: which connections hold a secret, or share one."""

import getpass
import json
import sys

from django.core.management import CommandError
from tqdm import tqdm

from connections.encryption.digests import SECRET_FIELDS
from connections.lib import processes
from connections.lib.text import printable
from connections.management.base import LatchkeyCommand
from connections.models import ConnectionAuth, SecretFingerprint
from connections.records import secret_search, shared_secrets


class Command(LatchkeyCommand):
    help = (
        "Tell which connections hold the secret that is given on standard input, and in which "
        "field. Opens nothing that is in use. Exit status: 0 it is nowhere (or none is shared), "
        "1 it was found, 2 it could not be looked for."
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
            help="Instead: make the fingerprints of all connections anew.",
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

    def handle(self, *, shared, rebuild, former, field, json, **options):
        if field and not shared:
            raise CommandError("--field goes with --shared.", returncode=2)
        if rebuild:
            self.rebuild(json)
        elif shared:
            self.list_shared(field, json)
        else:
            self.find(former, json)

    def find(self, former, as_json):
        found = secret_search.search(read_secret(), former=former, jobs=processes.cores())
        if as_json:
            written = {"found": [holder.as_json() for holder in found.holders]}
            if former:
                written["former"] = [place.as_json() for place in found.former]
                written["unopened"] = found.unopened
            self.stdout.write(json.dumps(written))
        else:
            for holder in found.holders:
                self.stdout.write(describe_holder(holder))
            for place in found.former:
                self.stdout.write(f"{describe_holder(place)}, in version {place.version}")
            places = f"{len(found)} place{'' if len(found) == 1 else 's'}"
            self.stdout.write(f"Found in {places}." if found else "Found nowhere.")
        if found.unopened:
            self.stderr.write(
                f"Former versions with a value that does not open: {found.unopened}."
            )
        if found or found.unopened:
            sys.exit(1)

    def list_shared(self, field, as_json):
        groups = list(shared_secrets.iter_shared_holders(field))
        if as_json:
            written = [[holder.as_json() for holder in group] for group in groups]
            self.stdout.write(json.dumps({"shared": written}))
        else:
            for number, group in enumerate(groups, 1):
                count = len({holder.record.pk for holder in group})
                self.stdout.write(f"Secret {number}: {count} connections")
                for holder in group:
                    self.stdout.write(f"  {describe_holder(holder)}")
            self.stdout.write(f"{len(groups)} secrets are shared.")
        if groups:
            sys.exit(1)

    def rebuild(self, as_json):
        total = ConnectionAuth.all_objects.count()
        with tqdm(total=total, unit=" records", disable=None) as bar:
            count = SecretFingerprint.objects.rebuild(lambda done: bar.update(done - bar.n))
        said = {"rebuilt": count}
        self.stdout.write(json.dumps(said) if as_json else f"Made anew for {count} connections.")


def read_secret():
    """The secret, from standard input; asked for without an echo at a terminal."""
    if sys.stdin.isatty():
        secret = getpass.getpass("Secret (not shown): ")
    else:
        secret = sys.stdin.buffer.read(secret_search.MAX_SECRET_BYTES + 1).decode(errors="replace")
    if not secret.strip():
        raise CommandError("Give the secret on standard input.", returncode=2)
    return secret


def describe_holder(holder):
    record = holder.record
    return f"{printable(str(record))}: {holder.field} ({record.connection_id or record.pk})"
