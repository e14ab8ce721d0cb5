"""The admin pages of users and groups."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

from .lookups import KnownLookups

admin.site.unregister((User, Group))


@admin.register(User)
class PersonAdmin(KnownLookups, UserAdmin):
    lookups = ("is_staff__exact", "is_superuser__exact", "is_active__exact", "groups__id__exact")


@admin.register(Group)
class RoleAdmin(KnownLookups, GroupAdmin):
    pass
