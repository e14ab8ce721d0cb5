"""Second factors: TOTP, passkeys, recovery codes. Their secrets are sealed."""

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _

from connections.encryption import keyring
from connections.encryption.keyring import SealError

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


def reset(user: User) -> list[str]:
    """Remove all second factors of a user. Returns their names."""
    authenticators = Authenticator.objects.filter(user_id=user.pk)
    names = [str(authenticator) for authenticator in authenticators.order_by("pk")]
    authenticators.delete()
    return names


def has_second_factor(user: User) -> bool:
    """Whether a user has set up TOTP or a passkey; recovery codes alone do not count."""
    return Authenticator.objects.filter(user_id=user.pk, type__in=SECOND_FACTORS).exists()
