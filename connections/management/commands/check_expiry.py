"""`manage.py check_expiry`: connections that are broken or break soon, for monitoring."""

import csv
import json
import re
import sys
from argparse import ArgumentTypeError
from datetime import timedelta

from django.utils import timezone

from connections.expiry import deadlines
from connections.json_format.serialize import iso
from connections.lib.text import csv_cell, printable
from connections.management.base import LatchkeyCommand
from connections.models import ConnectionAuth

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
DATE_COLUMNS = ("breaks_at", "access_expires_at", "refresh_expires_at")
COLUMNS = ("id", "connection_id", "name", "integration", "bucket", *DATE_COLUMNS, "renewable")
TABLE_COLUMNS = ("bucket", "breaks_at", "name", "integration", "renewable", "id")


def parse_period(text):
    """`90m`, `12h`, `7d` or `2w` as a timedelta."""
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text, re.ASCII)
    if found is None:
        raise ArgumentTypeError("give a whole number and m, h, d or w, such as 12h or 7d")
    number, unit = found.groups()
    return timedelta(**{UNITS[unit]: int(number)})


class Command(LatchkeyCommand):
    help = (
        "List the connections that are broken or break soon, for cron and monitoring. Exit "
        "status: 0 none, 1 some break within the period, 2 some are broken, 3 could not tell. "
        "Opens no sealed value."
    )
    failure_returncode = 3

    def add_arguments(self, parser):
        parser.add_argument(
            "--within",
            type=parse_period,
            default="7d",
            metavar="PERIOD",
            help="How far ahead to look: minutes, hours, days or weeks as 90m, 12h, 7d or 2w "
            "(default: 7d).",
        )
        parser.add_argument(
            "--format",
            choices=("table", "json", "csv"),
            default="table",
            help="How to print (default: table). Dates are in UTC.",
        )
        parser.add_argument(
            "--summary", action="store_true", help="Print the counts and no connections."
        )

    def handle(self, *, within, format, summary, **options):
        now = timezone.now()
        counts = ConnectionAuth.objects.bucket_counts(now)
        breaking = ConnectionAuth.objects.filter(breaks_at__lte=now + within)
        records = None
        if not summary:
            stored_columns = (name for name in COLUMNS if name != "bucket")
            ordered = breaking.order_by("breaks_at", "id").values(*stored_columns)
            records = [_row(columns, now) for columns in ordered]
        PRINTERS[format](self.stdout, now, counts, records)
        code = 2 if counts["broken"] else 1 if breaking.exists() else 0
        if code:
            sys.exit(code)


def _row(columns, now):
    """The JSON object of a record, from its stored columns."""
    row = {
        **columns,
        "id": str(columns["id"]),
        "bucket": deadlines.bucket_of(columns["breaks_at"], now),
        **{name: columns[name] and iso(columns[name]) for name in DATE_COLUMNS},
    }
    return {name: row[name] for name in COLUMNS}


def _print_json(out, now, counts, records):
    result = {
        "now": iso(now),
        "buckets": {name: counts[name] for name in deadlines.BUCKETS},
        "stale": counts["stale"],
        "total": counts["total"],
    }
    if records is not None:
        result["records"] = records
    out.write(json.dumps(result))


def _print_csv(out, now, counts, records):
    writer = csv.writer(out)
    if records is None:
        writer.writerow(("bucket", "count"))
        writer.writerows(counts.items())
        return
    writer.writerow(COLUMNS)
    for row in records:
        writer.writerow([csv_cell(row[name]) for name in COLUMNS])


def _print_table(out, now, counts, records):
    for name, count in counts.items():
        out.write(f"{name:<8}{count:>9,}")
    if not records:
        return
    lines = [
        TABLE_COLUMNS,
        *([_table_cell(row[name]) for name in TABLE_COLUMNS] for row in records),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TABLE_COLUMNS))]
    out.write("")
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.write("  ".join(cells).rstrip())


def _table_cell(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(value or "-", 60)


PRINTERS = {"table": _print_table, "json": _print_json, "csv": _print_csv}
