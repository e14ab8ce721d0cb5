"""The page that imports the API's list of integrations."""

from django.utils.translation import gettext as _

from connections.console.fields import UploadForm
from connections.console.pages import page_response
from connections.import_export import integrations
from connections.json_format.issues import FileRefused, render


def import_integrations_page(request):
    """GET asks for a file, POST imports it."""
    form = UploadForm(request.POST or None, request.FILES or None)
    result = None
    if request.method == "POST" and form.is_valid():
        try:
            result = integrations.import_integrations(form.source())
        except FileRefused as refusal:
            form.add_error(None, render(refusal.code, refusal.params, _))
    return page_response(
        request, "integrations/import", _("Import integrations"), form=form, result=result
    )
