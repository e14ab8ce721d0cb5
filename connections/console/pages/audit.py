"""The audit log: a page that filters it, and an export of the filtered entries as CSV."""

import csv
from datetime import date, datetime, time

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.audit import log
from connections.console.pages import download, page_response
from connections.lib.text import csv_cell
from connections.models import AccessEvent

PAGE_SIZE = 50
SHORT_INPUT = forms.TextInput({"size": 12})
DATE_INPUT = forms.DateInput({"type": "date"})
# Whatever the time zone, these are within the years that datetime has.
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
        required=False, label=_("Result"), choices=[("", _("Any")), *AccessEvent.RESULTS.items()]
    )
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)  # the next page

    def entries(self):
        """The entries that pass the filter, newest first; none where it is not valid."""
        entries = AccessEvent.objects.order_by("-id")
        if not self.is_valid():
            return entries.none()
        wanted = self.cleaned_data
        for name in ("user", "action", "result"):
            if wanted[name]:
                entries = entries.filter(**{name: wanted[name]})
        if wanted["record"]:
            entries = entries.filter(
                Q(record_id=wanted["record"]) | Q(record_name=wanted["record"])
            )
        if wanted["since"]:
            entries = entries.filter(at__gte=_local_datetime(wanted["since"], time.min))
        if wanted["until"]:
            entries = entries.filter(at__lte=_local_datetime(wanted["until"], time.max))
        return entries


def _local_datetime(day, hour):
    return timezone.make_aware(datetime.combine(day, hour))


def audit_page(request):
    """The log, newest first. The next page starts before the last entry of this one."""
    form = FilterForm(request.GET)
    entries = form.entries()
    if form.is_valid() and form.cleaned_data["before"]:
        entries = entries.filter(id__lt=form.cleaned_data["before"])
    entries = list(entries[: PAGE_SIZE + 1])
    params = request.GET.copy()
    params.pop("before", None)
    filter_query = params.urlencode()
    if len(entries) > PAGE_SIZE:
        params["before"] = entries[PAGE_SIZE - 1].id
    return page_response(
        request,
        "audit/audit",
        _("Audit log"),
        form=form,
        entries=entries[:PAGE_SIZE],
        last=entries[:PAGE_SIZE][-1] if entries else None,
        filter_query=filter_query,
        older_query=params.urlencode() if "before" in params else "",
        is_first="before" not in request.GET,
    )


def audit_export(request):
    """The entries that pass the filter, as CSV. Audited like any export."""
    entries = FilterForm(request.GET).entries()
    log.log_event("export", request=request, record="audit log", count=entries.count())
    name = f"audit-{timezone.now():%Y-%m-%d}.csv"
    return download(_csv_lines(entries), "text/csv; charset=utf-8", name)


class _Echo:
    def write(self, line):
        return line


def _csv_lines(entries):
    writer = csv.writer(_Echo())
    yield writer.writerow([*AccessEvent(at=timezone.now()).as_dict(), "mac"])
    for entry in entries.iterator(chunk_size=1000):
        row = {**entry.as_dict(), "fields": ", ".join(entry.fields), "mac": entry.mac}
        yield writer.writerow([csv_cell(value) for value in row.values()])
