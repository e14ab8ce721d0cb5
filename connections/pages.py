"""The import and export pages: forms and responses around importing.run and exporting.stream."""

import json
from collections import Counter

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from . import catalogue, exporting, importing, keyring
from .dashboard import LABELS
from .forms import WriteOnlyTextarea
from .issues import FileRefused, Issue
from .models import ConnectionAuth, ImportChunk, ImportRun
from .reader import SpooledSource, read_chunks
from .uploads import MAX_UPLOAD

SHOWN = 100  # of each verdict
MAX_REPORTED = 10_000  # errors, and as many warnings, in the report of a finished import

REPORTED = tuple(Issue("", "").as_json())  # the keys of a line of the report
POLICIES = (
    ("update", "Update it", "Plain fields become the file's. Secrets that the file lacks stay."),
    ("replace", "Replace it", "Exactly what the file says. What it lacks is cleared."),
    ("skip", "Skip it", "Keep what is stored."),
    ("fail", "Refuse the record", "And say so in the report."),
)


def context_for(request, title, **context):
    return {**admin.site.each_context(request), "title": title, **context}


# Import


class UploadForm(forms.Form):
    file = forms.FileField(
        required=False, label="Drop a file here, or choose one", allow_empty_file=True
    )
    text = forms.CharField(
        required=False,
        strip=False,
        label="Or paste JSON",
        # What was pasted is never sent back.
        widget=WriteOnlyTextarea(attrs={"rows": 8, "spellcheck": "false", "autocomplete": "off"}),
    )

    def clean_file(self):
        file = self.cleaned_data["file"]
        if file and file.size > MAX_UPLOAD:
            raise forms.ValidationError(
                "Over 200 MB. For large files there is the command import_connections."
            )
        return file

    def clean(self):
        cleaned = super().clean()
        if not cleaned.get("file") and not cleaned.get("text") and not self.errors:
            raise forms.ValidationError("Choose a file, or paste JSON.")
        if cleaned.get("file") and cleaned.get("text"):
            raise forms.ValidationError("Either a file or pasted JSON, not both.")
        return cleaned

    def source(self):
        """What was given, as a source (see reader)."""
        if self.cleaned_data.get("file"):
            return self.cleaned_data["file"].source
        source = SpooledSource("pasted.json", keyring.seal_bytes, keyring.unseal_bytes)
        source.write(self.cleaned_data["text"].encode("utf-8", "surrogatepass"))
        return source


class StoredUpload:
    """An ImportRun's chunks as a source."""

    def __init__(self, run):
        self.run, self.name = run, run.file_name

    def chunks(self):
        for chunk in self.run.chunks.order_by("position").iterator():
            yield self._open(chunk)

    def read(self, offset, length):
        return read_chunks(self._chunk, offset, length)

    def _chunk(self, position):
        return self._open(self.run.chunks.get(position=position))

    def _open(self, chunk):
        return keyring.unseal_bytes(chunk.token, chunk_place(self.run, chunk.position))


def chunk_place(run, position):
    return f"import/{run.pk}/{position}"


class Preview:
    """Collects verdicts for a page: the first of each kind, and counts of the warnings.

    `issues` holds what the report says, in its form.
    """

    def __init__(self):
        self.refused, self.changed, self.new, self.issues = [], [], [], []
        self.warnings, self.levels = Counter(), Counter()
        self.lines = None

    def add(self, verdict):
        shelf = {"rejected": self.refused, "updated": self.changed, "created": self.new}
        if len(shelf.get(verdict.action, ())) < SHOWN and verdict.action in shelf:
            shelf[verdict.action].append(verdict)
        for issue in verdict.issues:
            if issue.level == "warning":
                self.warnings[issue.code, issue.message, issue.path] += 1
            self.levels[issue.level] += 1
            if self.levels[issue.level] <= MAX_REPORTED:
                self.issues.append(issue.as_json())

    @property
    def warning_rows(self):
        return [
            (message, path, count) for (_, message, path), count in self.warnings.most_common()
        ]


def require_import_permission(user):
    if not user.has_perm("connections.import_connections"):
        raise PermissionDenied


