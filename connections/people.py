"""The admin pages of users and groups."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, User
from django.shortcuts import redirect

from . import audit
from .integration_admin import LinesField
from .lookups import KnownLookups
from .models import UserScope

# Ours come below; allauth's have nothing that anybody should look at or change by hand.
admin.site.unregister((User, Group, EmailAddress, Authenticator))

LIMITS = {"scope_environments": "environments", "scope_integrations": "integrations"}


class PersonForm(UserChangeForm):
    """A user, with what they are limited to."""

    scope_environments = LinesField(
        required=False,
        label="Environments",
        help_text="One a line, such as Production. Blank: any.",
    )
    scope_integrations = LinesField(
        required=False,
        label="Integrations",
        help_text="Types such as hubspot, one a line. Blank: any.",
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if scope := UserScope.objects.filter(pk=self.instance.pk).first():
            for name, column in LIMITS.items():
                self.initial[name] = getattr(scope, column)


@admin.register(User)
class PersonAdmin(KnownLookups, UserAdmin):
    form = PersonForm
    lookups = ("is_staff__exact", "is_superuser__exact", "is_active__exact", "groups__id__exact")

    def user_change_password(self, request, id, form_url=""):
        """That of others: one's own takes the old one first."""
        if str(request.user.pk) == id:
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
            "description": "A user with limits sees and touches only the connections inside. "
            "A superuser has none.",
        }
        return (*fieldsets, ("Limited to", scope))

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        if changed := set(LIMITS) & set(form.changed_data):
            limits = {column: form.cleaned_data[name] for name, column in LIMITS.items()}
            UserScope.objects.update_or_create(user=obj, defaults=limits)
            audit.record("permission", request=request, record=obj, fields=changed)


@admin.register(Group)
class RoleAdmin(KnownLookups, GroupAdmin):
    pass
