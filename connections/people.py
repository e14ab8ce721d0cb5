"""The admin pages of users and groups."""

import allauth.account.admin
import allauth.mfa.admin  # noqa: F401  (what they register is taken off below)
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, Permission, User
from django.db.models import ManyToManyField, Q
from django.forms import CheckboxSelectMultiple
from django.shortcuts import redirect
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from . import audit
from .integration_admin import LinesField
from .lookups import KnownLookups
from .models import UserScope

# Ours come below; allauth's have nothing that anybody should look at or change by hand.
admin.site.unregister((User, Group, EmailAddress, Authenticator))

# Permissions have their names in the database, in English: these are Django's for our models.
GIVEN_NAMES = (
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
# Django's own texts on these pages that its German catalogue lacks.
DJANGO_SAYS = (
    gettext_noop("Password-based authentication"),
    gettext_noop("Enabled"),
    gettext_noop("Disabled"),
    gettext_noop(
        "Whether the user will be able to authenticate using a password or not. If disabled, "
        "they may still be able to authenticate using other backends, such as Single Sign-On or "
        "LDAP."
    ),
    gettext_noop("Enable password-based authentication for this user by setting a password."),
    gettext_noop(
        "Raw passwords are not stored, so there is no way to see the user’s password."  # noqa: RUF001
    ),
    gettext_noop("Set password"),
    gettext_noop("Reset password"),
    gettext_noop("Set password: %s"),
    gettext_noop("Conflicting form data submitted. Please try again."),
    gettext_noop("Password-based authentication was disabled."),
)
LIMITS = {"scope_environments": "environments", "scope_integrations": "integrations"}


class PersonForm(UserChangeForm):
    """A user, with what they are limited to."""

    scope_environments = LinesField(
        required=False,
        label=_("Environments"),
        help_text=_("One a line, such as Production. Blank: any."),
    )
    scope_integrations = LinesField(
        required=False,
        label=_("Integrations"),
        help_text=_("Types such as hubspot, one a line. Blank: any."),
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if scope := UserScope.objects.filter(pk=self.instance.pk).first():
            for name, column in LIMITS.items():
                self.initial[name] = getattr(scope, column)


def _name_of(permission):
    return gettext(permission.name)


class Ticked(KnownLookups):
    """Groups and permissions are ticked: Django's two lists need a mouse and a wide screen.

    Only a superuser changes people and groups, whatever permissions somebody has: who could give
    themselves any, or another password to somebody who has them, would be limited by nothing.
    """

    formfield_overrides = {ManyToManyField: {"widget": CheckboxSelectMultiple({"class": "many"})}}
    filter_horizontal = ()

    def has_add_permission(self, request):
        return request.user.is_superuser

    def has_change_permission(self, request, obj=None):
        return request.user.is_superuser

    def has_delete_permission(self, request, obj=None):
        return request.user.is_superuser

    def formfield_for_manytomany(self, db_field, request, **kwargs):
        """Permissions by their own names, and only those of what the console shows."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.related_model is Permission:
            ours = Q(content_type__app_label="connections")
            people = Q(codename__in=("view_user", "view_group"))
            field.queryset = field.queryset.filter(ours | people)
            field.label_from_instance = _name_of
        return field


@admin.register(User)
class PersonAdmin(Ticked, UserAdmin):
    form = PersonForm
    readonly_fields = ("last_login", "date_joined")
    lookups = ("is_staff__exact", "is_superuser__exact", "is_active__exact", "groups__id__exact")

    def user_change_password(self, request, id, form_url=""):
        """That of others: one's own takes the old one first."""
        if self.get_object(request, unquote(id)) == request.user:
            return redirect("account_change_password")
        return super().user_change_password(request, id, form_url)

    def get_form(self, request, obj=None, **kwargs):
        if obj and not request.user.is_superuser:
            kwargs["form"] = UserChangeForm
        return super().get_form(request, obj, **kwargs)

    def get_fieldsets(self, request, obj=None):
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not request.user.is_superuser:
            return fieldsets
        scope = {
            "fields": tuple(LIMITS),
            "description": _(
                "A user with limits sees and touches only the connections inside. "
                "A superuser has none."
            ),
        }
        return (*fieldsets, (_("Limited to"), scope))

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        if changed := set(LIMITS) & set(form.changed_data):
            limits = {column: form.cleaned_data[name] for name, column in LIMITS.items()}
            UserScope.objects.update_or_create(user=obj, defaults=limits)
            audit.record("permission", request=request, record=obj, fields=changed)


@admin.register(Group)
class RoleAdmin(Ticked, GroupAdmin):
    pass
