"""Proof that the person is there: a password, a code or a passkey within the last five minutes."""

from functools import wraps
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect


def is_reauthenticated(request):
    """Whether the person gave a proof within ACCOUNT_REAUTHENTICATION_TIMEOUT (300) seconds."""
    # Whoever has nothing to prove it with counts as present for allauth.
    has_way = request.user.has_usable_password() or bool(_methods(request))
    return has_way and did_recently_reauthenticate(request)


def redirect_to_reauthentication(request, back):
    """The redirect to the page that asks for a proof and then leads to the address `back` (GET).

    Raises PermissionDenied where a user has neither a password nor a second factor.
    """
    ways = _methods(request)
    if not ways:
        raise PermissionDenied
    return HttpResponseRedirect(f"{ways[0]['url']}?{urlencode({'next': back})}")


def reauthentication_required(back=None):
    """Decorate a view that only runs where the person is_present().

    Else nothing of the request is kept: the person is asked, and led on to `back`, a function of
    what the view is called with that returns an address to GET. Without it, that is the address of
    the request, which fits views that answer GET.

        @require_POST
        @presence_required(lambda request, pk: reverse("admin:connections_bin"))
        def purge(request, pk): ...
    """

    def decorate(view):
        @wraps(view)
        def guarded(request, *args, **kwargs):
            if is_reauthenticated(request):
                return view(request, *args, **kwargs)
            if back:
                return redirect_to_reauthentication(request, back(request, *args, **kwargs))
            return redirect_to_reauthentication(request, request.get_full_path())

        return guarded

    return decorate


def _methods(request):
    return get_adapter().get_reauthentication_methods(request.user)
