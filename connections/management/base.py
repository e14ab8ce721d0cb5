"""What our commands have in common: keys first, and failures as one sentence with an exit code."""

import json
import os
import sys
from argparse import ArgumentTypeError

from django.core.management import base
from django.db import OperationalError, ProgrammingError
from tqdm import tqdm

from connections.audit import log
from connections.encryption import keyring
from connections.lib import processes
from connections.lib.text import printable

tqdm.monitor_interval = 0  # its thread would keep the commands from forking


def positive_int(text):
    """The type of an option that takes a whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("give a whole number from 1 up")
    return int(text)


def utf8_text(text):
    """The type of an option that takes text in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError("this is no text in UTF-8") from None
    return text


def add_jobs_argument(parser, work):
    """Add the option --jobs; `work` is what its processes do."""
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=processes.cores(),
        metavar="N",
        help=f"processes that {work} (default: the cores, here %(default)s)",
    )


class CommandError(base.CommandError):
    """A command can't do its work; one sentence says why."""

    def __init__(self, sentence, returncode=2):
        super().__init__(sentence, returncode=returncode)


class LatchkeyCommand(base.BaseCommand):
    """Refuses to run without good keys."""

    checks_keys = True  # manage.py does it for other commands
    requires_system_checks = []  # require_keys() says in one sentence what is wrong
    failure_returncode = 2  # of a command that could not do its work, usage errors included

    def create_parser(self, *args, **kwargs):
        parser = super().create_parser(*args, **kwargs)
        leave, failure = parser.exit, self.failure_returncode
        parser.exit = lambda status=0, message=None: leave(status and failure, message)
        return parser

    def execute(self, *args, **options):
        self.as_json = options.get("json", False)
        try:
            keyring.require_keys()
            return super().execute(*args, **options)
        except keyring.KeyringError as error:
            raise CommandError(str(error), returncode=self.failure_returncode) from None
        except (OperationalError, ProgrammingError) as error:
            first_line = printable(str(error).partition("\n")[0])
            raise CommandError(
                f"The database can't be used ({first_line}); check DATABASE_URL and run "
                "`python manage.py migrate`.",
                returncode=self.failure_returncode,
            ) from None
        except BrokenPipeError:  # nobody reads the output any more, as after `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(self.failure_returncode)

    def is_background(self, verbosity: int) -> bool:
        """Whether the console has started this command, with `--verbosity 0`.

        Its standard output is that of the server then, and takes the lines of the audit log.
        """
        if verbosity == 0:
            log.log_to(sys.stdout)
        return verbosity == 0

    def print_result(self, result: dict, sentence: str) -> None:
        """Print the result with --json, and else the sentence."""
        self.stdout.write(json.dumps(result) if self.as_json else sentence)
