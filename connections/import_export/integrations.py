"""The API's list of integrations (`type`, `name`, `token_names`, …) into the store."""

from dataclasses import dataclass, field

from django.db import transaction

from connections.audit import log
from connections.json_format import entry as json_format_entry
from connections.json_format import schema
from connections.json_format.issues import RECORD_ERRORS, Issue
from connections.json_format.issues import gettext_noop as _
from connections.json_format.stream.reader import read_entries, scan
from connections.json_format.values import MAX_SHORT_TEXT
from connections.lib.text import printable
from connections.models import Integration

# Name in the JSON -> whether it is a list of texts. camelCase is read too.
FIELDS = {
    "name": False,
    "categories": True,
    "token_names": True,
    "token_instructions": True,
}


@dataclass
class IntegrationImportResult:
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    issues: list = field(default_factory=list)  # the refused entries

    @property
    def refused(self):
        return len(self.issues)


def url_errors(value):
    """The issues (errors only) of a token address."""
    entry = (
        json_format_entry.read_entry({"token_url": value}) if value else json_format_entry.Entry()
    )
    return [issue for issue in entry.issues if issue.level == "error"]


@transaction.atomic
def import_integrations(source):
    """Store every good entry of a source (see reader); what the list lacks stays as it is.

    Returns a Result. Raises FileRefused where the source is no JSON.
    """
    result = IntegrationImportResult()
    for raw in read_entries(source, scan(source)):
        kind, values, problem = _parse_entry(raw)
        if problem:
            result.issues.append(Issue(problem[0], problem[2], problem[1], raw.number, raw.line))
            continue
        integration, is_new = Integration.objects.get_or_create(type=kind, defaults=values)
        changed = [name for name, value in values.items() if getattr(integration, name) != value]
        if is_new:
            result.created += 1
        elif changed:
            for name in changed:
                setattr(integration, name, values[name])
            integration.save(update_fields=changed)
            result.updated += 1
        else:
            result.unchanged += 1
    log.log_event(
        "import",
        record="integrations",
        count=result.created + result.updated,
        reason=f"{result.created} created, {result.updated} updated, "
        f"{result.unchanged} unchanged, {result.refused} refused: {source.name}",
    )
    return result


def _parse_entry(raw):
    """`(type, values, None)`, or `(None, None, (code, path, sentence))`."""
    if raw.fault:
        return None, None, (raw.fault, "", raw.message)
    value = raw.value
    if not isinstance(value, dict):
        return None, None, ("not_an_object", "", RECORD_ERRORS["not_an_object"])
    for name in getattr(value, "names", ()):
        path = printable(name, 100)
        return None, None, ("conflicting_keys", path, RECORD_ERRORS["conflicting_keys"])
    kind = value.get("type")
    if not isinstance(kind, str) or not kind.strip() or len(kind) > MAX_SHORT_TEXT:
        return (
            None,
            None,
            ("wrong_type", "type", _("A text of up to 255 characters belongs here.")),
        )
    if not _is_storable(kind):
        return None, None, ("bad_text", "type", RECORD_ERRORS["bad_text"])
    values = {}
    for name, is_list in FIELDS.items():
        given = value.get(name)
        if given is None:
            given = value.get(schema.to_camel_case(name))
        if given is None:
            continue
        items = given if is_list else [given]
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            wanted = _("An array of texts belongs here.") if is_list else _("Text belongs here.")
            return None, None, ("wrong_type", name, wanted)
        if not all(_is_storable(item) for item in items):
            return None, None, ("bad_text", name, RECORD_ERRORS["bad_text"])
        if not is_list and len(given) > MAX_SHORT_TEXT:
            return None, None, ("too_long", name, _("Over {} characters.").format(MAX_SHORT_TEXT))
        values[name] = given
    return kind, values, None


def _is_storable(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
