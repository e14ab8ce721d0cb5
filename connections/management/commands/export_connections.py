"""`manage.py export_connections`: connections as the API's JSON."""

import sys

from tqdm import tqdm

from connections.expiry import deadlines
from connections.import_export import exporter
from connections.lib.text import printable
from connections.management.base import CommandError, LatchkeyCommand, add_jobs_argument, utf8_text
from connections.models import ConnectionAuth


class Command(LatchkeyCommand):
    help = (
        "Export connections as the API's JSON. Exit status: 0 all are written, "
        "1 some do not open and were left out, 2 nothing was written."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "-o",
            "--output",
            default="-",
            metavar="FILE",
            help="a file (mode 0600), or - (default)",
        )
        parser.add_argument(
            "--shape",
            choices=exporter.SHAPES,
            default="auth",
            help="auth: the auth objects (default); connection: with all that surrounds them, "
            "for backup and moving house",
        )
        parser.add_argument(
            "--naming", choices=exporter.NAMINGS, default="camel", help="spelling of the keys"
        )
        parser.add_argument(
            "--format", choices=exporter.FORMATS, default="json", help="an array, or a line each"
        )
        parser.add_argument(
            "--secrets",
            choices=exporter.SECRET_MODES,
            default="include",
            help="include (default), mask, or omit what is stored sealed",
        )
        parser.add_argument(
            "--integration", type=utf8_text, metavar="TYPE", help="only this integration"
        )
        parser.add_argument(
            "--environment", type=utf8_text, metavar="NAME", help="only this environment"
        )
        parser.add_argument(
            "--bucket", choices=(*deadlines.BUCKETS, "stale"), help="only what breaks then"
        )
        add_jobs_argument(parser, "open and write")
        parser.add_argument(
            "--overwrite", action="store_true", help="replace FILE where it exists"
        )
        parser.add_argument(
            "--json", action="store_true", help="with -o FILE: print the result as JSON"
        )

    def handle(self, *, output, overwrite, **options):
        to_stdout = output == "-"
        if to_stdout and self.as_json:
            raise CommandError("--json needs -o FILE, since the export itself is on stdout.")
        is_terminal = to_stdout and self.stdout.isatty()
        if to_stdout and hasattr(self.stdout, "reconfigure"):
            self.stdout.reconfigure(encoding="utf-8")  # in any locale
        if is_terminal and options["secrets"] == "include":
            raise CommandError(
                "Secrets are not printed to a terminal: use -o FILE, or --secrets mask."
            )
        queryset = ConnectionAuth.objects.all()
        if options["integration"] is not None:
            queryset = queryset.filter(integration=options["integration"])
        if options["environment"] is not None:
            queryset = queryset.in_environment(options["environment"])
        if options["bucket"] is not None:
            queryset = queryset.in_bucket(options["bucket"])
        names = exporter.ExportOptions.__dataclass_fields__
        chosen = {name: options[name] for name in names if name in options}
        tally = exporter.ExportTally()
        export_options = exporter.ExportOptions(**chosen, ascii=is_terminal)
        try:
            if to_stdout:
                for piece in exporter.stream(queryset, export_options, tally, options["jobs"]):
                    self.stdout.write(piece, ending="")
            else:
                with (
                    exporter.atomic_file(output, overwrite) as file,
                    tqdm(total=queryset.count(), unit=" records", disable=None) as bar,
                ):
                    for piece in exporter.stream(queryset, export_options, tally, options["jobs"]):
                        file.write(piece)
                        bar.update(tally.exported - bar.n)
        except FileExistsError:
            raise CommandError(f"{printable(output)} exists; --overwrite replaces it.") from None
        except BrokenPipeError:
            raise  # LatchkeyCommand handles it
        except OSError as error:
            raise CommandError(f"{printable(output)}: {error.strerror}.") from None
        for sentence in exporter.left_out_messages(tally):
            self.stderr.write(sentence)
        if not to_stdout:
            self.print_result(
                {"exported": tally.exported, "left_out": len(tally.left_out)},
                f"{tally.exported} connections are in {output}.",
            )
        if tally.left_out:
            sys.exit(1)
