"""Admin pages whose changes are audited: names of fields, never values."""

from django.contrib import admin

from connections.audit import log


class AuditedAdmin(admin.ModelAdmin):
    """Audits what is added and changed; deleting has ways of its own, which do so too."""

    def save_related(self, request, form, formsets, change):
        super().save_related(request, form, formsets, change)
        fields = getattr(form, "changed_names", form.changed_data)
        if fields or not change:
            action = "change" if change else "add"
            log.log_event(action, request=request, record=form.instance, fields=fields)
