"""`manage.py reset_mfa`: for a user who has lost their second factors and recovery codes."""

from django.contrib.auth.models import User
from django.db import transaction

from connections.accounts import mfa
from connections.audit import log
from connections.management.base import CommandError, LatchkeyCommand


class Command(LatchkeyCommand):
    help = (
        "Remove all second factors and recovery codes of a user who has lost them. The user signs "
        "in with the password alone, until a new second factor is set up."
    )

    def add_arguments(self, parser):
        parser.add_argument("user", metavar="USER", help="the user name")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *, user, **options):
        account = User.objects.filter(username=user).first()
        if account is None:
            raise CommandError("There is no user of that name.")
        with transaction.atomic():
            removed = mfa.reset(account)
            if removed:
                log.log_event(
                    "change", record=account, fields=log.SECOND_FACTOR_FIELDS, reason="Taken away"
                )
        self.print_result(
            {"removed": removed},
            f"Removed: {', '.join(removed) or 'nothing, there was none'}.",
        )
