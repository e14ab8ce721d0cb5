"""The admin pages of connections: their list, and the page of one."""

from django.contrib import admin, messages
from django.core.exceptions import NON_FIELD_ERRORS
from django.core.paginator import Paginator
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from connections.console import wording
from connections.console.filters import (
    COLUMN_ORDERS,
    DEFAULT_ORDER,
    FILTER_PARAMS,
    LIST_FILTERS,
    SEARCH_FIELDS,
)
from connections.console.labels import STATUS_LABELS
from connections.console.mixins import PRESERVED_FILTERS_VAR, AllowedLookupsMixin, AuditedAdmin
from connections.console.pages import changes as change_pages
from connections.console.pages import exports, page_response
from connections.console.records import fieldsets, neighbours
from connections.console.records import page as record_page
from connections.console.records.changelist import ConnectionChangeList
from connections.console.records.forms import ConnectionAuthForm
from connections.json_format.schema import json_name
from connections.lib.text import printable_on_page
from connections.models import (
    ChangeRun,
    ConnectionAuth,
    Integration,
    VersionConflict,
    credential_dates,
    former_version,
    scope_of,
)
from connections.records import history, recycle_bin

HISTORY_PAGE_SIZE = 25


def badge(name, text):
    return format_html('<span class="badge is-{}">{}</span>', name, text)


def change_action(name, description, permission="change"):
    """An action of the list that leads to the page that previews a bulk change."""
    decorate = admin.action(description=description, permissions=[permission])
    return decorate(lambda _admin, request, rows: change_pages.prepare(request, name, rows))


