"""Registers the console's model admins. Django's autodiscovery imports this file."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group, User

from connections.console.integrations import IntegrationAdmin
from connections.console.people import LatchkeyGroupAdmin, LatchkeyUserAdmin
from connections.console.records.admin import ConnectionAuthAdmin
from connections.models import ConnectionAuth, Integration

# Django and allauth registered these: their apps come before ours in INSTALLED_APPS. Nobody
# should read or change allauth's two by hand.
admin.site.unregister((User, Group, EmailAddress, Authenticator))

admin.site.register(ConnectionAuth, ConnectionAuthAdmin)
admin.site.register(Integration, IntegrationAdmin)
admin.site.register(User, LatchkeyUserAdmin)
admin.site.register(Group, LatchkeyGroupAdmin)
