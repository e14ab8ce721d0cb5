"""Second factors: TOTP, passkeys, recovery codes. Their secrets are sealed."""

from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm as AllauthActivateTOTPForm
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from allauth.mfa.webauthn import forms as webauthn
from allauth.mfa.webauthn.internal.auth import parse_authentication_response
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from connections.audit import log
from connections.encryption import keyring
from connections.encryption.ring import SealError

# The key in the `data` of an Authenticator that holds its sealed secret. A passkey has none: only
# its public key is stored. The binding can't name the row: allauth seals before there is one.
SECRET_DATA_KEYS = {Authenticator.Type.TOTP: "secret", Authenticator.Type.RECOVERY_CODES: "seed"}
BINDING = "mfa"
SECOND_FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


class MFAAdapter(DefaultMFAAdapter):
    """allauth's adapter, which seals secrets with the keyring."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": _("That code is wrong, or was used before."),
        "unreadable": _(
            "Your second step does not open with the keys that are set. "
            "An administrator can take it away with the command reset_mfa."
        ),
    }

    def _get_user_identifier(self, user):
        """The user name, in the place of the e-mail address: nobody signs in with that."""
        return user.get_username()

    def encrypt(self, text):
        return keyring.seal(text, BINDING)

    def decrypt(self, encrypted_text):
        try:
            return keyring.unseal(encrypted_text, BINDING)
        except SealError:
            raise self.validation_error("unreadable") from None

    def generate_authenticator_name(self, user, type):
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return f"Passkey {count + 1}"


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


def reset(user: User) -> list[str]:
    """Remove all second factors of a user. Returns their names."""
    authenticators = Authenticator.objects.filter(user_id=user.pk)
    names = [str(authenticator) for authenticator in authenticators.order_by("pk")]
    authenticators.delete()
    return names


def has_second_factor(user: User) -> bool:
    """Whether a user has set up TOTP or a passkey; recovery codes alone do not count."""
    return Authenticator.objects.filter(user_id=user.pk, type__in=SECOND_FACTORS).exists()
