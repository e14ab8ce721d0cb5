"""Find a leaked secret, and see which secrets are shared. Neither page shows a secret.

Both are only for users who may reveal secrets: they could be used to try guesses.
"""

from django import forms
from django.core.paginator import Paginator
from django.utils.translation import gettext_lazy as _

from connections.console.fields import WriteOnlyTextarea
from connections.console.pages import page_response
from connections.encryption.digests import SECRET_FIELDS
from connections.json_format import schema
from connections.records import secret_search

MAX_HOLDERS_SHOWN = 200  # now, and as many in former versions
MAX_FORMER_OPENED = 10_000  # former versions, in the time that a user waits
PAGE_SIZE = 25


class SecretForm(forms.Form):
    secret = forms.CharField(
        strip=False,
        label=_("The secret"),
        # What was typed is not sent back to the browser.
        widget=WriteOnlyTextarea(
            {"rows": 4, "spellcheck": "false", "autocomplete": "off", "data-exact": ""}
        ),
        error_messages={"required": _("Paste the secret to look for.")},
    )
    former = forms.BooleanField(required=False, label=_("Also in former versions"))

    def clean_secret(self):
        secret = self.cleaned_data["secret"]
        try:
            secret.encode()
        except UnicodeEncodeError:  # its `object` is the secret, so it is not chained
            raise forms.ValidationError(_("This is no text that could be stored.")) from None
        if not secret.strip():
            raise forms.ValidationError(self.fields["secret"].error_messages["required"])
        return secret


class FieldForm(forms.Form):
    field = forms.ChoiceField(
        required=False,
        label=_("Field"),
        choices=[
            ("", _("Any field")),
            *((name, schema.to_camel_case(name)) for name in sorted(SECRET_FIELDS)),
        ],
    )


def find_secret_page(request):
    """GET asks for a secret, POST shows where it is stored, without the secret."""
    form = SecretForm(request.POST if request.method == "POST" else None)
    searchable = secret_search.searchable_former_versions(request.user)
    former_count = searchable[: MAX_FORMER_OPENED + 1].count()
    may_open_former = former_count <= MAX_FORMER_OPENED
    context = {"form": form, "former_count": former_count, "may_open_former": may_open_former}
    if form.is_valid():
        former = form.cleaned_data["former"] and may_open_former
        found = secret_search.search(form.cleaned_data["secret"], user=request.user, former=former)
        context |= {
            "found": found,
            "holders": found.holders[:MAX_HOLDERS_SHOWN],
            "former_holders": found.former[:MAX_HOLDERS_SHOWN],
            "hidden_count": len(found.holders[MAX_HOLDERS_SHOWN:])
            + len(found.former[MAX_HOLDERS_SHOWN:]),
        }
    return page_response(request, "find_secret/find_secret", _("Find a secret"), **context)


def shared_secrets_page(request):
    """The secrets that several connections have: how many, and in which fields."""
    form = FieldForm(request.GET)
    field = form.cleaned_data["field"] if form.is_valid() else ""
    numbers = secret_search.shared_numbers(request.user, field)
    page = Paginator(numbers, PAGE_SIZE).get_page(request.GET.get("page"))
    return page_response(
        request,
        "find_secret/shared_secrets",
        _("Shared secrets"),
        form=form,
        field=field,
        page=page,
        groups=secret_search.shared_secrets(page.object_list, request.user, field),
    )
