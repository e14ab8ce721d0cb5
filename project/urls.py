"""URLs: the console is Django's admin, with allauth's pages inside it."""

from allauth.account import views
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.autodiscover()

handler400 = "project.errors.bad_request"
handler500 = "project.errors.server_error"

redirect_to_mfa = RedirectView.as_view(pattern_name="mfa_index")

# The pages of django-allauth that the console uses: neither sign-up nor e-mail.
account_urls = [
    path("", redirect_to_mfa, name="account"),
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("inactive/", views.account_inactive, name="account_inactive"),
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    path("password/", views.password_change, name="account_change_password"),
    # A user whose password was switched off must not set a new one.
    path("password/set/", redirect_to_mfa, name="account_set_password"),
    path("mfa/", include("allauth.mfa.urls")),
]
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/account/", include(account_urls)),
    path("admin/", admin.site.urls),
]
