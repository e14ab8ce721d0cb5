"""URLs: the console is Django's admin, with allauth's pages inside it."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.autodiscover()

handler400 = "project.errors.bad_request"
handler500 = "project.errors.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/account/", include("project.account_urls")),
    path("admin/", admin.site.urls),
]
