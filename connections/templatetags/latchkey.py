"""Filters for moments in templates: Django's own fail on the years 1 and 9999."""

from django import template

from connections import wording

register = template.Library()
register.filter("ago", wording.relative)
register.filter("exact", wording.exact)