class ConnectionAuthAdmin(AllowedLookupsMixin, AuditedAdmin):
    form = ConnectionAuthForm
    fields = ConnectionAuthForm.Meta.fields
    allowed_lookups = FILTER_PARAMS
    list_display = tuple(COLUMN_ORDERS)
    list_display_links = ("title",)
    list_filter = LIST_FILTERS
    list_per_page = 100
    show_full_result_count = False
    search_fields = SEARCH_FIELDS
    search_help_text = _("Name, ids, references")
    ordering = DEFAULT_ORDER
    actions = (
        "pause",
        "resume",
        "set_environment",
        "set_integration",
        "export_selected",
        "move_to_bin",
    )

    # The list

    def get_changelist(self, request, **kwargs):
        return ConnectionChangeList

    def get_queryset(self, request):
        queryset = super().get_queryset(request).visible_to(request.user)
        match = request.resolver_match
        if match and match.url_name == "connections_connectionauth_change":
            queryset = queryset.select_related("integration")
            if request.method == "POST" and transaction.get_connection().in_atomic_block:
                # Locked until the transaction ends, so that two saves can't both see a version.
                queryset = queryset.select_for_update(of=("self",))
            return queryset
        return queryset.defer_sealed()

    def get_paginator(self, request, *args, **kwargs):
        """As Django's, but the tiles give the count: it needs no query of its own."""
        paginator = super().get_paginator(request, *args, **kwargs)
        paginator.count = request.row_count  # a cached property
        return paginator

    @admin.display(description=_("Status"), ordering=COLUMN_ORDERS["status"])
    def status(self, obj):
        return badge(obj.bucket(), STATUS_LABELS[obj.bucket()])

    @admin.display(description=_("Name"), ordering=COLUMN_ORDERS["title"])
    def title(self, obj):
        badges = [badge(name, STATUS_LABELS[name]) for name in record_page.status_flags(obj)]
        return format_html("{}" + " {}" * len(badges), str(obj), *badges)

    @admin.display(description=_("Integration"), ordering=COLUMN_ORDERS["integration_label"])
    def integration_label(self, obj):
        return str(obj.integration) if obj.integration_id else "-"

    @admin.display(description=_("Kind"), ordering=COLUMN_ORDERS["kind"])
    def kind(self, obj):
        return obj.get_auth_kind_display()

    @admin.display(description=_("Environment"), ordering=COLUMN_ORDERS["environment_label"])
    def environment_label(self, obj):
        return printable_on_page(obj.environment_label)

    @admin.display(description=_("Breaks"), ordering=COLUMN_ORDERS["breaks"])
    def breaks(self, obj):
        if obj.breaks_at is None:
            return "-"
        return format_html(
            '<time title="{}">{}</time> <small>{}</small>',
            wording.format_datetime(obj.breaks_at, wording.DATETIME_SECONDS_FORMAT),
            wording.relative_time(obj.breaks_at),
            wording.format_datetime(obj.breaks_at, wording.SHORT_DATETIME_FORMAT),
        )

    @admin.display(description=_("Renewed by"), ordering=COLUMN_ORDERS["renewed_by"])
    def renewed_by(self, obj):
        name, text = ("machine", _("Machine")) if obj.renewable else ("person", _("Person"))
        return format_html('<span class="by is-{}">{}</span>', name, text)

    def changelist_view(self, request, extra_context=None):
        response = super().changelist_view(request, extra_context)
        if change_list := getattr(response, "context_data", {}).get("cl"):
            is_narrowed = change_list.query or change_list.has_active_filters
            response.context_data.update(
                bucket_tiles=change_list.bucket_tiles,
                is_empty_store=not change_list.bucket_tiles[0].count and not is_narrowed,
                time_zone=timezone.get_current_timezone_name(),
            )
        return response

    @admin.action(description=_("Export…"), permissions=["view"])
    def export_selected(self, request, queryset):
        if request.POST.get("select_across") == "1":
            return exports.export_page(request, query=request.GET.urlencode())
        ids = [str(pk) for pk in queryset.values_list("pk", flat=True)]
        if ids:
            return exports.export_page(request, ids=",".join(ids))
        # An export without ids would be one of everything.
        messages.warning(request, _("What you chose is not there any more."))

    def get_actions(self, request):
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # connections are moved to the bin
        return actions

    pause = change_action("pause", _("Pause…"))
    resume = change_action("resume", _("Resume…"))
    set_environment = change_action("environment", _("Set environment…"))
    set_integration = change_action("integration", _("Set integration…"))
    move_to_bin = change_action("bin", _("Bin…"), permission="delete")

    def delete_model(self, request, obj):
        recycle_bin.move(ConnectionAuth.objects.filter(pk=obj.pk), request.user)

    def get_deleted_objects(self, objs, request):
        """The objects alone: what belongs to a record moves to the bin with it."""
        return [str(obj) for obj in objs], {}, set(), []

    def response_delete(self, request, obj_display, obj_id):
        text = format_html(
            _('<b>Moved {} to the bin.</b> For {} days it can be <a href="{}">restored</a>.'),
            obj_display,
            recycle_bin.RETENTION.days,
            reverse("admin:connections_bin"),
        )
        messages.success(request, text)
        return HttpResponseRedirect(reverse("admin:connections_connectionauth_changelist"))

    # The page of one connection

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        if db_field.name == "integration":  # without the icons that open pop-ups, and in scope
            visible = Integration.objects.visible_to(request.user)
            return db_field.formfield(queryset=visible, empty_label=_("None"))
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_form(self, request, obj=None, change=False, **kwargs):
        form = super().get_form(request, obj, change=change, **kwargs)
        form.scope = scope_of(request.user)
        return form

    def get_changeform_initial_data(self, request):
        """Nothing: a URL must not hold a secret, since logs and browser histories keep it."""
        return {}

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except VersionConflict as conflict:
            text = _("%s was changed by somebody else meanwhile. Nothing is overwritten.")
            messages.error(request, text % conflict.record)
        except IntegrityError:
            text = _(
                "Nothing is saved: another connection without an id holds exactly this, "
                "or the id is taken."
            )
            messages.error(request, text)
        return HttpResponseRedirect(request.get_full_path())

    def render_change_form(self, request, context, add=False, change=False, form_url="", obj=None):
        form = context["adminform"].form
        instance = obj or form.instance
        if obj and request.method == "GET":
            if unreadable := fieldsets.find_unreadable(obj):
                obj.mark_unreadable(unreadable)
            query = request.GET.get(PRESERVED_FILTERS_VAR, "")
            context["list_position"] = neighbours.list_position(request.user, obj, query)
        now = timezone.now()
        can_change = self.has_change_permission(request, obj) if change else True
        main, side = fieldsets.build_fieldsets(instance, form, now, can_change=can_change)
        context.update(
            main_fieldsets=main,
            side_fieldsets=side,
            can_change=can_change,
            conflict=self.get_conflicting_change(form, obj),
            deletes_to_bin=True,
            show_save_and_add_another=not change,
        )
        if obj:
            context.update(record_page.build_context(obj, now))
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_history_response(self, request, obj):
        pages = Paginator(history.queryset(obj), HISTORY_PAGE_SIZE)
        page = pages.get_page(request.GET.get("page"))
        return page_response(
            request,
            "records/history",
            _("History"),
            record=obj,
            page=page,
            entries=history.entries(page.object_list),
        )

    def get_conflicting_change(self, form, obj):
        """The FormerVersion that a person replaced meanwhile, where the form met a conflict.

        None where the latest change is not a person's, but an import's.
        """
        if not form.has_error(NON_FIELD_ERRORS, "conflict"):
            return None
        by_person = obj.former_versions.exclude(replaced_by=None).filter(
            Q(run=None) | Q(run__kind=ChangeRun.KIND), version=obj.version - 1
        )
        return by_person.select_related("replaced_by").defer("content").first()

    def save_model(self, request, obj, form, change):
        request.changed_api_names = [json_name(name) for name in form.changed_field_names]
        for warning in form.warnings:
            messages.warning(request, warning)
        dates = credential_dates(form.changed_field_names, timezone.now())
        for name, moment in dates.items():
            setattr(obj, name, moment)
        if not change:
            obj.save()
        elif form.changed_field_names:
            before = ConnectionAuth.objects.get(pk=obj.pk)
            former_version.build_former_version(
                before, form.changed_field_names, user_id=request.user.pk
            ).save()
            obj.save_version([*form.changed_field_names, *dates])

    def response_add(self, request, obj, post_url_continue=None):
        return self.response_saved(request, obj, _("<b>Added {}.</b> {}"), "")

    def response_change(self, request, obj):
        detail = wording.changed_fields_text(request.changed_api_names)
        return self.response_saved(request, obj, _("<b>Saved {}.</b> {}"), detail)

    def response_saved(self, request, obj, text, detail):
        messages.success(request, format_html(text, str(obj), detail))
        if "_continue" in request.POST:
            url = reverse("admin:connections_connectionauth_change", args=[obj.pk])
            filters = self.get_preserved_filters(request)
            return HttpResponseRedirect(f"{url}?{filters}" if filters else url)
        if "_addanother" in request.POST:
            return HttpResponseRedirect(request.path)
        return self.response_post_save_change(request, obj)
