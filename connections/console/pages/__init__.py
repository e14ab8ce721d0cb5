"""The console's own pages. A view checks permission, calls the code that works, and renders."""

from django.contrib import admin


def context_for(request, title, **context):
    """The context of a page: that of every admin page, a title, and its own."""
    return {**admin.site.each_context(request), "title": title, **context}
