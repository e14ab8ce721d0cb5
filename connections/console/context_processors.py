"""The context that allauth's pages need to look like the admin's."""

from django.conf import settings
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

# Titles of allauth's pages: those that are a card, and those inside the console.
CARD_TITLES = {
    "account_login": _("Sign in"),
    "account_logout": _("Sign out"),
    "account_inactive": _("No access"),
    "account_reauthenticate": _("Is it you?"),
    "mfa_reauthenticate": _("Is it you?"),
    "mfa_reauthenticate_webauthn": _("Is it you?"),
    "mfa_authenticate": _("Second step"),
}

PAGE_TITLES = {
    "account_change_password": _("Change your password"),
    "mfa_index": _("Second step"),
    "mfa_activate_totp": _("Set up an app for codes"),
    "mfa_deactivate_totp": _("Stop using the app?"),
    "mfa_view_recovery_codes": _("Recovery codes"),
    "mfa_generate_recovery_codes": _("New recovery codes?"),
    "mfa_list_webauthn": _("Passkeys"),
    "mfa_add_webauthn": _("Add a passkey"),
    "mfa_edit_webauthn": _("Rename a passkey"),
    "mfa_remove_webauthn": _("Remove this passkey?"),
}


def page_context(request):
    """The title of allauth's page, and the context of an admin page where it is one."""
    name = request.resolver_match and request.resolver_match.view_name
    if name in CARD_TITLES:
        return {"title": CARD_TITLES[name]}
    if name in PAGE_TITLES:
        context = {"title": PAGE_TITLES[name], "require_mfa": settings.REQUIRE_MFA}
        return {**admin.site.each_context(request), **context}
    return {}
