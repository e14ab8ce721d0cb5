"""docs/json-format.md agrees with the code."""

import re
from pathlib import Path

from connections.import_export import exporter, importer
from connections.json_format import schema, serialize
from connections.json_format.issues import COMMAND_ERRORS, FILE_ERRORS, RECORD_ERRORS, WARNINGS
from connections.json_format.stream import tokenizer
from connections.json_format.values import (
    MAX_DEPTH,
    MAX_REPORTED_KEYS,
    MAX_SECONDS,
    MAX_SHORT_TEXT,
    MAX_TEXT,
)

PAGE = (Path(__file__).parents[2] / "docs" / "json-format.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]


def test_every_code_is_in_the_table_with_its_meaning():
    expected = [
        [f"`{code}`", about, meaning]
        for about, table in [
            ("file refused", FILE_ERRORS),
            ("record refused", RECORD_ERRORS),
            ("warning", WARNINGS),
            ("command", COMMAND_ERRORS),
        ]
        for code, meaning in table.items()
    ]
    assert [row for row in ROWS if row[1] in {about for _, about, _ in expected}] == expected


def test_every_field_of_the_auth_object_is_in_the_table_in_order():
    expected = [
        [
            f"`{schema.to_camel_case(name)}`",
            f"`{name}`",
            "sealed" if name in schema.SEALED_FIELDS else "plain",
        ]
        for name in schema.AUTH_FIELDS
    ]
    assert [[row[0], row[1], row[3]] for row in ROWS if len(row) == 4] == expected


def test_every_field_of_a_connection_is_in_the_table_in_order():
    expected = [
        [f"`{schema.to_camel_case(n)}`", f"`{n}`"] for n in (*schema.CONNECTION_FIELDS, "auth")
    ]
    start = PAGE.index("### The Connection around it")
    section = PAGE[start : PAGE.index("### Unknown keys")]
    assert re.findall(r"^\| (`\w+`) \| (`\w+`) \|", section, re.M) == [tuple(e) for e in expected]


def test_every_choice_is_named():
    choices = [
        *importer.CONFLICT_POLICIES,
        *exporter.SHAPES,
        *exporter.NAMINGS,
        *exporter.FORMATS,
        *exporter.SECRET_MODES,
        *schema.WRAPPER_KEYS,
    ]
    for choice in choices:
        assert re.search(rf"`(--\w+ )?{choice}`", PAGE), choice


def test_the_limits_are_the_real_ones():
    assert MAX_TEXT == 128 * 1024 and "128 KiB" in PAGE
    assert MAX_SHORT_TEXT == 255 and "255 characters" in PAGE
    assert MAX_SECONDS == 100_000_000_000 and "100,000,000,000" in PAGE
    assert MAX_REPORTED_KEYS == 20 and "up to 20" in PAGE
    assert MAX_DEPTH == 200 and "200 levels" in PAGE
    assert tokenizer.MAX_ENTRY_SIZE == 16 * 1024 * 1024 and "16 MiB" in PAGE
    assert f'"{serialize.MASK}": true' in PAGE
