from django.contrib import admin

from .models import ConnectionAuth, Integration

admin.site.register(ConnectionAuth)
admin.site.register(Integration)
