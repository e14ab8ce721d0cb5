#!/usr/bin/env python
"""Latchkey's command line: `python manage.py help` lists the commands."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility

from connections.encryption import keyring


class CommandLine(ManagementUtility):
    """Django's, which refuses a command without good keys in one sentence."""

    def fetch_command(self, subcommand):
        command = super().fetch_command(subcommand)
        # A LatchkeyCommand checks the keys itself, and ends with an exit status of its own.
        checks_keys = getattr(command, "checks_keys", False)
        if not (checks_keys or keyring.may_run_without_keys(self.argv)):
            keyring.require_keys()
        return command


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        CommandLine(sys.argv).execute()
    except (ImproperlyConfigured, keyring.KeyringError) as error:
        print(error, file=sys.stderr)
        sys.exit(3 if sys.argv[1:2] == ["check_expiry"] else 2)  # its 2 means "some are broken"
