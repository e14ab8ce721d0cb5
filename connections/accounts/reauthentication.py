"""Reauthentication: a password, a code or a passkey within the last five minutes."""

from functools import wraps
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect


def is_reauthenticated(request: HttpRequest) -> bool:
    """Whether the user did so within ACCOUNT_REAUTHENTICATION_TIMEOUT (300) seconds."""
    # To allauth, a user who has no method to do it with counts as reauthenticated.
    user = request.user
    has_method = user.has_usable_password() or get_adapter().get_reauthentication_methods(user)
    return bool(has_method) and did_recently_reauthenticate(request)


def redirect_to_reauthentication(request: HttpRequest, next_url: str) -> HttpResponseRedirect:
    """Redirect to the page that reauthenticates the user and then redirects to `next_url`.

    Raises PermissionDenied where a user has neither a password nor a second factor.
    """
    methods = get_adapter().get_reauthentication_methods(request.user)
    if not methods:
        raise PermissionDenied
    return HttpResponseRedirect(f"{methods[0]['url']}?{urlencode({'next': next_url})}")


def reauthentication_required(view):
    """Decorate a view that only runs where is_reauthenticated(), and that answers GET.

    Otherwise nothing of the request is kept: the user reauthenticates and is redirected to its
    URL.
    """

    @wraps(view)
    def wrapper(request, *args, **kwargs):
        if is_reauthenticated(request):
            return view(request, *args, **kwargs)
        return redirect_to_reauthentication(request, request.get_full_path())

    return wrapper
