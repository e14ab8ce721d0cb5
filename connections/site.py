"""The admin site: Django's, under our own name."""

from django.contrib.admin import AdminSite


class LatchkeyAdminSite(AdminSite):
    site_title = site_header = "Latchkey"
    index_title = "Dashboard"
    enable_nav_sidebar = False
