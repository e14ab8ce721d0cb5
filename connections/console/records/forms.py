"""The form of a connection: plain fields to edit, sealed fields to write only.

A sealed input never shows what is stored nor what was just typed; blank keeps what is stored, a
separate tick clears it. Every rule about values is payload's: the form asks it.
"""

import json
from datetime import timedelta, timezone

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connections.console import wording
from connections.console.fields import WriteOnlyTextarea
from connections.console.labels import FIELD_HELP_TEXTS, field_label
from connections.json_format import dates, schema, serialize
from connections.json_format import entry as json_format_entry
from connections.json_format.issues import Issue
from connections.json_format.schema import CREDENTIAL_FIELDS
from connections.json_format.urls import changed_endpoints
from connections.json_format.values import MASKED, MAX_DEPTH, MAX_SHORT_TEXT, nesting_depth
from connections.models import SEALED_COLUMNS, UNLIMITED, ConnectionAuth

# Groups of the page, by what the fields are for: (title, fields).
IDENTITY_TITLE, EXPIRY_TITLE = _("Identity"), _("Expiry")
MAIN_FIELDSETS = (
    (_("Tokens"), ("access_token", "refresh_token", "token", "state", "user_id")),
    (
        _("OAuth client"),
        (
            "client_id",
            "client_secret",
            "app_id",
            "audience",
            "consumer_key",
            "consumer_secret",
            "dev_api_key",
        ),
    ),
    (_("Keys and certificates"), ("pem", "key")),
    (_("Endpoints"), ("api_url", "token_url", "authorize_url", "refresh_url")),
    (_("Other"), ("other_auth_info", "emails", "meta", "extra")),
)
SIDE_FIELDSETS = (
    (IDENTITY_TITLE, ("name", "integration", "environment", "external_xref", "is_paused")),
    (
        EXPIRY_TITLE,
        (
            "expiry_date",
            "refresh_token_expires_date",
            "expires_in",
            "refresh_token_expires_in",
        ),
    ),
)
PLAIN_FORM_FIELDS = tuple(
    name
    for _title, names in (*MAIN_FIELDSETS, *SIDE_FIELDSETS)
    for name in names
    if name not in SEALED_COLUMNS
)
PLAIN_MODEL_FIELDS = tuple(
    ConnectionAuth._meta.get_field(n) for n in (*PLAIN_FORM_FIELDS, "connection_id")
)
ONE_PER_LINE_KINDS = {"emails", "strings"}
# An export puts meta into an auth object, a Connection and an array; an import reads that again.
MAX_META_DEPTH = MAX_DEPTH - 3


class SealedFormField(forms.CharField):
    """A value to be sealed, exactly as it was typed."""

    def __init__(self, name):
        super().__init__(
            required=False,
            strip=False,
            empty_value=None,
            label=field_label(name),
            help_text=FIELD_HELP_TEXTS.get(name, ""),
            widget=WriteOnlyTextarea(
                attrs={
                    "rows": 3,
                    "autocomplete": "off",
                    "spellcheck": "false",
                    "data-exact": "",
                }
            ),
        )
        # payload judges U+0000 like all other text, and says where.
        self.validators = []


class PlainCharField(forms.CharField):
    """One line of plain text; blank is absent, and what the browser can't show stays as it is."""

    def __init__(self, **kwargs):
        super().__init__(strip=False, empty_value=None, required=False, **kwargs)

    def has_changed(self, initial, data):
        def shown(text):
            return (text or "").replace("\r", "").replace("\n", "")

        return shown(initial) != shown(data)


class SecondsField(forms.FloatField):
    def prepare_value(self, value):
        return serialize.normalize_number(value)


class InstantField(forms.CharField):
    """A date and time with its zone, shown in the current one."""

    def prepare_value(self, value):
        return value if value is None or isinstance(value, str) else self.shown(value)

    def shown(self, moment):
        moment = wording.localtime(moment)
        if moment.utcoffset() % timedelta(minutes=1):  # a zone of long ago, with seconds
            moment = moment.astimezone(timezone.utc)
        text = moment.isoformat(sep=" ")
        return f"{text[:-6]} {text[-6:]}"

    def to_python(self, value):
        value = super().to_python(value)
        if not value:
            return None
        try:
            moment, has_zone = dates.parse_date(value)
        except ValueError:
            raise ValidationError(
                gettext(
                    "There is no such date. "
                    "Write a whole instant, such as 2026-11-30 14:20 +01:00."
                )
            ) from None
        if not has_zone:
            raise ValidationError(gettext("Add the zone: 2026-11-30 14:20 +01:00, or Z for UTC."))
        return moment

    def has_changed(self, initial, data):
        try:
            return self.to_python(data) != initial
        except ValidationError:
            return True


def build_form_fields():
    """The declared fields of the form, by name: how each field of the record is typed."""
    fields = {"is_paused": forms.BooleanField(required=False)}
    for name in (*PLAIN_FORM_FIELDS, "connection_id"):
        kind = schema.AUTH_FIELDS.get(name)
        if kind == "date":
            fields[name] = InstantField(required=False)
        elif kind == "number":
            number = forms.TextInput(attrs={"inputmode": "decimal"})
            fields[name] = SecondsField(required=False, widget=number)
        elif name in ("environment", "external_xref", "connection_id"):
            fields[name] = PlainCharField(max_length=MAX_SHORT_TEXT)
        elif name not in ("integration", "is_paused"):
            fields[name] = PlainCharField()
    for name in SEALED_COLUMNS:
        tick = forms.BooleanField(required=False, label=_("Clear the stored value instead"))
        fields[f"clear_{name}"] = tick
        if name != "extra":
            fields[name] = SealedFormField(name)
    return fields


