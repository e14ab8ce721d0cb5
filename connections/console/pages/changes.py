"""Bulk changes: preview and confirm one, follow it, see its result, undo it; past changes."""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from connections.accounts.sessions import does_not_extend_session
from connections.console import wording
from connections.console.pages import page_response
from connections.jobs import bulk_change, runs, undo
from connections.models import ChangeRun, ConnectionAuth, Integration

Status = ChangeRun.Status


class ValueForm(forms.Form):
    """Asks for the value of an action that needs one."""

    def __init__(self, run, user, data=None):
        super().__init__(data, initial={"value": run.options["value"]})
        if run.options["action"] == "environment":
            field = forms.CharField(max_length=255, label=_("Environment"))
        else:
            visible = Integration.objects.visible_to(user)
            field = forms.ModelChoiceField(visible, to_field_name="type", label=_("Integration"))
        self.fields["value"] = field

    def clean_value(self):
        value = self.cleaned_data["value"]
        return value.type if isinstance(value, Integration) else value


def prepare(request, action, records):
    """The response to an action of the list: the page that previews it."""
    run = bulk_change.prepare(request.user, action, records)
    return redirect("admin:connections_change_run", run.pk)


def _get_own_run(request, pk):
    """A run of the user's own; 404 for those of others."""
    run = get_object_or_404(ChangeRun.objects.unexpired().filter(user=request.user), pk=pk)
    run.user = request.user
    if not request.user.has_perm(run.action.permission):
        raise PermissionDenied
    return run


def change_run(request, pk):
    """The page of a run, whatever its state: preview, progress or result."""
    run = _get_own_run(request, pk)
    if request.method == "POST":
        return _handle_post(request, run)
    if run.finished_at:
        return _render(request, run, "done", may_undo=run.can_be_undone)
    if run.status == Status.RUNNING:
        return _running_page(request, run)
    return _check_page(request, run)


def _handle_post(request, run):
    """Do what the button asks for. If it is too late for that, the page shows why."""
    run_redirect = redirect("admin:connections_change_run", run.pk)
    if "undo" in request.POST:
        if run.can_be_undone:
            undo.undo(run, request.user, time_limit=undo.REQUEST_TIME_LIMIT)
    elif "discard" in request.POST:
        was_confirmed = run.status == Status.RUNNING
        if not run.finished_at and runs.discard(run) and not was_confirmed:
            messages.success(request, _("Nothing was changed."))
            return redirect("admin:connections_connectionauth_changelist")
    elif "cancel" in request.POST:
        runs.cancel(run)
    elif "continue" in request.POST:
        runs.resume(run)
    elif run.status == Status.UPLOADED:
        if "value" in request.POST and run.action.needs_value:
            form = ValueForm(run, request.user, request.POST)
            if not form.is_valid():
                return _check_page(request, run, form)
            bulk_change.preview(run, form.cleaned_data["value"])
        elif "confirm" in request.POST and run.result:
            _start(request, run)
    return run_redirect


def _start(request, run):
    try:
        bulk_change.start(run)
    except runs.AlreadyRunning:
        messages.error(
            request, _("A change of yours is under way. One at a time: confirm again afterwards.")
        )
    except runs.CannotStart:
        messages.error(request, _("It could not be started. Nothing is changed; try again."))


def _check_page(request, run, form=None):
    if run.action.needs_value:
        form = form or ValueForm(run, request.user)
    first = run.result["first"] if run.result else []
    records = ConnectionAuth.objects.visible_to(request.user).filter(pk__in=first)
    is_small = run.total <= bulk_change.MAX_IN_REQUEST
    return _render(
        request, run, "check", form=form, records=records.defer_sealed(), is_small=is_small
    )


@does_not_extend_session  # without JavaScript the page reloads itself
def _running_page(request, run):
    return _render(request, run, "running", progress=_get_progress(run))


def _render(request, run, template, **context):
    result = run.result
    refused = result["refused"] if result else {}
    return page_response(
        request,
        f"changes/{template}",
        run.title,
        run=run,
        result=result,
        action=run.options["action"],
        refused=[(bulk_change.REFUSALS[name], count) for name, count in refused.items()],
        refused_count=sum(refused.values()),
        **context,
    )


def _get_progress(run):
    """The progress of a run as numbers and in words, for its page and for progress.js."""
    result = run.result
    until = run.heartbeat_at if runs.is_interrupted(run) else timezone.now()
    return {
        "state": runs.state(run),
        "done": run.done,
        "total": run.total,
        "words": {
            "count": f"{wording.format_number(run.done)} / {wording.format_number(run.total)}",
            "percent": f"{100 * run.done // max(1, run.total)} %",
            "elapsed": wording.duration(max(0, (until - run.started_at).total_seconds())),
            "changed": wording.format_number(result["changed"]),
            "already": wording.format_number(result["already"]),
            "refused": wording.format_number(sum(result["refused"].values())),
        },
        "refused": [],
    }


@does_not_extend_session
def change_progress(request, pk):
    """The progress of a run as JSON. progress.js requests it every second, so it does no more."""
    run = _get_own_run(request, pk)
    return JsonResponse(_get_progress(run) if run.started_at else {"state": run.status})


def change_history(request):
    """Bulk changes that were started: by whom, when, and their results."""
    started = ChangeRun.objects.visible_to(request.user).exclude(status=Status.UPLOADED)
    started = started.select_related("user").order_by("-started_at", "pk")
    page = Paginator(started, 50).get_page(request.GET.get("page"))
    rows = [(run, sum(run.result["refused"].values()), run.user == request.user) for run in page]
    return page_response(request, "changes/history", _("Past changes"), page=page, rows=rows)
