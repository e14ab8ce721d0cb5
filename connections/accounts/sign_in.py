"""Who may sign in, and how often somebody may try: our adapter for django-allauth."""

from allauth.account.adapter import DefaultAccountAdapter, get_adapter
from allauth.account.forms import ChangePasswordForm as AllauthChangePasswordForm
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from connections.audit import log


class StaffBackend(ModelBackend):
    """User name and password, for staff only."""

    def get_user(self, user_id):
        """With the scope, which every page needs."""
        user = User.objects.select_related("scope").filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None

    def user_can_authenticate(self, user):
        return super().user_can_authenticate(user) and user.is_staff


class AccountAdapter(DefaultAccountAdapter):
    """allauth's adapter, for a console without sign-up and without e-mail."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": _("That user name and password do not go together."),
        "incorrect_password": _("That is not your password."),
        "too_many_login_attempts": _("Too many tries. Wait a quarter of an hour."),
        "rate_limited": _("Too many tries. Wait a quarter of an hour."),
    }

    def is_open_for_signup(self, request):
        return False

    def get_client_ip(self, request):
        """The address for rate limits; project.middleware has replaced a trusted proxy's."""
        return request.META.get("REMOTE_ADDR") or "unknown"

    def _get_login_attempts_cache_key(self, request, **credentials):
        """Without the host and port, which allauth includes and an attacker can vary; and hashed
        with a key, since what is typed as a name may be a password.
        """
        return salted_hmac("password", credentials.get("username", "")).hexdigest()

    def pre_authenticate(self, request, **credentials):
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            user = User.objects.filter(username=credentials.get("username", "")).first()
            log.log_event(
                "login_failed", user=user or "", reason="Too many tries", result="refused"
            )
            raise

    def pre_login(self, request, user, **kwargs):
        """Refuse others than staff also with a passkey, which does not use the backend."""
        if not user.is_staff:
            return self.respond_user_inactive(request, user)
        return super().pre_login(request, user, **kwargs)

    def respond_user_inactive(self, request, user):
        log.log_event("login_failed", user=user, reason="Switched off", result="refused")
        return super().respond_user_inactive(request, user)

    def get_password_change_redirect_url(self, request):
        return reverse("account_login")


class ChangePasswordForm(AllauthChangePasswordForm):
    def clean_oldpassword(self):
        """Check the old password as a sign-in does: rate-limited, and audited if wrong."""
        password = self.cleaned_data["oldpassword"]
        adapter = get_adapter()
        if not adapter.reauthenticate(self.user, password):
            raise adapter.validation_error("incorrect_password")
        return password
