"""Text from anywhere, made fit for a page, a terminal, a log or a spreadsheet."""

import re

# Escaped on a page: control characters other than tabs and line ends, which HTML shows as blanks,
# and characters that turn the direction of the text after them.
CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# Escaped in a terminal or a log: also what would break the line, what is invisible there, marks
# of direction, which names on a page may need, and surrogates, which can't be encoded.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)

# The start of a formula. Also behind a semicolon or a tab: where a comma is decimal, spreadsheets
# separate cells by them. Fullwidth characters count in East Asian ones.
FORMULA_PREFIX = re.compile(r'(^|[;\t][ "]*)([=+\-@\t\r\n＝＋－＠])')  # noqa: RUF001


def printable(text: str, limit: int = 200) -> str:
    """A text for a terminal or a log: on one line, escaped, at most `limit` characters long."""
    text = _escape(UNPRINTABLE, text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable_on_page(value: object) -> str:
    """A stored value as text for a page: escaped, with its line ends and of any length."""
    return _escape(CONTROL_CHARACTERS, str(value))


def _escape(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def in_one_line(name: str) -> str:
    """A stored name as it is shown and logged: tabs and line ends are blanks, the rest escaped."""
    return printable(re.sub(r"[\t\r\n]", " ", name), 255)


def csv_cell(value: object) -> str:
    """A cell of a CSV file: text that a spreadsheet does not take for a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None else str(value)
    return FORMULA_PREFIX.sub(r"\1'\2", text)
