"""`manage.py generate_key`: a new key for FERNET_KEYS."""

import json

from django.core.management.base import BaseCommand

from connections.encryption import keyring


class Command(BaseCommand):
    help = (
        "Print a new random key for FERNET_KEYS. Nothing is stored. "
        "Works before any key or database is set up."
    )
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help='Print {"key": "…"} instead.')

    def handle(self, **options):
        key = keyring.generate_key()
        self.stdout.write(json.dumps({"key": key}) if options["json"] else key)
