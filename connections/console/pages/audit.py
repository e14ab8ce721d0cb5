"""The audit log: a page to filter it, and the same rows as CSV."""

import csv
from datetime import date, datetime, time

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q
from django.http import StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from connections.audit import log
from connections.console.pages import context_for
from connections.lib.text import csv_cell
from connections.models import AccessEvent

PAGE_SIZE = 50
SHORT_INPUT = forms.TextInput({"size": 12})
DATE_INPUT = forms.DateInput({"type": "date"})
# Any that a time zone can't push out of the calendar.
DATE_VALIDATORS = [MinValueValidator(date(1970, 1, 1)), MaxValueValidator(date(9998, 12, 31))]


class FilterForm(forms.Form):
    user = forms.CharField(required=False, label=_("Who"), widget=SHORT_INPUT)
    action = forms.ChoiceField(
        required=False,
        label=_("What"),
        choices=[("", _("Anything")), *AccessEvent.ACTIONS.items()],
    )
    record = forms.CharField(
        required=False, label=_("Record"), help_text=_("Name or id"), widget=SHORT_INPUT
    )
    since = forms.DateField(
        required=False, label=_("Since"), widget=DATE_INPUT, validators=DATE_VALIDATORS
    )
    until = forms.DateField(
        required=False, label=_("Until"), widget=DATE_INPUT, validators=DATE_VALIDATORS
    )
    result = forms.ChoiceField(
        required=False,
        label=_("Result"),
        choices=[("", _("Any")), *AccessEvent.RESULTS.items()],
    )
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)  # the next page

    def entries(self):
        """The entries asked for, newest first; none where the question makes no sense."""
        entries = AccessEvent.objects.order_by("-id")
        if not self.is_valid():
            return entries.none()
        asked = self.cleaned_data
        for name in ("user", "action", "result"):
            if asked[name]:
                entries = entries.filter(**{name: asked[name]})
        if asked["record"]:
            entries = entries.filter(Q(record_id=asked["record"]) | Q(record_name=asked["record"]))
        if asked["since"]:
            entries = entries.filter(at__gte=_local_datetime(asked["since"], time.min))
        if asked["until"]:
            entries = entries.filter(at__lte=_local_datetime(asked["until"], time.max))
        return entries


def _local_datetime(day, hour):
    return timezone.make_aware(datetime.combine(day, hour))


def _require_permission(user):
    if not log.may_read(user):
        raise PermissionDenied


@require_safe
def audit_page(request):
    """The log, newest first; a page goes on before the last entry of the one before it."""
    _require_permission(request.user)
    form = FilterForm(request.GET)
    entries = form.entries()
    if form.is_valid() and form.cleaned_data["before"]:
        entries = entries.filter(id__lt=form.cleaned_data["before"])
    found = list(entries[: PAGE_SIZE + 1])
    asked = request.GET.copy()
    asked.pop("before", None)
    newest = asked.urlencode()
    if len(found) > PAGE_SIZE:
        asked["before"] = found[PAGE_SIZE - 1].id
    context = context_for(
        request,
        _("Audit log"),
        form=form,
        entries=found[:PAGE_SIZE],
        last=found[:PAGE_SIZE][-1] if found else None,
        newest=newest,
        older=asked.urlencode() if "before" in asked else "",
        is_first="before" not in request.GET,
    )
    return TemplateResponse(request, "connections/audit/audit.html", context)


@require_safe
def audit_export(request):
    """What the filter of the page finds, as CSV. Audited like any export."""
    _require_permission(request.user)
    entries = FilterForm(request.GET).entries()
    log.log_event("export", request=request, record="audit log", count=entries.count())
    response = StreamingHttpResponse(_csv_lines(entries), content_type="text/csv; charset=utf-8")
    name = f"audit-{timezone.now():%Y-%m-%d}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


class _Echo:
    def write(self, line):
        return line


def _csv_lines(entries):
    writer = csv.writer(_Echo())
    yield writer.writerow([*AccessEvent(at=timezone.now()).as_dict(), "mac"])
    for entry in entries.iterator(chunk_size=1000):
        row = {**entry.as_dict(), "fields": ", ".join(entry.fields), "mac": entry.mac}
        yield writer.writerow([csv_cell(value) for value in row.values()])
