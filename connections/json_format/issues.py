"""What can be wrong with a file or a record: the tables of codes and messages, and the Issue.

An issue holds a key of MESSAGES and the params of its sentence, never a value of a record. The
sentence is made when it is shown: in English for commands, reports and logs, or in the language
of a reader (see render).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from connections.lib.text import printable


def _(text: str) -> str:
    """Mark a text for translation. Django's gettext_noop() needs its settings."""
    return text


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
    "not_finite": _("The file holds NaN or Infinity, which are not JSON."),
    "entry_too_large": _("An entry is over 16 MiB."),
    "file_changed": _("The file changed while it was read."),
    "unreadable_file": _("The file can't be read."),
}

# A record is refused and changes nothing.
RECORD_ERRORS = {
    "not_an_object": _("The entry is not an object."),
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
    "bad_line": _("The line is not a JSON object."),
    "nothing_to_keep": _("Masked, and nothing is stored to keep."),
    "endpoint_changed": _(
        "New host, or no longer https: the secrets that go there must come along."
    ),
    "same_id_twice": _("Another record of this file has this id and other content."),
    "older": _("Older than what is stored."),
    "exists": _("Already stored with other content."),
    "not_permitted": _("You may not do this."),
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

# A command could not do its work at all.
COMMAND_ERRORS = {
    "nothing_stored": _("Some records were refused, so nothing was stored (--atomic)."),
    "process_died": _("A process of the import was killed: run it again."),
    "unreadable": _("A stored record does not open and was left out."),
}

# Messages that say more than the general one of their code, which is the part before the dot.
# Runs store keys and params, so those that exist keep their meaning.
DETAILED_MESSAGES = {
    "bad_line.not_finite": _("The line holds NaN or Infinity, which are not JSON."),
    "bad_line.not_json": _("The line is not JSON."),
    "bad_line.overlong": _("The line is over 16 MiB."),
    "bad_line.too_deep": _("The line nests more than 200 levels deep."),
    "bad_line.trailing_garbage": _("There is something after the end of the object."),
    "bad_number.seconds": _("Not a finite number of seconds up to 100000000000."),
    "bad_number.too_long": _("A number with too many digits."),
    "bad_text.null_character": _("The text holds U+0000."),
    "bad_text.surrogate": _("The text holds half a surrogate pair."),
    "bad_url.malformed": _("Not a well-formed address."),
    "bad_url.no_host": _("An address without a host."),
    "conflicting_keys.inside": _("Inside it, a key is there twice with other values."),
    "conflicting_keys.spellings": _("Both spellings are there and differ."),
    "no_email.more": _("%(count)s more that are not e-mail addresses, kept."),
    "not_permitted.add": _("You may not add connections."),
    "not_permitted.change": _("You may not change connections."),
    "not_permitted.out_of_scope": _("This is outside what you may reach."),
    "nothing_to_keep.items": _("Masked items need as many stored."),
    "too_long.bytes": _("Over 128 KiB."),
    "too_long.characters": _("Over %(limit)s characters."),
    "unknown_key.more": _("%(count)s more unknown keys, kept and sealed."),
    "wrong_type.boolean": _("true or false belongs here."),
    "wrong_type.date": _("A date and time belongs here."),
    "wrong_type.mask_not_alone": _(
        "A mask stands for the whole object: nothing else can be beside it."
    ),
    "wrong_type.number": _("A number of seconds belongs here."),
    "wrong_type.object": _("An object belongs here."),
    "wrong_type.short_text": _("A text of up to %(limit)s characters belongs here."),
    "wrong_type.text": _("Text belongs here."),
    "wrong_type.texts": _("An array of texts belongs here."),
}

MESSAGES = {**FILE_ERRORS, **RECORD_ERRORS, **WARNINGS, **COMMAND_ERRORS, **DETAILED_MESSAGES}

LINE_AND_COLUMN = _("line %(line)s, column %(column)s")  # where a file is at fault
# How the message of a run that stopped half way ends.
OUTCOMES = {
    "changes_kept": _("What was stored stays."),
    "nothing_stored": _("Nothing was stored."),
}


def render(key: str, params: dict[str, Any], translate: Callable[[str], str] = str) -> str:
    """The sentence of a key of MESSAGES, in English or in the language of `translate` (gettext).

    Any message can have more params than its template names: the `line` and `column` of a fault
    in a file or the `reason` that the operating system gives, the name of the `file`, and the
    `outcome`, a key of OUTCOMES.
    """
    sentence = translate(MESSAGES[key]) % params
    if "column" in params:
        sentence += f" ({translate(LINE_AND_COLUMN) % params})"
    if params.get("reason"):
        sentence += f" ({params['reason']})"
    if params.get("file"):
        sentence = f"{params['file']}: {sentence}"
    if "outcome" in params:
        sentence += f" {translate(OUTCOMES[params['outcome']])}"
    return sentence


@dataclass(frozen=True)
class Issue:
    """One thing to say about a file or a record: a key of MESSAGES with its params, and the place.

    `path` is spelled as in the file, `record` counts from 0, and `line` (NDJSON only) from 1.
    """

    key: str
    path: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    record: int | None = None
    line: int | None = None
    file: str = ""

    @property
    def code(self) -> str:
        """The stable code, such as `wrong_type` of `wrong_type.text`."""
        return self.key.partition(".")[0]

    @property
    def level(self) -> str:
        return "warning" if self.code in WARNINGS else "error"

    @property
    def message(self) -> str:
        """The sentence in English."""
        return render(self.key, self.params)

    def as_json(self) -> dict[str, Any]:
        """A line of the report (docs/json-format.md)."""
        names = ("file", "record", "line", "path", "level", "code", "message")
        return {name: getattr(self, name) for name in names}

    def as_stored(self) -> dict[str, Any]:
        """The JSON that a run stores: the line of the report, and what makes its sentence."""
        return {**self.as_json(), "key": self.key, "params": self.params}

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> "Issue":
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__})


class FileRefused(Exception):
    """A whole file is refused; nothing of it is stored. The message of `issue` names the file.

    `code` is one of FILE_ERRORS. `params` are the `line` and `column` of the fault or the
    `reason`, where they are known.
    """

    def __init__(self, code: str, file: str = "", **params: str | int) -> None:
        self.issue = Issue(code, params={**params, "file": printable(file)}, file=file)
        super().__init__(code)

    def __str__(self) -> str:
        return self.issue.message
