"""The console's own pages: forms and responses around the rooms that do the work."""

from django.contrib import admin


def context_for(request, title, **context):
    """The context of a page: what the frame of the admin needs, its title, and its own."""
    return {**admin.site.each_context(request), "title": title, **context}
