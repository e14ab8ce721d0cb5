"""The page that asks for the reason of a reveal, and the page that shows the value once."""

import logging

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.accounts.reauthentication import reauthentication_required
from connections.console import wording
from connections.console.labels import field_label
from connections.console.pages import page_response
from connections.encryption.keyring import SealError
from connections.lib.text import printable
from connections.models import SEALED_COLUMNS, ConnectionAuth
from connections.records import reveal as records_reveal

logger = logging.getLogger(__name__)

REVEAL_SECONDS = 30
MAX_REASON_LENGTH = 200
# In the session: the field and nonce of the form that may be sent.
FORM_SESSION_KEY = "reveal"


def _validate_reason(text):
    if printable(text, MAX_REASON_LENGTH) != text or not any(map(str.isalnum, text)):
        raise ValidationError(_("Say it in words, on one line."))


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why do you need it?"),
        help_text=gettext_lazy("A ticket number or a sentence."),
        max_length=MAX_REASON_LENGTH,
        error_messages={"required": gettext_lazy("Say why; the audit log keeps it.")},
        validators=[_validate_reason],
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
    )
    nonce = forms.CharField(widget=forms.HiddenInput)


# Even with ATOMIC_REQUESTS: the audit entry is committed before anything is opened.
@transaction.non_atomic_requests
@reauthentication_required
def reveal_page(request, pk, field):
    """GET asks for a reason, POST shows the value. Going back or reloading asks again."""
    record = get_object_or_404(ConnectionAuth.objects.visible_to(request.user), pk=pk)
    if field not in SEALED_COLUMNS or getattr(record, field) is None:
        raise Http404
    target = f"{pk}/{field}"
    if request.method == "GET":
        nonce = get_random_string(16)
        request.session[FORM_SESSION_KEY] = [target, nonce]
        form = ReasonForm(initial={"nonce": nonce})
        return _render(request, "reveal", record, field, form=form)
    nonce = request.POST.get("nonce")
    if request.session.get(FORM_SESSION_KEY) != [target, nonce]:
        return _ask_again(request, pk, field)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _render(request, "reveal", record, field, form=form)
    reason = form.cleaned_data["reason"]
    # Two requests at the same time both find the form in the session; only one adds this key.
    used_key = f"reveal/{nonce}"
    if not cache.add(used_key, True, settings.SESSION_COOKIE_AGE):
        return _ask_again(request, pk, field)
    try:
        value = records_reveal.reveal(record, field, reason)
    except records_reveal.NotAudited:
        logger.exception("Nothing was revealed.")
        cache.delete(used_key)
        return render(request, "503_reveal.html", status=503)
    except SealError:
        messages.error(
            request,
            _("%s does not open: no key that we have fits, or it was changed behind the console.")
            % field_label(field),
        )
        return redirect("admin:connections_connectionauth_change", pk)
    del request.session[FORM_SESSION_KEY]
    return _render(request, "revealed", record, field, value=value)


def _ask_again(request, pk, field):
    messages.warning(request, _("A value is shown once. To see it again, say why again."))
    return redirect("admin:connections_connectionauth_reveal", pk, field)


def _render(request, name, record, field, **context):
    label = field_label(field)
    return page_response(
        request,
        f"reveal/{name}",
        _("Reveal the %s?") % wording.mid_sentence(label) if name == "reveal" else label,
        record=record,
        seconds=REVEAL_SECONDS,
        **context,
    )
