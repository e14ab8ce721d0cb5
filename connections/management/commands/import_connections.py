"""`manage.py import_connections`: store connections from files of the API's JSON."""

import io
import json
import os
import sys
import uuid
from contextlib import ExitStack, closing, contextmanager

from tqdm import tqdm

from connections.encryption import keyring
from connections.import_export import importer
from connections.import_export.results import ImportResult
from connections.jobs import import_job
from connections.json_format import entry as json_format_entry
from connections.json_format.issues import FileRefused
from connections.json_format.stream.sources import open_source
from connections.json_format.values import READERS
from connections.lib.text import printable
from connections.management.base import CommandError, LatchkeyCommand, add_jobs_argument

MAX_SHOWN_ERRORS = 20  # refusals on the terminal; --report has them all


class Command(LatchkeyCommand):
    help = (
        "Import connections from files of the API's JSON (or NDJSON), or from standard input. "
        "Exit status: 0 all records are stored, 1 some were refused, 2 nothing was stored."
    )

    def add_arguments(self, parser):
        parser.add_argument("paths", nargs="*", metavar="PATH", help="files, or - for stdin")
        parser.add_argument(
            "--run",
            type=uuid.UUID,
            metavar="ID",
            help="do an import that was confirmed in the browser, instead of files; "
            "the console calls this by itself",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would happen, store nothing"
        )
        parser.add_argument(
            "--on-conflict",
            choices=importer.CONFLICT_POLICIES,
            default="update",
            help="for connections already stored: update (default; secrets the file lacks "
            "stay), replace (exactly the file), skip, or fail (refuse the record)",
        )
        parser.add_argument(
            "--allow-older", action="store_true", help="let older data replace newer"
        )
        parser.add_argument(
            "--integration", metavar="TYPE", help="integration of records that name none"
        )
        parser.add_argument(
            "--environment", metavar="NAME", help="environment of records that name none"
        )
        parser.add_argument(
            "--atomic", action="store_true", help="store all records or, if one is refused, none"
        )
        parser.add_argument(
            "--report", metavar="FILE", help="write every issue to FILE, one JSON object a line"
        )
        add_jobs_argument(parser, "read, judge and seal")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *, paths, report, run, **options):
        if bool(paths) == bool(run):
            raise CommandError("Name files to import, or --run ID, not both.")
        self.shown_errors, self.report_file = 0, None
        if run:
            self.execute_run(run, options)
            return
        try:
            self.import_files(paths, report, options)
        except KeyboardInterrupt:
            rest = "nothing was stored" if options["atomic"] else "what was stored stays"
            raise CommandError(
                f"Stopped; {rest}, and the import can be run again.", returncode=130
            ) from None

    def execute_run(self, pk, options):
        """Do an import that was confirmed in the browser, with the options chosen there."""
        is_background = self.is_background(options["verbosity"])
        result = import_job.execute(pk, jobs=options["jobs"])
        if result is None:
            raise CommandError("No confirmed import of that id waits.")
        if not is_background:
            self.finish(result, None)

    def import_files(self, paths, report, options):
        self.check_arguments(paths, report, options)
        names = importer.ImportOptions.__dataclass_fields__
        chosen = {name: options[name] for name in names if name in options}
        run_id = None
        with ExitStack() as stack:
            if report:
                self.report_file = stack.enter_context(closing(_ReportFile(report)))
            bar = stack.enter_context(tqdm(unit=" records", disable=None))
            seals = keyring.seal_bytes, keyring.unseal_bytes
            stdin = getattr(sys.stdin, "buffer", io.BytesIO())  # cron may close it
            try:
                sources = [open_source(path, stdin, *seals) for path in paths]
            except FileRefused as refusal:
                result = ImportResult(dry_run=options["dry_run"], error=refusal.issue)
            else:
                result, run_id = import_job.import_sources(
                    sources,
                    importer.ImportOptions(**chosen),
                    on_verdict=self.print_issues,
                    on_progress=lambda done, total: _update_bar(bar, done, total),
                    jobs=options["jobs"],
                )
            if self.report_file and result.error and result.error.file:
                self.report_file.write(result.error)
        error = self.report_file and self.report_file.error
        if error:
            self.stderr.write(f"--report: {error}. It is not whole.")
        self.finish(result, run_id and str(run_id))
        if error:
            sys.exit(1)

    def check_arguments(self, paths, report, options):
        if paths.count("-") > 1:
            raise CommandError("Standard input can be read once only.")
        if report == "-":
            raise CommandError("--report takes the name of a file.")
        if report and any(_is_same_file(path, report) for path in paths):
            raise CommandError("--report would overwrite a file to import.")
        for name in ("integration", "environment"):
            _check_default(name, options[name])

    def print_issues(self, verdict):
        for issue in verdict.issues:
            if self.report_file:
                self.report_file.write(issue)
            if issue.level == "error":
                self.shown_errors += 1
                if self.shown_errors <= MAX_SHOWN_ERRORS:
                    line = f", line {issue.line}" if issue.line else ""
                    path = f", {issue.path}" if issue.path else ""
                    self.stderr.write(
                        f"{printable(issue.file)}: record {issue.record}{line}{path}: "
                        f"{issue.message} [{issue.code}]"
                    )

    def finish(self, result, run_id):
        """Print the result, and end with the exit status that goes with it."""
        if self.shown_errors > MAX_SHOWN_ERRORS:
            hidden = self.shown_errors - MAX_SHOWN_ERRORS
            self.stderr.write(f"… and {hidden} more; --report FILE names them all.")
        if self.as_json:
            run = {"run": run_id} if run_id else {}
            self.stdout.write(json.dumps({**result.as_json(), **run}))
        elif result.read or not result.error:
            would = "would be " if result.dry_run else ""
            undo = f" `undo_import {run_id}` takes it back." if run_id else ""
            self.stdout.write(
                f"Read {result.read} in {result.seconds:.1f} s: {result.created} {would}created, "
                f"{result.updated} {would}updated, {result.unchanged} unchanged, "
                f"{result.skipped} skipped, {result.rejected} refused; "
                f"{result.warnings} warnings.{undo}"
            )
        if result.error:
            # A file that changed while it was read: what came before is stored.
            stored_some = result.error.params.get("outcome") == "changes_kept"
            raise CommandError(result.error.message, returncode=1 if stored_some else 2)
        if result.rejected:
            sys.exit(1)


def _check_default(name, value):
    """Refuse a default that the field itself would refuse."""
    entry = json_format_entry.Entry()
    if value is not None:
        READERS["short"](entry, value, name)
    if entry.issues:
        raise CommandError(f"--{name}: {entry.issues[0].message}")


def _is_same_file(one, other):
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)


class _ReportFile:
    """The file of all issues. The import goes on where it can't be written; `error` says why."""

    def __init__(self, path):
        self.error = ""
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise CommandError(f"--report: {error.strerror}.") from None
        self._file = open(handle, "w", encoding="utf-8")

    def write(self, issue):
        if not self.error:
            with self._catch_errors():
                self._file.write(json.dumps(issue.as_json()) + "\n")

    def close(self):
        with self._catch_errors():
            self._file.close()

    @contextmanager
    def _catch_errors(self):
        try:
            yield
        except OSError as error:
            self.error = error.strerror


def _update_bar(bar, done, total):
    bar.total = total
    bar.update(done - bar.n)