class ConnectionAuthForm(forms.ModelForm):
    """`warnings` holds sentences about accepted oddities after is_valid()."""

    scope = UNLIMITED  # of who fills it in; the admin sets it
    # The version that the person saw; another one in the store is a conflict.
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    vars().update(build_form_fields())

    class Meta:
        model = ConnectionAuth
        fields = (*PLAIN_FORM_FIELDS, "connection_id")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.warnings, self.sealed = [], {}
        if not self.instance._state.adding:
            self.fields.pop("connection_id", None)
        self.initial["version"] = self.instance.version
        self.stored_values = {
            field: getattr(self.instance, field.attname) for field in PLAIN_MODEL_FIELDS
        }
        for name in self._meta.fields:
            if name in self.fields:
                self.fields[name].label = field_label(name)
                self.fields[name].help_text = FIELD_HELP_TEXTS.get(name, "")
        for name in SEALED_COLUMNS:
            if name in self.fields and getattr(self.instance, name) is not None:
                self.fields[name].widget.attrs["placeholder"] = gettext(
                    "Paste the new value. Blank keeps what is stored."
                )
            if f"clear_{name}" in self.fields:
                self.fields[f"clear_{name}"].disabled = getattr(self.instance, name) is None

    @property
    def changed_names(self):
        """The attributes of the record that this form changes."""
        names = (name.removeprefix("clear_") for name in self.changed_data)
        return [name for name in dict.fromkeys(names) if name != "version"]

    def clean(self):
        cleaned = super().clean()
        adding = self.instance._state.adding
        if not adding and cleaned.get("version") != self.instance.version:
            raise ValidationError(
                gettext(
                    "Somebody else saved this connection meanwhile. Nothing of theirs is "
                    "overwritten: look at their change, then make yours again."
                ),
                code="conflict",
            )
        typed = self.get_new_secrets()
        raw = {**self.get_changed_plain_values(), **typed}
        if raw:
            self.judge(json_format_entry.read_entry(raw), typed)
        self.check_moved_endpoints(typed)
        integration = cleaned.get("integration")
        if not self.scope.includes(integration and integration.type, cleaned.get("environment")):
            self.add_error(None, wording.issue_message(Issue("not_permitted.out_of_scope")))
        return cleaned

    def check_moved_endpoints(self, typed):
        """A new host must not get secrets that whoever changes it may not even know."""
        kept = [
            str(field_label(name))
            for name in CREDENTIAL_FIELDS
            if getattr(self.instance, name) is not None
            and name not in typed
            and not self.cleaned_data.get(f"clear_{name}")
        ]
        changes = {name: self.cleaned_data.get(name) for name in self.changed_data}
        for name in changed_endpoints(self.instance, changes) if kept else ():
            why = wording.issue_message(Issue("endpoint_changed"))
            again = gettext("Enter again: %s.") % ", ".join(kept)
            self.add_error(name, f"{why} {again}")

    def get_changed_plain_values(self):
        """The changed plain fields of the auth object in their JSON form."""
        raw = {}
        for name in self.changed_data:
            value = self.cleaned_data.get(name)
            if name in schema.PLAIN_FIELDS and value is not None:
                raw[name] = dates.iso(value) if schema.AUTH_FIELDS[name] == "date" else value
        return raw

    def get_new_secrets(self):
        """The new sealed values in their JSON form, by name."""
        typed = {}
        for name in schema.SEALED_FIELDS:
            text = self.cleaned_data.get(name)
            if text is None:
                continue
            if self.cleaned_data.get(f"clear_{name}"):
                self.add_error(name, gettext("Either a new value or the tick, not both."))
                continue
            try:
                typed[name] = parse_secret_input(schema.AUTH_FIELDS[name], text)
            except ValueError as error:
                self.add_error(name, str(error))
        return typed

    def judge(self, entry, typed):
        for issue in entry.issues:
            name = issue.path.partition("[")[0].partition(".")[0]
            if issue.level == "warning":
                self.warnings.append(f"{field_label(name)}: {wording.issue_message(issue)}")
            else:
                self.add_error(name if name in self.fields else None, wording.issue_message(issue))
        for name, value in (entry.auth or {}).items():
            if value is MASKED or (isinstance(value, list) and MASKED in value):
                self.add_error(
                    name, gettext("This is a mask and no value. Blank keeps what is stored.")
                )
        self.sealed = {name: value for name, value in (entry.auth or {}).items() if name in typed}

    def _post_clean(self):
        super()._post_clean()
        # What was not changed stays as it is stored: "" is not absent, a line break no blank.
        for column, value in self.stored_values.items():
            if column.name not in self.changed_data:
                setattr(self.instance, column.attname, value)
        if self.errors:
            return
        for name in SEALED_COLUMNS:
            if self.cleaned_data.get(f"clear_{name}"):
                setattr(self.instance, name, None)
            elif name in self.sealed:
                setattr(self.instance, name, self.sealed[name])


def parse_secret_input(kind, text):
    """What a person typed for a sealed field, in its JSON form. Raises ValueError (a sentence)."""
    if kind in ONE_PER_LINE_KINDS:
        lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
        if kind == "strings" and any(lines):
            return lines  # a blank line holds the place of one of the token_names
        return [line for line in lines if line]
    if kind == "object":
        try:
            value = json.loads(text, object_pairs_hook=_reject_duplicate_keys)
        except (ValueError, RecursionError):
            raise ValueError(gettext("This is not JSON, or has a key twice.")) from None
        if not isinstance(value, dict):
            raise ValueError(gettext("A JSON object belongs here: { … }."))
        if nesting_depth(value) > MAX_META_DEPTH:
            raise ValueError(gettext("It nests more than %s levels deep.") % MAX_META_DEPTH)
        return value
    return text


def _reject_duplicate_keys(pairs):
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError
    return value
