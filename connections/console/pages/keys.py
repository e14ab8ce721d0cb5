"""The page about the encryption keys: which there are, how they are used, how to add one."""

from django.utils.translation import gettext as _

from connections.console.dashboard import keys
from connections.console.pages import page_response


def keys_page(request):
    """Names of keys and counts. No page shows a key."""
    return page_response(
        request, "keys/keys", _("Encryption keys"), usage=keys.get_usage(request.user)
    )
