"""What can be wrong with a file or a record: one table of codes, and the Issue that carries one.

An issue names the place and never the value.
"""

import re
from dataclasses import dataclass

# A file is refused as a whole: nothing of it is stored.
FILE_ERRORS = {
    "empty": "The file is empty.",
    "truncated": "The file ends in the middle of a value.",
    "trailing_garbage": "There is something after the end of the JSON.",
    "not_json": "This is not JSON.",
    "not_utf8": "The file is not UTF-8.",
    "utf16": "The file is UTF-16 or UTF-32; save it as UTF-8.",
    "gzip": "The file is compressed with gzip; unpack it first.",
    "zip": "The file is a ZIP archive; unpack it first.",
    "html": "The file is an HTML or XML page, not JSON.",
    "json5": "The file uses comments, single quotes, bare keys or trailing commas (JSON5).",
    "scalar": "The file holds a single value, not an object or an array of objects.",
    "too_deep": "The file nests more than 200 levels deep.",
    "not_finite": "The file holds NaN or Infinity, which are no JSON.",
    "entry_too_large": "An entry is over 16 MiB.",
    "file_changed": "The file changed while it was read.",
    "unreadable_file": "The file can't be read.",
}

# A record is refused and changes nothing.
RECORD_ERRORS = {
    "not_an_object": "The entry is no object.",
    "no_known_field": "No field that we know is set.",
    "wrong_type": "The value has the wrong type.",
    "bad_number": "Not a usable number.",
    "bad_date": "Not a possible, unambiguous date.",
    "bad_text": "The text holds U+0000 or half a surrogate pair.",
    "too_long": "The text is too long.",
    "too_many_keys": "Over 10,000 keys in one object.",
    "bad_url": "Not an http or https address.",
    "blank_id": "An id can't be blank.",
    "conflicting_keys": "The same key is there twice with different values.",
    "bad_line": "The line is no JSON object.",
    "nothing_to_keep": "Masked, and nothing is stored to keep.",
    "endpoint_changed": "New host: the secrets that go there must come along.",
    "same_id_twice": "Another record of this file has this id and other content.",
    "older": "Older than what is stored.",
    "exists": "Already stored with other content.",
    "not_permitted": "You may not do this.",
    "conflict": "Changed by somebody else while it was imported.",
}

# A record is accepted, with a warning.
WARNINGS = {
    "unknown_key": "Unknown key, kept and sealed.",
    "date_without_zone": "Date without a zone, read as UTC.",
    "date_as_number": "Date as a number, read as the time since 1970.",
    "empty_date": "Empty date, read as absent.",
    "number_as_text": "Number written as text.",
    "negative_number": "Negative number of seconds.",
    "long_lifetime": "A lifetime of more than 50 years.",
    "outer_blanks": "Blanks or line breaks around or in a token, kept.",
    "no_email": "Not an e-mail address, kept.",
    "url_with_user": "Address with a user name in it.",
    "url_private_host": "Address of a private or local host.",
    "url_template": "Address with a placeholder in it.",
    "url_without_scheme": "Address without http:// or https://.",
    "pem_without_end": "PEM text without an END line.",
    "duplicate": "The same record is in the file more than once.",
    "restored": "Was in the bin, and is restored.",
}

OUTSIDE = "This is outside what you may reach."  # not_permitted, where a scope says so

# A command could not do its work at all.
COMMAND_ERRORS = {
    "nothing_stored": "Some records were refused, so nothing was stored (--atomic).",
    "process_died": "A process of the import was killed: run it again.",
    "unreadable": "A stored record does not open and was left out.",
}

CODES = {**FILE_ERRORS, **RECORD_ERRORS, **WARNINGS, **COMMAND_ERRORS}


@dataclass(frozen=True)
class Issue:
    """One thing to say about a record: a stable code, a sentence, and the place."""

    code: str
    message: str
    path: str = ""
    record: int | None = None
    line: int | None = None
    file: str = ""

    @property
    def level(self):
        return "warning" if self.code in WARNINGS else "error"

    def as_json(self):
        return {
            "file": self.file,
            "record": self.record,
            "line": self.line,
            "path": self.path,
            "level": self.level,
            "code": self.code,
            "message": self.message,
        }


class FileRefused(Exception):
    """A whole file is refused; nothing of it is stored."""

    def __init__(self, code, where="", file=""):
        self.code, self.where, self.file = code, where, file
        super().__init__(code)

    @property
    def message(self):
        return FILE_ERRORS[self.code] + (f" ({self.where})" if self.where else "")

    def __str__(self):
        return f"{printable(self.file)}: {self.message}" if self.file else self.message


UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)


def printable(text, limit=200):
    """`text` for a terminal or a log: control and direction characters escaped, length capped."""
    text = UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
