"""A language that is made up: whatever gettext translates stands in ⟦brackets⟧.

What a page in that language says outside of brackets is data, or a text that nobody can translate.
"""

import re
from contextlib import contextmanager
from html.parser import HTMLParser
from unittest import mock

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, User
from django.utils import translation
from django.utils.translation import trans_real

from connections.json_format import schema
from connections.models import (
    PRODUCTION,
    AccessEvent,
    ConnectionAuth,
    ImportRun,
    Integration,
    SavedView,
)

LANGUAGE = "de"  # whose catalogue is exchanged: what is not in it stays as it is
SPOKEN = {"title", "aria-label", "placeholder", "alt", "data-copy", "data-selected", "data-text"}
# Names of fields, commands, codes and values; what was typed.
HEX = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{8,}\b")
SILENT = {"code", "pre", "kbd", "script", "style", "textarea"}
VOID = {"meta", "link", "input", "br", "hr", "img", "base"}
# The same in any language: names of ours, and of what others have named.
NAMES = {"Latchkey", "OAuth", "JSON", "NDJSON", "UTC", "SHA", "camelCase", "snake_case"}
NAMES |= {"camel", "snake", "testserver", "extra", "Nowhere", "Sandbox"}
NAMES |= {*map(schema.to_camel_case, (*schema.AUTH_FIELDS, *schema.CONNECTION_FIELDS))}
# Django translates neither the names that it makes for tables between two models, nor True.
NAMES |= {
    "Group-permission relationships",
    "Group-permission relationship",
    "Group_permissions object",
    "True",
    "False",
}


class Marking:
    """The catalogue of LANGUAGE, with each text in brackets instead of its translation."""

    def __init__(self, catalogue):
        self._catalogue = catalogue

    def __getattr__(self, name):
        return getattr(self._catalogue, name)

    def gettext(self, message):
        text = message.rpartition(trans_real.CONTEXT_SEPARATOR)[2]
        if message not in self._catalogue._catalog:
            return message
        # Three texts in one, which `yesno` takes apart.
        parts = text.split(",") if re.fullmatch(r"\w+,\w+,\w+", text) else [text]
        return ",".join(f"⟦{part}⟧" for part in parts)

    def ngettext(self, singular, plural, count):
        known = (singular, self._catalogue.plural(count)) in self._catalogue._catalog
        text = singular if count == 1 else plural
        return f"⟦{text}⟧" if known else text


@contextmanager
def made_up_language():
    """Exchange the catalogue of LANGUAGE."""
    marking = Marking(trans_real.translation(LANGUAGE))
    with mock.patch.dict(trans_real._translations, {LANGUAGE: marking}):
        yield
    translation.activate("en")


class Page(HTMLParser):
    """What a page says outside of brackets, in `said`."""

    def __init__(self, html):
        super().__init__()
        self.said, self.depth, self.open = [], 0, []
        self.feed(html)
        assert self.depth == 0, "a bracket is left open"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            is_code = {"chip", "mono"} & {*(attrs.get("class") or "").split()}
            self.open.append("code" if is_code else tag)
        spoken = SPOKEN | ({"value"} if attrs.get("type") == "submit" else set())
        for name in spoken & attrs.keys():
            self.hear(attrs[name] or "")

    def handle_endtag(self, tag):
        # Some end tags are left out.
        while self.open and self.open.pop() not in (tag, "code"):
            pass

    def handle_data(self, data):
        if not SILENT & set(self.open):
            self.hear(data)

    def hear(self, text):
        outside = ""
        for sign in text:
            self.depth += (sign == "⟦") - (sign == "⟧")
            outside += sign if not self.depth and sign != "⟧" else " "
        if outside.strip():
            self.said.append(outside.strip())


def untranslated(html, data=()):
    """The words on a page that are neither translated nor names nor data."""
    known = "|".join(map(re.escape, sorted({*NAMES, *filter(None, data)}, key=len, reverse=True)))
    found = [re.sub(rf"(?<!\w)(?:{known})(?!\w)", " ", text) for text in Page(html).said]
    return [text for text in found if re.search(r"[^\W\d_]{3}", HEX.sub("", text))]


def stored_names():
    """What the database holds: names, reasons of the audit log, and what is in its entries."""
    found = [User.objects.values_list("username", flat=True)]
    for model, *columns in (
        (ConnectionAuth, "name", "connection_id", "environment", "external_xref", "workspace_id"),
        (ConnectionAuth, "integration_name", "last_unhealthy_code", "client_id", "user_id"),
        (Integration, "type", "name"),
        (Group, "name"),
        (ImportRun, "file_name"),
        (AccessEvent, "user", "record_type", "record_name", "reason"),
        (SavedView, "name"),
        (Authenticator, "data__name"),
    ):
        manager = getattr(model, "all_objects", model._default_manager)
        found += manager.values_list(*columns)
    found += AccessEvent.objects.values_list("fields", flat=True)
    texts = {PRODUCTION}.union(*found)
    return {text for text in texts if text}


def assert_none_is_stored():
    """Nothing is stored in the language of whoever happened to be there."""
    kept = [*stored_names()]
    kept += ImportRun.all_kinds.values_list("options", "result", "undo_result")
    assert "⟦" not in str(kept)
