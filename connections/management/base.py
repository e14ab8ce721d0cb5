"""What our commands have in common: keys first, and failures as one sentence with an exit code."""

import os
import sys
from argparse import ArgumentTypeError

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from tqdm import tqdm

from connections.encryption import ring, stored_keys
from connections.lib.text import printable

tqdm.monitor_interval = 0  # a thread of its own would forbid the commands to fork


def positive_int(text):
    """The type of an option that takes a whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("give a whole number from 1 up")
    return int(text)


def utf8_text(text):
    """The type of an option that takes a text: bytes that are no UTF-8 are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError("this is no text in UTF-8") from None
    return text


class LatchkeyCommand(BaseCommand):
    """Asks for good keys before it begins.

    To give up, raise CommandError with a sentence and `returncode=2`.
    """

    requires_system_checks = []  # require_keys() says in one sentence what is wrong
    failed = 2  # the exit code of "could not do it", usage errors included

    def create_parser(self, *args, **kwargs):
        parser = super().create_parser(*args, **kwargs)
        leave = parser.exit
        parser.exit = lambda status=0, message=None: leave(status and self.failed, message)
        return parser

    def execute(self, *args, **options):
        try:
            stored_keys.require_keys()
            return super().execute(*args, **options)
        except ring.KeyringError as error:
            raise CommandError(str(error), returncode=self.failed) from None
        except (OperationalError, ProgrammingError) as error:
            first_line = printable(str(error).partition("\n")[0])
            raise CommandError(
                f"The database can't be used ({first_line}); check DATABASE_URL and run "
                "`python manage.py migrate`.",
                returncode=self.failed,
            ) from None
        except BrokenPipeError:  # whoever read our output has left, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(self.failed)
