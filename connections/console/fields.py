"""Form fields and widgets of the console."""

import json
from datetime import timedelta, timezone

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.console import wording
from connections.console.uploads import MAX_UPLOAD
from connections.encryption import keyring
from connections.json_format import serialize
from connections.json_format.stream.sources import SpooledSource
from connections.json_format.values import parse_date


class WriteOnlyTextarea(forms.Textarea):
    """Never shows a value, neither a stored one nor one that was just typed.

    Forms send every line end as CRLF (WHATWG HTML, 4.10.22). A script also sends the exact text
    as JSON under `<name>_json`, which takes precedence.
    """

    def format_value(self, value):
        return ""

    def value_from_datadict(self, data, files, name):
        try:
            exact = json.loads(data.get(f"{name}_json") or "null")
        except ValueError:
            exact = None
        return exact if isinstance(exact, str) else super().value_from_datadict(data, files, name)


class UploadForm(forms.Form):
    file = forms.FileField(
        required=False,
        label=gettext_lazy("Drop a file here, or choose one"),
        allow_empty_file=True,
    )
    text = forms.CharField(
        required=False,
        strip=False,
        label=gettext_lazy("Or paste JSON"),
        # What was pasted is not sent back to the browser.
        widget=WriteOnlyTextarea(attrs={"rows": 8, "spellcheck": "false", "autocomplete": "off"}),
    )

    def clean_file(self):
        file = self.cleaned_data["file"]
        if file and file.size > MAX_UPLOAD:
            raise ValidationError(
                _("Over 200 MB. For large files there is the command import_connections.")
            )
        return file

    def clean(self):
        cleaned = super().clean()
        if not cleaned.get("file") and not cleaned.get("text") and not self.errors:
            raise ValidationError(_("Choose a file, or paste JSON."))
        if cleaned.get("file") and cleaned.get("text"):
            raise ValidationError(_("Either a file or pasted JSON, not both."))
        return cleaned

    def source(self):
        """The file or the text as a source of json_format.stream."""
        if self.cleaned_data.get("file"):
            return self.cleaned_data["file"].file
        source = SpooledSource("pasted.json", keyring.seal_bytes, keyring.unseal_bytes)
        source.write(self.cleaned_data["text"].encode("utf-8", "surrogatepass"))
        return source


class LinesField(forms.CharField):
    """An array of texts, one a line; it may be empty."""

    widget = forms.Textarea(attrs={"rows": 4})

    def __init__(self, **kwargs):
        super().__init__(required=False, **kwargs)

    def prepare_value(self, value):
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value):
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial, data):
        """Compares what is shown: a stored item with a line break is not a change."""
        return self.to_python(data) != self.to_python(self.prepare_value(initial))


class SealedFormField(forms.CharField):
    """A value to be sealed, exactly as it was typed."""

    def __init__(self, **kwargs):
        attrs = {"rows": 3, "autocomplete": "off", "spellcheck": "false", "data-exact": ""}
        super().__init__(
            required=False,
            strip=False,
            empty_value=None,
            widget=WriteOnlyTextarea(attrs=attrs),
            **kwargs,
        )
        self.validators = []  # json_format reports U+0000, like all text that it refuses


class PlainCharField(forms.CharField):
    """One line of text; blank is absent. Line breaks, which an input drops, are no change."""

    def __init__(self, **kwargs):
        super().__init__(strip=False, empty_value=None, required=False, **kwargs)

    def has_changed(self, initial, data):
        def one_line(text):
            return (text or "").replace("\r", "").replace("\n", "")

        return one_line(initial) != one_line(data)


class SecondsField(forms.FloatField):
    def prepare_value(self, value):
        return serialize.normalize_number(value)


class InstantField(forms.CharField):
    """A date and time with its zone, shown in the current one."""

    def prepare_value(self, value):
        if value is None or isinstance(value, str):
            return value
        moment = wording.localtime(value)
        if moment.utcoffset() % timedelta(minutes=1):  # a historic offset with seconds
            moment = moment.astimezone(timezone.utc)
        text = moment.isoformat(sep=" ")
        return f"{text[:-6]} {text[-6:]}"

    def to_python(self, value):
        value = super().to_python(value)
        if not value:
            return None
        try:
            moment, has_zone = parse_date(value)
        except ValueError:
            raise ValidationError(
                _("There is no such date. Write a whole instant, such as 2026-11-30 14:20 +01:00.")
            ) from None
        if not has_zone:
            raise ValidationError(_("Add the zone: 2026-11-30 14:20 +01:00, or Z for UTC."))
        return moment

    def has_changed(self, initial, data):
        try:
            return self.to_python(data) != initial
        except ValidationError:
            return True
