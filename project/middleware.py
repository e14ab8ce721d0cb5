"""Middleware: trusted proxies, and pages that are not cached."""

import ipaddress
from contextlib import suppress

from django.conf import settings

FORWARDED_HEADERS = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST")


def is_trusted_proxy(address):
    """Whether `address` (text, as in REMOTE_ADDR) lies in one of TRUSTED_PROXIES."""
    try:
        peer = _parse_address(address)
        return any(peer in ipaddress.ip_network(net) for net in settings.TRUSTED_PROXIES)
    except ValueError:
        return False


def _parse_address(text):
    """The address as an ipaddress; an IPv4-mapped IPv6 address as IPv4. Raises ValueError."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def trusted_proxies(get_response):
    """Drop X-Forwarded-* headers unless a proxy in TRUSTED_PROXIES sent them.

    If one did, REMOTE_ADDR becomes the address that it forwards for.
    """

    def middleware(request):
        if not is_trusted_proxy(request.META.get("REMOTE_ADDR", "")):
            for header in FORWARDED_HEADERS:
                request.META.pop(header, None)
        with suppress(ValueError):  # a Unix socket has no address
            request.META["REMOTE_ADDR"] = _client_address(request.META)
        return get_response(request)

    return middleware


def _client_address(meta):
    """The last untrusted address in X-Forwarded-For: those before it may be forged.

    That of the peer if there is none. Raises ValueError if the peer has none.
    """
    address = str(_parse_address(meta.get("REMOTE_ADDR", "")))
    for hop in reversed(meta.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        try:
            address = str(_parse_address(hop.strip()))
        except ValueError:
            break
        if not is_trusted_proxy(address):
            break
    return address


def no_store(get_response):
    """Forbid browsers and proxies to cache pages of the console."""

    def middleware(request):
        response = get_response(request)
        if request.path.startswith("/admin/"):
            response["Cache-Control"] = "no-store"
        return response

    return middleware
