"""Imports: upload and check a file, confirm, follow the run, see its result; past imports.

And the page that imports the API's list of integrations.
"""

import json
from itertools import chain
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import F
from django.http import Http404, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from connections.accounts.permissions import import_permissions
from connections.accounts.sessions import does_not_extend_session
from connections.console import wording
from connections.console.fields import UploadForm
from connections.console.labels import CONFLICT_POLICIES
from connections.console.pages import download, page_response
from connections.console.uploads import MAX_UPLOAD
from connections.import_export import importer, integrations, results
from connections.jobs import chunks, import_job, runs, undo
from connections.json_format.issues import FileRefused, Issue, render
from connections.models import ImportRun, Integration

EMPTY_RESULT = import_job.ImportReport().partial_result(0)  # of a run without a report so far
UNDO_PERMISSIONS = ("connections.change_connectionauth", "connections.delete_connectionauth")
RUNNING_TITLES = {  # of a run that is not simply "Importing"
    "waiting": gettext_lazy("Import waiting"),
    "interrupted": gettext_lazy("Import interrupted"),
}


def import_page(request):
    """GET asks for a file or pasted JSON, POST stores it sealed."""
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        run = chunks.store_upload(form.source(), request.user)
        return redirect("admin:connections_import_run", run.pk)
    return page_response(
        request,
        "imports/upload",
        _("Import"),
        form=form,
        step=1,
        limit=MAX_UPLOAD,
        running=running_import(request.user),
    )


def get_own_run(request, pk):
    """A run of the user's own, or one of the command line that has ended."""
    run = get_object_or_404(ImportRun.objects.unexpired().visible_to(request.user), pk=pk)
    if run.user_id is None and runs.abandon(run):  # the command was killed; its work can be undone
        run.refresh_from_db()
    if not _is_viewable(run, request.user):
        raise Http404
    return run


def _is_viewable(run, user):
    """Whether a run has a page for a user. A command prints its own progress."""
    if run.user_id is None:
        return bool(run.finished_at) or runs.is_interrupted(run)
    return run.user_id == user.pk


def build_options(data, user, **overrides):
    """The ImportOptions of a form's data."""
    policy = data.get("on_conflict", "update")
    return importer.ImportOptions(
        on_conflict=policy if policy in importer.CONFLICT_POLICIES else "update",
        allow_older="allow_older" in data,
        atomic="atomic" in data,
        **import_permissions(user),
        **overrides,
    )


def import_run(request, pk):
    """The page of a run, whatever its state: check, progress or result."""
    run = get_own_run(request, pk)
    if request.method == "POST" and ("undo" in request.POST or not run.finished_at):
        return _handle_post(request, run)
    if run.finished_at:
        return _done_page(request, run)
    if run.status == ImportRun.Status.RUNNING:
        return _running_page(request, run)
    return _check_page(request, run)


def _check_page(request, run):
    options = build_options(request.GET, request.user, dry_run=True)
    preview = import_job.ImportReport()
    result = importer.run_import([chunks.ChunkSource(run)], options, on_verdict=preview.add)
    names = dict(Integration.objects.values_list("type", "name"))
    for verdict in chain.from_iterable(preview.verdicts_by_action.values()):
        verdict.integration = names.get(verdict.integration) or verdict.integration
    return page_response(
        request,
        "imports/check",
        _("Check before it is stored"),
        run=run,
        step=2,
        result=result,
        preview=preview,
        refused=_errors(
            issue for verdict in preview.verdicts_by_action["rejected"] for issue in verdict.issues
        ),
        options=options,
        policies=CONFLICT_POLICIES,
        store_count=result.created + result.updated,
        hidden_refusals=max(0, result.rejected - len(preview.verdicts_by_action["rejected"])),
        running=running_import(request.user),
    )


@does_not_extend_session  # without JavaScript the page reloads itself
def _running_page(request, run):
    return page_response(
        request,
        "imports/running",
        RUNNING_TITLES.get(runs.state(run), _("Importing")),
        run=run,
        step=3,
        result=run.result or EMPTY_RESULT,
        refused=_stored_issues(run),
        progress=get_progress(run),
        can_report_progress=runs.can_report_progress(run),
    )


def _done_page(request, run):
    result = run.result or EMPTY_RESULT
    errors = _errors(_stored_issues(run))
    return page_response(
        request,
        "imports/done",
        _("Import"),
        run=run,
        step=4,
        result=result,
        error=Issue.from_stored(result["error"]) if "error" in result else None,
        stored=undo.stored_counts(run),
        may_undo=run.can_be_undone and request.user.has_perms(UNDO_PERMISSIONS),
        refused=errors[: import_job.MAX_SHOWN_VERDICTS],
        hidden_refusals=max(0, len(errors) - import_job.MAX_SHOWN_VERDICTS),
    )


def _stored_issues(run):
    return [Issue.from_stored(stored) for stored in (run.result or EMPTY_RESULT)["issues"]]


def _errors(issues):
    return [issue for issue in issues if issue.level == "error"]


