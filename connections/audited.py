"""Admin pages whose changes are audited: names of fields, never values."""

from django.contrib import admin

from . import audit


class AuditedAdmin(admin.ModelAdmin):
    """Audits what is added and changed; deleting has ways of its own, which do so too."""

    def save_form(self, request, form, change):
        request.audited_fields = (*getattr(form, "changed_names", form.changed_data),)
        return super().save_form(request, form, change)

    def log_addition(self, request, obj, message):
        audit.record("add", request=request, record=obj, fields=request.audited_fields)
        return super().log_addition(request, obj, message)

    def log_change(self, request, obj, message):
        if request.audited_fields:
            audit.record("change", request=request, record=obj, fields=request.audited_fields)
        return super().log_change(request, obj, message)
