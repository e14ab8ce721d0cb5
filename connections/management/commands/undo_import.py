"""`manage.py undo_import`: take back what an import stored."""

import json
import sys
import uuid
from dataclasses import asdict

from connections.jobs import undo
from connections.lib.text import printable
from connections.management.base import CommandError, LatchkeyCommand

MAX_LISTED_IMPORTS = 20


class Command(LatchkeyCommand):
    help = (
        "Undo an import of the last seven days: records that it created are moved to the bin, and "
        "records that it changed get their former values back. Without an id, list recent "
        "imports. Exit status: 0 all is undone, 1 some records were changed since and are left."
    )

    def add_arguments(self, parser):
        parser.add_argument("run", nargs="?", type=uuid.UUID, metavar="ID", help="of the import")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *, run, **options):
        if run is None:
            self.list_imports()
            return
        result = undo.undo_import(run)
        if result is None:
            raise CommandError(
                "No import of that id has ended in the last seven days and stored something."
            )
        self.print_result(
            asdict(result),
            f"{result.binned} moved to the bin, {result.put_back} put back, "
            f"{result.left} left as they are.",
        )
        if not self.as_json:
            for record in result.named:
                self.stderr.write(f"Left: {record['id']} {printable(record['name'])}")
        if result.left:
            sys.exit(1)

    def list_imports(self):
        imports = undo.undoable_imports(MAX_LISTED_IMPORTS)
        if self.as_json:
            self.stdout.write(json.dumps({"runs": imports}))
            return
        for one in imports:
            self.stdout.write(
                f"{one['run']}  {one['finished_at'][:16]}  {one['created']} created, "
                f"{one['updated']} updated  {printable(one['file'])}"
            )
