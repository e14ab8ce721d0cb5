"""The page about the encryption keys: which there are, how they are used, how to add one."""

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from connections.console.dashboard import keys
from connections.console.pages import page_response


@require_safe
def keys_page(request):
    """Names of keys and counts. No page shows a key."""
    if not keys.may_view(request.user):
        raise PermissionDenied
    return page_response(
        request, "keys/keys", _("Encryption keys"), usage=keys.get_usage(request.user)
    )
