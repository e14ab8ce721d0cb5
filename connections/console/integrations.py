"""The admin pages of integrations."""

from django import forms
from django.contrib import admin
from django.db.models import Count, Q
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from connections.console import wording
from connections.console.fields import LinesField
from connections.console.mixins import AllowedLookupsMixin, AuditedAdmin
from connections.import_export import integrations
from connections.lib.text import printable_on_page
from connections.models import ConnectionAuth, Integration, scope_of

MAX_NAMED_CONNECTIONS = 20


class IntegrationForm(forms.ModelForm):
    token_names = LinesField(
        label=_("Token names"),
        help_text=_("Labels of the credentials in otherAuthInfo, one a line."),
    )
    token_instructions = LinesField(
        label=_("Token instructions"), help_text=_("How to get them, one a line.")
    )
    categories = LinesField(label=_("Categories"), help_text=_("One a line."))
    token_url = forms.CharField(
        required=False,
        strip=False,
        label=_("Token address"),
        help_text=_("Used for renewal where a connection has no token address of its own."),
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if auth_type := self.fields.get("auth_type"):
            auth_type.choices = [("", _("Not known")), *list(auth_type.choices)[1:]]

    class Meta:
        model = Integration
        fields = (
            "type",
            "name",
            "auth_type",
            "token_names",
            "token_instructions",
            "categories",
            "token_url",
        )

    def clean(self):
        cleaned = super().clean()
        for name in ("token_names", "token_instructions", "categories"):
            if name not in self.changed_data:
                cleaned[name] = getattr(self.instance, name)
        return cleaned

    def clean_token_url(self):
        value = self.cleaned_data["token_url"]
        for issue in integrations.url_errors(value):
            raise forms.ValidationError(wording.issue_message(issue))
        return value


class IntegrationAdmin(AllowedLookupsMixin, AuditedAdmin):
    form = IntegrationForm
    fields = IntegrationForm.Meta.fields  # in this order: Django moves read-only ones to the end
    allowed_lookups = ("auth_type__exact",)
    list_display = ("title", "type", "auth_type", "token_names_text", "count")
    list_filter = ("auth_type",)
    search_fields = ("name", "type")
    ordering = ("name",)

    def get_queryset(self, request):
        in_scope = scope_of(request.user).condition("connections__")
        count = Count("connections", filter=Q(connections__binned_at=None) & in_scope)
        integrations = super().get_queryset(request).visible_to(request.user)
        return integrations.annotate(connection_count=count)

    # Integrations are shared by all environments: users with a scope only view them.

    def has_add_permission(self, request):
        return super().has_add_permission(request) and not scope_of(request.user).is_limited

    def has_change_permission(self, request, obj=None):
        is_allowed = super().has_change_permission(request, obj)
        return is_allowed and not scope_of(request.user).is_limited

    def has_delete_permission(self, request, obj=None):
        is_allowed = super().has_delete_permission(request, obj)
        return is_allowed and not scope_of(request.user).is_limited

    def get_readonly_fields(self, request, obj=None):
        readonly = ["type"] if obj else []  # connections refer to it
        if not request.user.has_perm("connections.change_token_url"):
            readonly.append("token_url")
        return readonly

    def get_deleted_objects(self, objs, request):
        """Names only some of the connections that use an integration: there may be thousands."""
        connections = ConnectionAuth.all_objects.filter(integration__in=[obj.type for obj in objs])
        count = connections.count()
        if not count:
            return super().get_deleted_objects(objs, request)
        may_view = request.user.has_perm("connections.view_connectionauth")
        named = connections.defer_sealed()[: MAX_NAMED_CONNECTIONS if may_view else 0]
        protected = [str(record) for record in named]
        if count > len(protected):
            more = count - len(protected)
            text = ngettext("%s more connection", "%s more connections", more)
            protected.append(text % wording.format_number(more))
        return [], {}, set(), protected

    @admin.display(description=_("Name"), ordering="name")
    def title(self, obj):
        return str(obj)

    @admin.display(description=_("Token names"))
    def token_names_text(self, obj):
        return ", ".join(map(printable_on_page, obj.token_names))

    @admin.display(description=_("Connections"), ordering="connection_count")
    def count(self, obj):
        url = reverse("admin:connections_connectionauth_changelist")
        query = urlencode({"integration": obj.type})
        return format_html('<a href="{}?{}">{}</a>', url, query, obj.connection_count)
