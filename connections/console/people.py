"""The admin pages of users and groups."""

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import (
    AdminPasswordChangeForm,
    AdminUserCreationForm,
    ReadOnlyPasswordHashField,
    ReadOnlyPasswordHashWidget,
    UserChangeForm,
)
from django.contrib.auth.models import Permission
from django.db.models import Count, Exists, ManyToManyField, OuterRef, Q
from django.forms import CheckboxSelectMultiple
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from connections.accounts.mfa import SECOND_FACTORS
from connections.audit import log
from connections.console import wording
from connections.console.fields import LinesField
from connections.console.mixins import AllowedLookupsMixin, AuditLogMixin, column
from connections.models import UserScope

# For makemessages: the English names that Django gives our permissions in the database.
PERMISSION_NAMES = (
    gettext_noop("Can add connection"),
    gettext_noop("Can change connection"),
    gettext_noop("Can delete connection"),
    gettext_noop("Can view connection"),
    gettext_noop("Can add integration"),
    gettext_noop("Can change integration"),
    gettext_noop("Can delete integration"),
    gettext_noop("Can view integration"),
    gettext_noop("Can view user"),
    gettext_noop("Can view group"),
)
# For makemessages: texts of Django on these pages that are missing in its German catalogue.
DJANGO_MESSAGES = (
    gettext_noop("Enable password-based authentication for this user by setting a password."),
    gettext_noop("Set password"),
    gettext_noop("Reset password"),
    gettext_noop("Set password: %s"),
    gettext_noop("Conflicting form data submitted. Please try again."),
    gettext_noop("Password-based authentication was disabled."),
)
USER_NAME_HELP = _("Letters, digits and @ . + - _ only.")
SCOPE_FIELDS = {"scope_environments": "environments", "scope_integrations": "integrations"}


class HiddenHashWidget(ReadOnlyPasswordHashWidget):
    """The link to a new password, without the salt and the start of the hash that Django shows."""

    def get_context(self, name, value, attrs):
        context = super().get_context(name, value, attrs)
        if any("value" in entry for entry in context["summary"]):
            context["summary"] = []
        return context


class PasswordFormMixin:
    """For Django's two forms that set the password of another user: plain labels."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["password2"].label = _("And once more")
        self.fields["password2"].help_text = ""
        if question := self.fields.get("usable_password"):
            question.label = _("Signs in by password")
            question.help_text = _("Without one they get in by a passkey only, if they have one.")
            question.choices = (("true", _("Yes")), ("false", _("No")))


class UserAddForm(PasswordFormMixin, AdminUserCreationForm):
    class Meta(AdminUserCreationForm.Meta):
        labels = {"username": _("User name")}
        help_texts = {"username": USER_NAME_HELP}


class UserPasswordForm(PasswordFormMixin, AdminPasswordChangeForm):
    pass


class UserForm(UserChangeForm):
    """A user and their scope, with the labels of the console."""

    password = ReadOnlyPasswordHashField(
        label=_("Password"), widget=HiddenHashWidget, help_text=_("Only a hash of it is stored.")
    )
    scope_environments = LinesField(
        label=_("Environments"), help_text=_("One a line, such as Production. Blank: any.")
    )
    scope_integrations = LinesField(
        label=_("Integrations"), help_text=_("Types such as hubspot, one a line. Blank: any.")
    )

    class Meta(UserChangeForm.Meta):
        labels = {
            "username": _("User name"),
            "email": _("E-mail address"),
            "is_active": _("May sign in"),
            "is_staff": _("May use the console"),
            "is_superuser": _("May do everything"),
        }
        help_texts = {
            "username": USER_NAME_HELP,
            "is_active": _(
                "Take this away rather than delete a user: what they did keeps its name."
            ),
            "is_staff": _("To see and do what their groups and permissions allow."),
            "is_superuser": _("Without any group or permission."),
            "groups": "",
            "user_permissions": _("On top of those of the groups."),
        }

    def get_initial_for_field(self, field, field_name):
        if field_name in SCOPE_FIELDS and hasattr(self.instance, "scope"):
            return getattr(self.instance.scope, SCOPE_FIELDS[field_name])
        return super().get_initial_for_field(field, field_name)


def _format_date(moment):
    if not moment:
        return _("never")
    return format_html(
        "<span>{} <small>{}</small></span>",
        wording.relative_time(moment),
        wording.format_datetime(moment),
    )


class AccountAdminMixin(AuditLogMixin, AllowedLookupsMixin):
    """Groups and permissions are check boxes: Django's two lists need a mouse and a wide screen.

    Only a superuser changes users and groups, whatever their permissions: anybody else who could
    would give themselves all permissions, or set the password of a user who has them.
    """

    formfield_overrides = {ManyToManyField: {"widget": CheckboxSelectMultiple({"class": "many"})}}
    filter_horizontal = ()

    def has_change_permission(self, request, obj=None):
        return request.user.is_superuser

    has_add_permission = has_delete_permission = has_change_permission

    def formfield_for_manytomany(self, db_field, request, **kwargs):
        """Permissions by their translated names, and only those that the console checks."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.related_model is Permission:
            of_connections = Q(content_type__app_label="connections")
            of_accounts = Q(codename__in=("view_user", "view_group"))
            field.queryset = field.queryset.filter(of_connections | of_accounts)
            field.label_from_instance = lambda permission: gettext(permission.name)
        return field

    def get_deleted_objects(self, objs, request):
        """The objects, and counts of what goes with them, without rows of many-to-many tables."""
        _tree, counts, missing_permissions, protected = super().get_deleted_objects(objs, request)
        models = apps.get_models(include_auto_created=True)
        many_to_many = {
            model._meta.verbose_name_plural for model in models if model._meta.auto_created
        }
        counts = {name: count for name, count in counts.items() if name not in many_to_many}
        return [str(obj) for obj in objs], counts, missing_permissions, protected


