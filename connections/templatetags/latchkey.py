"""Filters for templates: moments (Django's own fail on the years 1 and 9999), names, odd text."""

import json

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.html import escape
from django.utils.safestring import mark_safe

from connections.console import wording
from connections.console.dashboard.context import LABELS
from connections.console.pages.imports import POLICIES
from connections.json_format.issues import in_words

NAMES_OF_POLICIES = {name: label for name, label, _help in POLICIES}

register = template.Library()
register.filter("ago", wording.relative)
register.filter("duration", wording.duration)
register.filter("exact", wording.exact)
register.filter("place", wording.place)
register.filter("visible", wording.visible)
register.filter("within", wording.within)
register.filter("in_words", in_words)
register.filter("bucket_label", lambda name: LABELS.get(name, name))
register.filter("policy", lambda name: NAMES_OF_POLICIES.get(name, name))
# What the buttons over a list show beside their words.
ACTIONS = {
    "pause": "pause",
    "resume": "play",
    "set_environment": "sliders-horizontal",
    "set_integration": "plug",
    "export_selected": "file-up",
    "move_to_bin": "trash-2",
    "delete_selected": "trash-2",
}
register.filter("action_icon", lambda name: ACTIONS.get(name, ""))


@register.filter
def as_json(value):
    """JSON for a data attribute, where it is escaped as any text."""
    return json.dumps(value, cls=DjangoJSONEncoder)


@register.filter
def unaltered(text):
    """Text to the last sign: a browser reads CRLF as LF, where it is not spelled out."""
    return mark_safe(escape(text).replace("\r", "&#13;"))  # noqa: S308 (it is escaped)