def _handle_post(request, run):
    """Do what the button asks for. If it is too late for that, the page shows why."""
    run_redirect = redirect("admin:connections_import_run", run.pk)
    try:
        if "undo" in request.POST:
            if not request.user.has_perms(UNDO_PERMISSIONS):
                raise PermissionDenied
            if run.can_be_undone:
                undo.undo(run, request.user, time_limit=undo.REQUEST_TIME_LIMIT)
        elif "discard" in request.POST:
            was_confirmed = run.status == ImportRun.Status.RUNNING
            if runs.discard(run) and not was_confirmed:
                messages.success(request, _("The upload is thrown away. Nothing was stored."))
                return redirect("admin:connections_import")
        elif "cancel" in request.POST:
            runs.cancel(run)
        elif "continue" in request.POST:
            runs.resume(run)
        else:
            import_job.confirm(run, build_options(request.POST, request.user))
    except runs.AlreadyRunning:  # the page names the other run
        options = {
            name: request.POST[name] for name in import_job.STORED_OPTIONS if name in request.POST
        }
        run_redirect["Location"] += f"?{urlencode(options)}"
    except runs.CannotStart:
        messages.error(
            request, _("The import could not be started. Nothing is stored; try again.")
        )
    return run_redirect


def running_import(user):
    """The import of a user that is running or interrupted, or None."""
    return ImportRun.objects.filter(user=user, status=ImportRun.Status.RUNNING).first()


def get_progress(run):
    """The progress of a run as numbers and in words, for its page and for progress.js."""
    so_far = run.result or EMPTY_RESULT
    state, is_interrupted = runs.state(run), runs.is_interrupted(run)
    until = run.heartbeat_at if is_interrupted else timezone.now()
    elapsed = max(0, (until - run.started_at).total_seconds())
    silent = (timezone.now() - run.heartbeat_at).total_seconds()
    is_silent = silent > 10
    pace = [_("stops after this batch")] if run.cancel_requested else []
    if run.done and so_far["seconds"]:
        rate = run.done / so_far["seconds"]
        if not (is_interrupted or is_silent):
            left = wording.duration((run.total - run.done) / rate + 1)
            pace.append(_("about %s left") % left)
        pace.append(_("%s records a second") % wording.format_number(rate))
    if not runs.can_report_progress(run):
        count = _("All or nothing, in one go")
    elif state == "waiting":
        count = _("Not begun")
    elif run.total:
        count = ngettext(
            "%(done)s of %(total)s record", "%(done)s of %(total)s records", run.total
        ) % {"done": wording.format_number(run.done), "total": wording.format_number(run.total)}
    else:
        count = _("Reading the file")
        if silent > 3 and not is_interrupted:
            pace.append(_("it is checked to the last byte before anything is stored"))
    if is_silent and runs.can_report_progress(run) and run.total:
        pace.append(_("no news for %s") % wording.duration(silent))
    return {
        "state": state,
        "done": run.done,
        "total": run.total,
        "words": {
            "count": count,
            "pace": ", ".join(pace),
            "percent": f"{100 * run.done // run.total} %" if run.total else "",
            "elapsed": wording.duration(elapsed),
            **{
                name: wording.format_number(so_far[name])
                for name in (*results.VERDICT_ACTIONS, "warnings")
            },
        },
        "refused": [
            {
                "record": str(issue.record),
                "code": issue.code,
                "message": wording.issue_message(issue),
                "place": wording.issue_location(issue),
            }
            for issue in _stored_issues(run)
        ],
    }


@does_not_extend_session
def import_progress(request, pk):
    """The progress of a run as JSON. progress.js requests it every second, so it does no more."""
    run = get_own_run(request, pk)
    if run.status == ImportRun.Status.UPLOADED:
        raise Http404
    return JsonResponse(get_progress(run))


def import_history(request):
    """Imports that were started: by whom, when, and their results."""
    confirmed = (
        ImportRun.objects.visible_to(request.user)
        .exclude(status=ImportRun.Status.UPLOADED)
        .select_related("user")
        .defer("result")  # it may hold 20,000 issues
        .annotate(
            **{name: F(f"result__{name}") for name in (*results.VERDICT_ACTIONS, "warnings")}
        )
        .order_by("-started_at", "pk")
    )
    page = Paginator(confirmed, 50).get_page(request.GET.get("page"))
    rows = [(run, _is_viewable(run, request.user)) for run in page]
    return page_response(request, "imports/history", _("Past imports"), page=page, rows=rows)


def import_report(request, pk):
    """Every issue as NDJSON, as `import_connections --report` writes it."""
    run = get_own_run(request, pk)
    if run.status == ImportRun.Status.UPLOADED:
        issues = []
        options = build_options(request.GET, request.user, dry_run=True)
        importer.run_import(
            [chunks.ChunkSource(run)],
            options,
            on_verdict=lambda verdict: issues.extend(verdict.issues),
        )
    else:
        issues = _stored_issues(run)
    lines = (json.dumps(issue.as_json()) + "\n" for issue in issues)
    return download(lines, "application/x-ndjson", "import-report.ndjson")


def import_integrations(request):
    """GET asks for a file, POST imports it."""
    form = UploadForm(request.POST or None, request.FILES or None)
    result = None
    if request.method == "POST" and form.is_valid():
        try:
            result = integrations.import_integrations(form.source())
        except FileRefused as refusal:
            params = {**refusal.issue.params, "file": ""}  # there is only one
            form.add_error(None, render(refusal.issue.code, params, _))
    return page_response(
        request, "imports/integrations", _("Import integrations"), form=form, result=result
    )
