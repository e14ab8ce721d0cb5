"""Imports of the API's list of integrations (`type`, `name`, `token_names`, …)."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction

from connections.audit import log
from connections.json_format import entry as json_format_entry
from connections.json_format import schema
from connections.json_format.issues import Issue
from connections.json_format.stream.reader import RawEntry, read_entries, scan
from connections.json_format.stream.sources import Source
from connections.json_format.values import MAX_SHORT_TEXT, ConflictingKeys
from connections.lib.text import printable
from connections.models import Integration

# Name in the JSON (camelCase is read too) -> whether it is a list of texts.
FIELDS = {"name": False, "categories": True, "token_names": True, "token_instructions": True}
NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass
class IntegrationImportResult:
    """The outcome: counts, and an issue for each entry that was refused."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    issues: list[Issue] = field(default_factory=list)

    @property
    def refused(self) -> int:
        return len(self.issues)


def url_errors(value: str) -> list[Issue]:
    """What is wrong with a token address: errors, without warnings."""
    entry = json_format_entry.read_entry({"token_url": value})
    return [issue for issue in entry.issues if issue.level == "error"]


@transaction.atomic
def import_integrations(source: Source) -> IntegrationImportResult:
    """Store every good entry of a source. Fields that an entry lacks stay as they are.

    Raises FileRefused if the source is not JSON.
    """
    result = IntegrationImportResult()
    for raw in read_entries(source, scan(source)):
        try:
            kind, values = _parse_entry(raw)
        except EntryRefused as refusal:
            result.issues.append(replace(refusal.issue, record=raw.number, line=raw.line))
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


class EntryRefused(Exception):
    """An entry of the list cannot be stored; `issue` says why."""

    def __init__(self, key: str, path: str = "", **params: Any) -> None:
        self.issue = Issue(key, path, params)
        super().__init__(key)


def _parse_entry(raw: RawEntry) -> tuple[str, dict[str, Any]]:
    """The type and the other fields of an entry. Raises EntryRefused."""
    if raw.fault:
        raise EntryRefused(raw.fault)
    value = raw.value
    if not isinstance(value, dict):
        raise EntryRefused("not_an_object")
    if isinstance(value, ConflictingKeys):
        raise EntryRefused("conflicting_keys", printable(value.names[0], 100))
    kind = value.get("type")
    if not isinstance(kind, str) or not kind.strip() or len(kind) > MAX_SHORT_TEXT:
        raise EntryRefused("wrong_type.short_text", "type", limit=MAX_SHORT_TEXT)
    if NOT_STORABLE.search(kind):
        raise EntryRefused("bad_text", "type")
    values = {}
    for name, is_list in FIELDS.items():
        given = value.get(name)
        if given is None:
            given = value.get(schema.to_camel_case(name))
        if given is None:
            continue
        items = given if is_list else [given]
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise EntryRefused("wrong_type.texts" if is_list else "wrong_type.text", name)
        if any(NOT_STORABLE.search(item) for item in items):
            raise EntryRefused("bad_text", name)
        if not is_list and len(given) > MAX_SHORT_TEXT:
            raise EntryRefused("too_long.characters", name, limit=MAX_SHORT_TEXT)
        values[name] = given
    return kind, values
