"""The forms of second factors. What they import takes long, so commands do without."""

from allauth.core import context
from allauth.mfa.totp.forms import ActivateTOTPForm as AllauthActivateTOTPForm
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from allauth.mfa.webauthn import forms as webauthn
from allauth.mfa.webauthn.internal.auth import parse_authentication_response
from django.core.exceptions import ValidationError

from connections.accounts.mfa import BINDING, MFAAdapter
from connections.audit import log
from connections.encryption import keyring


class ActivateTOTPForm(AllauthActivateTOTPForm):
    """Seals the new secret also while it waits in the session for its confirmation."""

    def __init__(self, *args, **kwargs):
        session = context.request.session
        waiting = session.get(SECRET_SESSION_KEY)
        super().__init__(*args, **kwargs)
        if self.is_bound and waiting:
            self.secret = keyring.unseal(waiting, BINDING)
        session[SECRET_SESSION_KEY] = keyring.seal(self.secret, BINDING)


class LogRefusalMixin:
    """For a form that takes a passkey: writes an audit entry where it refuses one."""

    def clean_credential(self):
        try:
            return super().clean_credential()
        except ValidationError:
            # At the sign-in there is no user: what a refused passkey claims is not to be trusted.
            user = self.user or ""
            log.log_event("login_failed", user=user, reason="Passkey refused", result="failed")
            raise


class AuthenticatePasskeyForm(LogRefusalMixin, webauthn.AuthenticateWebAuthnForm):
    """The second step after the password."""


class ReauthenticatePasskeyForm(LogRefusalMixin, webauthn.ReauthenticateWebAuthnForm):
    """The reauthentication."""


class _VerifiedPasskeyForm(webauthn.LoginWebAuthnForm):
    def clean_credential(self):
        """Require that the person was verified: allauth accepts a challenge without it."""
        answer = parse_authentication_response(self.cleaned_data["credential"])
        if not answer.response.authenticator_data.is_user_verified():
            raise MFAAdapter().validation_error("incorrect_code")
        return super().clean_credential()


class LoginPasskeyForm(LogRefusalMixin, _VerifiedPasskeyForm):
    """Signing in with a passkey alone, which has to verify the person (a fingerprint, a PIN)."""
