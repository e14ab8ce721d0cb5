"""The console's own pages. urls.py says who may open each."""

from django.contrib import admin
from django.http import StreamingHttpResponse
from django.template.response import TemplateResponse


def page_response(request, name, title, **context):
    """The page of a template in templates/connections/, with the context of every admin page."""
    context = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"connections/{name}.html", context)


def download(chunks, content_type, name):
    """The response that sends a file of that name, piece by piece."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(chunks, content_type=content_type, headers=headers)
