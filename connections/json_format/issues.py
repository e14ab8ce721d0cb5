"""What can be wrong with a file or a record: one table of codes, and the Issue that carries one.

An issue names the place and never the value. Its sentence is stored and sent in English;
in_words() says it in the language of a reader.
"""

import re
from dataclasses import dataclass

from django.utils.translation import gettext

from connections.lib.text import printable


def gettext_noop(text):
    """Mark a text that is translated when it is shown. Django's asks for settings to do so."""
    return text


_ = gettext_noop

# A file is refused as a whole: nothing of it is stored.
FILE_ERRORS = {
    "empty": _("The file is empty."),
    "truncated": _("The file ends in the middle of a value."),
    "trailing_garbage": _("There is something after the end of the JSON."),
    "not_json": _("This is not JSON."),
    "not_utf8": _("The file is not UTF-8."),
    "utf16": _("The file is UTF-16 or UTF-32; save it as UTF-8."),
    "gzip": _("The file is compressed with gzip; unpack it first."),
    "zip": _("The file is a ZIP archive; unpack it first."),
    "html": _("The file is an HTML or XML page, not JSON."),
    "json5": _("The file uses comments, single quotes, bare keys or trailing commas (JSON5)."),
    "scalar": _("The file holds a single value, not an object or an array of objects."),
    "too_deep": _("The file nests more than 200 levels deep."),
    "not_finite": _("The file holds NaN or Infinity, which are no JSON."),
    "entry_too_large": _("An entry is over 16 MiB."),
    "file_changed": _("The file changed while it was read."),
    "unreadable_file": _("The file can't be read."),
}

# A record is refused and changes nothing.
RECORD_ERRORS = {
    "not_an_object": _("The entry is no object."),
    "no_known_field": _("No field that we know is set."),
    "wrong_type": _("The value has the wrong type."),
    "bad_number": _("Not a usable number."),
    "bad_date": _("Not a possible, unambiguous date."),
    "bad_text": _("The text holds U+0000 or half a surrogate pair."),
    "too_long": _("The text is too long."),
    "too_many_keys": _("Over 10,000 keys in one object."),
    "bad_url": _("Not an http or https address."),
    "blank_id": _("An id can't be blank."),
    "conflicting_keys": _("The same key is there twice with different values."),
    "bad_line": _("The line is no JSON object."),
    "nothing_to_keep": _("Masked, and nothing is stored to keep."),
    "endpoint_changed": _(
        "New host, or no longer https: the secrets that go there must come along."
    ),
    "same_id_twice": _("Another record of this file has this id and other content."),
    "older": _("Older than what is stored."),
    "exists": _("Already stored with other content."),
    "not_permitted": _("You may not do this."),
    "conflict": _("Changed by somebody else while it was imported."),
}

# A record is accepted, with a warning.
WARNINGS = {
    "unknown_key": _("Unknown key, kept and sealed."),
    "date_without_zone": _("Date without a zone, read as UTC."),
    "date_as_number": _("Date as a number, read as the time since 1970."),
    "empty_date": _("Empty date, read as absent."),
    "number_as_text": _("Number written as text."),
    "negative_number": _("Negative number of seconds."),
    "long_lifetime": _("A lifetime of more than 50 years."),
    "outer_blanks": _("Blanks or line breaks around or in a token, kept."),
    "no_email": _("Not an e-mail address, kept."),
    "url_with_user": _("Address with a user name in it."),
    "url_private_host": _("Address of a private or local host."),
    "url_template": _("Address with a placeholder in it."),
    "url_without_scheme": _("Address without http:// or https://."),
    "pem_without_end": _("PEM text without an END line."),
    "duplicate": _("The same record is in the file more than once."),
    "restored": _("Was in the bin, and is restored."),
}

OUT_OF_SCOPE = _("This is outside what you may reach.")  # not_permitted, where a scope says so

# A command could not do its work at all.
COMMAND_ERRORS = {
    "nothing_stored": _("Some records were refused, so nothing was stored (--atomic)."),
    "process_died": _("A process of the import was killed: run it again."),
    "unreadable": _("A stored record does not open and was left out."),
}

MESSAGES = {**FILE_ERRORS, **RECORD_ERRORS, **WARNINGS, **COMMAND_ERRORS}

LINE_AND_COLUMN = _("line {}, column {}")  # of what a file is refused for
LINE_AND_COLUMN_PATTERN = re.compile(r"line (\d+), column (\d+)")

# How the sentence of what ended half way goes on.
CHANGES_KEPT, NOTHING_STORED = _("What was stored stays."), _("Nothing was stored.")
# What may be part of a longer text: beside the name of a file, or the place in it.
MESSAGE_PARTS = (*FILE_ERRORS.values(), *COMMAND_ERRORS.values(), CHANGES_KEPT, NOTHING_STORED)


def translate_message(message):
    """A sentence of an issue or of the error of a run, in the language of who reads it.

    One with a number in it is looked up with `{}` in its place.
    """
    words = gettext(message) if message else ""
    if words != message:
        return words
    for part in MESSAGE_PARTS:
        message = message.replace(part, gettext(part))
    message = LINE_AND_COLUMN_PATTERN.sub(
        lambda found: gettext(LINE_AND_COLUMN).format(*found.groups()), message
    )
    if words != message:
        return message
    numbers = re.findall(r"\d+", message)
    known = gettext(re.sub(r"\d+", "{}", message)) if numbers else message
    return known.format(*numbers) if known.count("{}") == len(numbers) > 0 else message


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
        self.code, self.location, self.file = code, where, file
        super().__init__(code)

    @property
    def message(self):
        return FILE_ERRORS[self.code] + (f" ({self.location})" if self.location else "")

    def __str__(self):
        return f"{printable(self.file)}: {self.message}" if self.file else self.message
