"""The form of a connection: plain fields can be edited, sealed fields can only be written.

The input of a sealed field shows neither what is stored nor what was just typed. Blank keeps what
is stored, and a check box clears it. json_format has the rules about values; the form calls it.
"""

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connections.console import wording
from connections.console.fields import InstantField, PlainCharField, SealedFormField, SecondsField
from connections.console.labels import FIELD_HELP_TEXTS, field_label
from connections.json_format import entry as json_format_entry
from connections.json_format import schema, serialize
from connections.json_format.issues import Issue
from connections.json_format.schema import CREDENTIAL_FIELDS
from connections.json_format.stream.decoder import decode_entry, skip_whitespace
from connections.json_format.urls import changed_endpoints
from connections.json_format.values import MASKED, MAX_DEPTH, MAX_SHORT_TEXT, nesting_depth
from connections.models import SEALED_COLUMNS, UNLIMITED, ConnectionAuth

# The fieldsets of the page: titles and names of fields.
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
        ("expiry_date", "refresh_token_expires_date", "expires_in", "refresh_token_expires_in"),
    ),
)
PLAIN_FORM_FIELDS = tuple(
    name
    for _title, names in (*MAIN_FIELDSETS, *SIDE_FIELDSETS)
    for name in names
    if name not in SEALED_COLUMNS
)
# An export nests meta in an auth object, a Connection and an array, which imports read again.
MAX_META_DEPTH = MAX_DEPTH - 3


def build_form_fields():
    """The fields of the form by name, except `integration`, which Django makes."""
    plain = [name for name in (*PLAIN_FORM_FIELDS, "connection_id") if name != "integration"]
    fields = {name: _plain_field(name) for name in plain}
    for name in SEALED_COLUMNS:
        fields[f"clear_{name}"] = forms.BooleanField(
            required=False, label=_("Clear the stored value instead")
        )
        if name != "extra":
            fields[name] = SealedFormField(**_texts(name))
    return fields


def _plain_field(name):
    kind = schema.AUTH_FIELDS.get(name)
    if name == "is_paused":
        return forms.BooleanField(required=False, **_texts(name))
    if kind == "date":
        return InstantField(required=False, **_texts(name))
    if kind == "number":
        widget = forms.TextInput(attrs={"inputmode": "decimal"})
        return SecondsField(required=False, widget=widget, **_texts(name))
    if name in ("environment", "external_xref", "connection_id"):
        return PlainCharField(max_length=MAX_SHORT_TEXT, **_texts(name))
    return PlainCharField(**_texts(name))


def _texts(name):
    return {"label": field_label(name), "help_text": FIELD_HELP_TEXTS.get(name, "")}


