"""The console's own pages. A view checks permission, calls the code that works, and renders."""

from django.contrib import admin
from django.template.response import TemplateResponse


def page_response(request, name, title, **context):
    """The page of a template in templates/connections/, with the context of every admin page."""
    context = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"connections/{name}.html", context)
