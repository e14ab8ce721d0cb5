"""Text from anywhere, made fit for a page, a terminal, a log or a spreadsheet."""

import re

# Control characters other than blanks, and those that turn the direction of the text after them.
CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# Also behind a semicolon or a tab: where a comma is decimal, spreadsheets part cells there. Wide
# signs count in East Asian ones.
FORMULA_PREFIX = re.compile(r'(^|[;\t][ "]*)([=+\-@\t\r\n＝＋－＠])')  # noqa: RUF001


UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)


def printable(text, limit=200):
    """`text` for a terminal or a log: control and direction characters escaped, length capped."""
    text = UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def visible(text):
    """Stored text for a page: what would be invisible or turn the page round is spelled out."""
    return CONTROL_CHARACTERS.sub(lambda found: f"\\u{ord(found.group()):04x}", str(text))


def csv_cell(value):
    """A cell of a CSV file: text that a spreadsheet does not take for a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None else str(value)
    return FORMULA_PREFIX.sub(r"\1'\2", text)


def in_one_line(name):
    """A stored name as it is shown and logged: on one line, and all of it to be seen."""
    return printable(re.sub(r"[\t\r\n]", " ", name), 255)
