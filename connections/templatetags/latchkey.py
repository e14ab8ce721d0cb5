"""Template filters. Those for datetimes take the years 1 and 9999, on which Django's own fail."""

import json

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.templatetags.static import static
from django.utils.html import escape, format_html
from django.utils.safestring import mark_safe

from connections.console import wording
from connections.console.labels import CONFLICT_POLICIES, RUN_STATE_LABELS, STATUS_LABELS
from connections.jobs import runs
from connections.lib.text import printable_on_page

POLICY_LABELS = {name: label for name, label, _help in CONFLICT_POLICIES}

register = template.Library()
register.filter("datetime", wording.format_datetime)
register.filter("duration", wording.duration)
register.filter("issue_location", wording.issue_location)
register.filter("issue_message", wording.issue_message)
register.filter("mid_sentence", wording.mid_sentence)
register.filter("printable", printable_on_page)
register.filter("relative_time", wording.relative_time)
register.filter("bucket_label", lambda name: STATUS_LABELS.get(name, name))
register.filter("run_state", runs.state)
register.filter("policy", lambda name: POLICY_LABELS.get(name, name))
# The icons of the buttons over a list.
ACTION_ICONS = {
    "pause": "pause",
    "resume": "play",
    "set_environment": "sliders-horizontal",
    "set_integration": "plug",
    "export_selected": "file-up",
    "move_to_bin": "trash-2",
    "delete_selected": "trash-2",
}
register.filter("action_icon", lambda name: ACTION_ICONS.get(name, ""))


@register.simple_tag
def icon(name):
    """The icon of that name. No template, since pages have dozens."""
    href = static("connections/icons.svg")
    return format_html('<svg class="i" aria-hidden="true"><use href="{}#{}"/></svg>', href, name)


@register.filter
def run_state_label(run):
    """The state of a run for people."""
    return RUN_STATE_LABELS.get(runs.state(run)) or run.get_status_display()


@register.filter
def as_json(value):
    """JSON for a data attribute, where it is escaped like any text."""
    return json.dumps(value, cls=DjangoJSONEncoder)


@register.filter
def preserve_line_endings(text):
    """Escaped text whose carriage returns are entities: browsers read a plain CRLF as LF."""
    return mark_safe(escape(text).replace("\r", "&#13;"))  # noqa: S308 (it is escaped)
