"""The pages of django-allauth that the console uses: neither sign-up nor e-mail."""

from allauth.account import views
from django.urls import include, path
from django.views.generic import RedirectView

redirect_to_mfa = RedirectView.as_view(pattern_name="mfa_index")

urlpatterns = [
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