class LabelledBooleanFilter(admin.BooleanFieldListFilter):
    def __init__(self, field, request, params, model, model_admin, field_path):
        super().__init__(field, request, params, model, model_admin, field_path)
        self.title = UserForm.Meta.labels[field_path]


class LatchkeyUserAdmin(AccountAdminMixin, UserAdmin):
    form = UserForm
    add_form = UserAddForm
    change_password_form = UserPasswordForm
    list_display = (
        "user_name",
        "full_name",
        "email_address",
        "access_summary",
        "second_step",
        "last_signed_in",
    )
    list_filter = (
        ("is_active", LabelledBooleanFilter),
        ("is_staff", LabelledBooleanFilter),
        ("is_superuser", LabelledBooleanFilter),
        "groups",
    )
    readonly_fields = ("last_signed_in", "date_added")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Personal info"), {"fields": ("first_name", "last_name", "email")}),
        (
            _("Permissions"),
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        (_("Dates"), {"fields": ("last_signed_in", "date_added")}),
    )
    allowed_lookups = (
        "is_staff__exact",
        "is_superuser__exact",
        "is_active__exact",
        "groups__id__exact",
    )

    def get_queryset(self, request):
        factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=SECOND_FACTORS)
        return super().get_queryset(request).annotate(has_second_factor=Exists(factors))

    def get_changelist_instance(self, request):
        """With the groups of all listed users in one query."""
        change_list = super().get_changelist_instance(request)
        change_list.result_list = change_list.result_list.prefetch_related("groups")
        return change_list

    user_name = column(_("User name"), "username")
    email_address = column(_("E-mail address"), "email")
    last_signed_in = column(_("Last signed in"), "last_login", _format_date)
    date_added = column(_("Added"), "date_joined", _format_date)

    @admin.display(description=_("Name"), ordering="last_name")
    def full_name(self, obj):
        return obj.get_full_name()

    @admin.display(description=_("Allowed"))
    def access_summary(self, obj):
        """The groups, or what overrides them."""
        if not obj.is_active:
            return _("no sign-in")
        if obj.is_superuser:
            return _("everything")
        return ", ".join(sorted(group.name for group in obj.groups.all()))

    @admin.display(description=_("Second step"), ordering="has_second_factor")
    def second_step(self, obj):
        return _("set up") if obj.has_second_factor else _("not set up")

    def user_change_password(self, request, id, form_url=""):
        """For other users only: allauth's page for one's own password asks for the old one."""
        if self.get_object(request, unquote(id)) == request.user:
            return redirect("account_change_password")
        return super().user_change_password(request, id, form_url)

    def get_fieldsets(self, request, obj=None):
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not request.user.is_superuser:
            return fieldsets
        scope = {
            "fields": tuple(SCOPE_FIELDS),
            "description": _(
                "A user with limits sees and touches only the connections inside. "
                "A superuser has none."
            ),
        }
        return (*fieldsets, (_("Limited to"), scope))

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        if changed := set(SCOPE_FIELDS) & set(form.changed_data):
            scope = {column: form.cleaned_data[name] for name, column in SCOPE_FIELDS.items()}
            UserScope.objects.update_or_create(user=obj, defaults=scope)
            log.log_event("permission", request=request, record=obj, fields=changed)


class LatchkeyGroupAdmin(AccountAdminMixin, GroupAdmin):
    list_display = ("group_name", "members", "granted_permissions")
    group_name = column(_("Group"), "name")
    members = column(_("Users"), "user_count", wording.format_number)
    granted_permissions = column(_("Permissions"), "permission_count", wording.format_number)

    def get_queryset(self, request):
        groups = super().get_queryset(request)
        return groups.annotate(
            user_count=Count("user", distinct=True),
            permission_count=Count("permissions", distinct=True),
        )
