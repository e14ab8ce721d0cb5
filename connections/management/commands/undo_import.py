"""`manage.py undo_import`: take back what an import stored."""

import json
import sys
import uuid

from django.core.management import CommandError

from connections.jobs import runs, undo
from connections.lib.text import printable
from connections.management.base import LatchkeyCommand
from connections.models import ImportRun

MAX_LISTED_RUNS = 20


class Command(LatchkeyCommand):
    help = (
        "Undo an import of the last seven days: what it made goes to the bin, what it changed "
        "gets back what it held. Without an id, list recent imports. "
        "Exit status: 0 all is undone, 1 some was changed since and is left."
    )

    def add_arguments(self, parser):
        parser.add_argument("run", nargs="?", type=uuid.UUID, metavar="ID", help="of the import")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *, run, **options):
        if run is None:
            self.list_runs(options["json"])
            return
        found = ImportRun.objects.filter(pk=run).first()
        if found and runs.abandon(found):
            found.refresh_from_db()
        if found is None or not found.can_be_undone:
            raise CommandError(
                "No import of that id has ended in the last seven days and stored something.",
                returncode=2,
            )
        undone = undo.undo(found)
        if options["json"]:
            self.stdout.write(json.dumps(undone.as_json()))
        else:
            self.stdout.write(
                f"{undone.binned} moved to the bin, {undone.put_back} put back, "
                f"{undone.left} left as they are."
            )
            for left in undone.named:
                self.stderr.write(f"Left: {left['id']} {printable(left['name'])}")
        if undone.left:
            sys.exit(1)

    def list_runs(self, as_json):
        for run in ImportRun.objects.filter(status=ImportRun.Status.RUNNING, user=None):
            runs.abandon(run)  # a command that was killed never told its id, and is not continued
        recent = ImportRun.objects.exclude(finished_at=None).select_related("user")
        rows = [
            {
                "run": str(run.pk),
                "finished_at": run.finished_at.isoformat(),
                "user": run.user.get_username() if run.user else "",
                "file": run.file_name,
                **undo.stored_counts(run),
                "undone": run.undo_result is not None,
            }
            for run in recent.order_by("-finished_at")[:MAX_LISTED_RUNS]
            if run.can_be_undone
        ]
        if as_json:
            self.stdout.write(json.dumps({"runs": rows}))
            return
        for row in rows:
            self.stdout.write(
                f"{row['run']}  {row['finished_at'][:16]}  {row['created']} created, "
                f"{row['updated']} updated  {printable(row['file'])}"
            )