@require_http_methods(["GET", "POST"])
def import_page(request):
    """Choose a file or paste JSON; what comes in is sealed at once."""
    require_import_permission(request.user)
    ImportRun.throw_away_old()
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        return redirect(
            "admin:connections_import_run", keep_sealed(form.source(), request.user).pk
        )
    context = context_for(request, "Import", form=form, step=1, limit=MAX_UPLOAD)
    return TemplateResponse(request, "admin/connections/import.html", context)


@transaction.atomic
def keep_sealed(source, user):
    """Store a source for the hour, each chunk sealed for its place."""
    run = ImportRun.objects.create(
        user=user, file_name=source.name[:255], size=source.size, sha256=""
    )
    for position, data in enumerate(source.chunks()):
        ImportChunk.objects.create(
            run=run,
            position=position,
            token=keyring.seal_bytes(data, chunk_place(run, position)),
        )
    run.sha256 = source.sha256
    run.save(update_fields=["sha256"])
    return run


def own_run(request, pk):
    require_import_permission(request.user)
    ImportRun.throw_away_old()
    return get_object_or_404(ImportRun, pk=pk, user=request.user)


def options_from(data, user, **more):
    """importing.Options from what a person ticked."""
    policy = data.get("on_conflict", "update")
    return importing.Options(
        on_conflict=policy if policy in importing.POLICIES else "update",
        allow_older="allow_older" in data,
        atomic="atomic" in data,
        may_add=user.has_perm("connections.add_connectionauth"),
        may_change=user.has_perm("connections.change_connectionauth"),
        **more,
    )


@require_http_methods(["GET", "POST"])
def import_run(request, pk):
    """Check what would happen, confirm, and see what happened."""
    run = own_run(request, pk)
    if run.finished_at:
        errors = [issue for issue in run.result["issues"] if issue["level"] == "error"]
        context = context_for(
            request,
            "Import",
            run=run,
            step=4,
            result=run.result,
            refused=errors[:SHOWN],
            hidden_refusals=max(0, len(errors) - SHOWN),
        )
        return TemplateResponse(request, "admin/connections/import_done.html", context)
    if request.method == "POST" and "discard" in request.POST:
        run.delete()
        messages.success(request, "The upload is thrown away. Nothing was stored.")
        return redirect("admin:connections_import")
    if request.method == "POST":
        return confirm(request, run)
    options = options_from(request.GET, request.user, dry_run=True)
    preview = Preview()
    result = importing.run([StoredUpload(run)], options, on_verdict=preview.add)
    context = context_for(
        request,
        "Check before it is stored",
        run=run,
        step=2,
        result=result,
        preview=preview,
        options=options,
        policies=POLICIES,
        bucket_labels=LABELS,
        to_store=result.created + result.updated,
        hidden_refusals=max(0, result.rejected - len(preview.refused)),
    )
    return TemplateResponse(request, "admin/connections/import_check.html", context)


def confirm(request, run):
    preview = Preview()
    options = options_from(request.POST, request.user)
    result = importing.run([StoredUpload(run)], options, on_verdict=preview.add)
    with transaction.atomic():
        # Of two confirmations at once the first counts: the second met its records.
        ImportRun.objects.filter(pk=run.pk, finished_at=None).update(
            finished_at=timezone.now(),
            result={
                **result.as_json(),
                "on_conflict": options.on_conflict,
                "issues": preview.issues,
            },
        )
        run.chunks.all().delete()
    return redirect("admin:connections_import_run", run.pk)


@require_safe
def import_report(request, pk):
    """Every issue of the upload, as NDJSON: what `import_connections --report` writes."""
    run = own_run(request, pk)
    if run.finished_at:
        # Key by key, since PostgreSQL keeps an order of its own.
        lines = [
            json.dumps({name: issue[name] for name in REPORTED}) + "\n"
            for issue in run.result["issues"]
        ]
    else:
        lines = []
        options = options_from(request.GET, request.user, dry_run=True)
        importing.run(
            [StoredUpload(run)],
            options,
            on_verdict=lambda verdict: lines.extend(
                json.dumps(issue.as_json()) + "\n" for issue in verdict.issues
            ),
        )
    response = StreamingHttpResponse(lines, content_type="application/x-ndjson")
    response["Content-Disposition"] = 'attachment; filename="import-report.ndjson"'
    return response