class ConnectionAuthForm(forms.ModelForm):
    """After is_valid(), `warnings` holds a sentence for each oddity that was accepted."""

    scope = UNLIMITED  # of the user; the admin sets it
    # The version that the user saw; another one in the database is a conflict.
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = ConnectionAuth
        fields = (*PLAIN_FORM_FIELDS, "connection_id")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.warnings, self.new_secrets = [], {}
        self.fields.update(build_form_fields())
        if not self.instance._state.adding:
            del self.fields["connection_id"]
        if "integration" in self.fields:
            self.fields["integration"].label = field_label("integration")
        self.initial["version"] = self.instance.version
        columns = map(ConnectionAuth._meta.get_field, (*PLAIN_FORM_FIELDS, "connection_id"))
        self.stored_values = {
            column: column.value_from_object(self.instance) for column in columns
        }
        for name in SEALED_COLUMNS:
            is_set = getattr(self.instance, name) is not None
            self.fields[f"clear_{name}"].disabled = not is_set
            if is_set and name in self.fields:
                self.fields[name].widget.attrs["placeholder"] = gettext(
                    "Paste the new value. Blank keeps what is stored."
                )

    @property
    def changed_field_names(self):
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
        new_secrets = self.get_new_secrets()
        auth = {**self.get_changed_plain_values(), **new_secrets}
        if auth:
            self.process_entry(json_format_entry.read_entry(auth), new_secrets)
        self.check_moved_endpoints(new_secrets)
        integration = cleaned.get("integration")
        if not self.scope.includes(integration and integration.type, cleaned.get("environment")):
            self.add_error(None, wording.issue_message(Issue("not_permitted.out_of_scope")))
        return cleaned

    def check_moved_endpoints(self, new_secrets):
        """Refuse a new host that would get secrets which are not entered again.

        Whoever changes the host may not know them.
        """
        kept_secrets = [
            str(field_label(name))
            for name in CREDENTIAL_FIELDS
            if getattr(self.instance, name) is not None
            and name not in new_secrets
            and not self.cleaned_data.get(f"clear_{name}")
        ]
        changes = {name: self.cleaned_data.get(name) for name in self.changed_data}
        for name in changed_endpoints(self.instance, changes) if kept_secrets else ():
            why = wording.issue_message(Issue("endpoint_changed"))
            again = gettext("Enter again: %s.") % ", ".join(kept_secrets)
            self.add_error(name, f"{why} {again}")

    def get_changed_plain_values(self):
        """The changed plain fields of the auth object in their JSON form."""
        values = {}
        for name in self.changed_data:
            value = self.cleaned_data.get(name)
            if name in schema.PLAIN_FIELDS and value is not None:
                values[name] = (
                    serialize.iso(value) if schema.AUTH_FIELDS[name] == "date" else value
                )
        return values

    def get_new_secrets(self):
        """The new sealed values in their JSON form, by name."""
        new_secrets = {}
        for name in schema.SEALED_FIELDS:
            text = self.cleaned_data.get(name)
            if text is None:
                continue
            if self.cleaned_data.get(f"clear_{name}"):
                self.add_error(name, gettext("Either a new value or the tick, not both."))
                continue
            try:
                new_secrets[name] = parse_secret_input(schema.AUTH_FIELDS[name], text)
            except ValueError as error:
                self.add_error(name, str(error))
        return new_secrets

    def process_entry(self, entry, new_secrets):
        """Add the issues of an Entry as errors and warnings, and keep its new secrets."""
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
        self.new_secrets = {
            name: value for name, value in (entry.auth or {}).items() if name in new_secrets
        }

    def _post_clean(self):
        super()._post_clean()
        # Unchanged values stay exactly as stored: a browser normalizes "" and line breaks.
        for column, value in self.stored_values.items():
            if column.name not in self.changed_data:
                setattr(self.instance, column.attname, value)
        if self.errors:
            return
        for name in SEALED_COLUMNS:
            if self.cleaned_data.get(f"clear_{name}"):
                setattr(self.instance, name, None)
            elif name in self.new_secrets:
                setattr(self.instance, name, self.new_secrets[name])


def parse_secret_input(kind, text):
    """The JSON form of what was typed for a sealed field.

    Raises ValueError with a sentence for the user.
    """
    if kind in ("emails", "strings"):
        lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
        if kind == "strings" and any(lines):
            return lines  # a blank line stands for one of the token_names that has no value
        return [line for line in lines if line]
    if kind == "object":
        return _parse_object(text)
    return text


def _parse_object(text):
    try:
        value, end = decode_entry(text, skip_whitespace(text, 0))
        is_json = skip_whitespace(text, end) == len(text)
    except (ValueError, RecursionError):
        is_json = False
    if not is_json:
        raise ValueError(gettext("This is not JSON, or has a key twice."))
    if not isinstance(value, dict):
        raise ValueError(gettext("A JSON object belongs here: { … }."))
    if nesting_depth(value) > MAX_META_DEPTH:
        raise ValueError(gettext("It nests more than %s levels deep.") % MAX_META_DEPTH)
    return value