@require_http_methods(["GET", "POST"])
def import_integrations(request):
    """Take the API's list of integrations."""
    for permission in ("add_integration", "change_integration"):
        if not request.user.has_perm(f"connections.{permission}"):
            raise PermissionDenied
    form = UploadForm(request.POST or None, request.FILES or None)
    result = None
    if request.method == "POST" and form.is_valid():
        try:
            result = catalogue.store(form.source())
        except FileRefused as refusal:
            form.add_error(None, refusal.message)
    context = context_for(request, "Import integrations", form=form, result=result)
    return TemplateResponse(request, "admin/connections/import_integrations.html", context)


# Export


class ExportForm(forms.Form):
    shape = forms.ChoiceField(
        choices=[
            ("connection", "Connections, nothing lost"),
            ("auth", "Auth objects only"),
        ],
        widget=forms.RadioSelect,
        initial="connection",
    )
    naming = forms.ChoiceField(
        choices=[("camel", "camelCase"), ("snake", "snake_case")],
        widget=forms.RadioSelect,
        initial="camel",
        label="Spelling of the keys",
    )
    format = forms.ChoiceField(
        choices=[("json", "JSON, one array"), ("ndjson", "NDJSON, a line each")],
        widget=forms.RadioSelect,
        initial="json",
    )
    secrets = forms.ChoiceField(
        choices=[
            ("mask", "Masked"),
            ("omit", "Left out"),
            ("include", "Included, in clear"),
        ],
        widget=forms.RadioSelect,
        initial="mask",
    )
    query = forms.CharField(required=False, widget=forms.HiddenInput)
    ids = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data=None, *, user, **kwargs):
        super().__init__(data, **kwargs)
        if not user.has_perm("connections.export_secrets"):
            self.fields["secrets"].choices = self.fields["secrets"].choices[:2]


def chosen(request, query, ids):
    """The queryset of an export: records by id, or all that a list's filter shows."""
    model_admin = admin.site.get_model_admin(ConnectionAuth)
    if ids:
        try:
            return ConnectionAuth.objects.filter(pk__in=ids.split(","))
        except (ValueError, forms.ValidationError):
            raise Http404 from None
    visible = model_admin.filtered(request, query)
    return ConnectionAuth.objects.filter(pk__in=visible.order_by().values("pk"))


def export_page(request, query="", ids=()):
    """The form that asks how to export; actions of the list lead here too."""
    ids = ",".join(ids)
    form = ExportForm(user=request.user, initial={"query": query, "ids": ids})
    return _export_response(request, form, query, ids)


def _export_response(request, form, query, ids):
    queryset = chosen(request, query, ids)
    context = context_for(
        request,
        "Export",
        form=form,
        count=queryset.count(),
        is_part=bool(ids or query),
        unreadable=queryset.unreadable().count(),
    )
    return TemplateResponse(request, "admin/connections/export.html", context)


@require_http_methods(["GET", "POST"])
def export(request):
    """GET asks how (the query string is a filter of the list); POST sends the file."""
    if not request.user.has_perm("connections.view_connectionauth"):
        raise PermissionDenied
    if request.method == "GET":
        return export_page(request, query=request.GET.urlencode())
    form = ExportForm(request.POST, user=request.user)
    query, ids = request.POST.get("query", ""), request.POST.get("ids", "")
    if not form.is_valid():
        return _export_response(request, form, query, ids)
    options = exporting.Options(
        **{name: form.cleaned_data[name] for name in ("shape", "naming", "format", "secrets")}
    )
    pieces = exporting.stream(chosen(request, query, ids), options, exporting.Tally())
    kind = "application/x-ndjson" if options.format == "ndjson" else "application/json"
    response = StreamingHttpResponse(pieces, content_type=kind)
    name = f"connections-{timezone.now():%Y-%m-%d}.{options.format}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def broken_count(user):
    """The figure beside Connections in the navigation, or None."""
    if not user.has_perm("connections.view_connectionauth"):
        return None
    return ConnectionAuth.objects.in_bucket("broken").count()
