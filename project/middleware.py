"""Two small pieces of middleware: whose headers to believe, and what not to keep."""

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
    """An ipaddress; IPv4 is that also where an IPv6 socket took it. Raises ValueError."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def trusted_proxies(get_response):
    """Drop X-Forwarded-* headers unless a proxy in TRUSTED_PROXIES sent them.

    Where one did, REMOTE_ADDR becomes the address that it forwards for.
    """

    def middleware(request):
        if is_trusted_proxy(request.META.get("REMOTE_ADDR", "")):
            request.META["REMOTE_ADDR"] = _client_address(request.META)
        else:
            for header in FORWARDED_HEADERS:
                request.META.pop(header, None)
            with suppress(ValueError):  # a socket of Unix has none
                request.META["REMOTE_ADDR"] = str(
                    _parse_address(request.META.get("REMOTE_ADDR", ""))
                )
        return get_response(request)

    return middleware


def _client_address(meta):
    """The last address in X-Forwarded-For that is no trusted proxy: what is before is hearsay."""
    address = str(_parse_address(meta["REMOTE_ADDR"]))
    for hop in reversed(meta.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        try:
            address = str(_parse_address(hop.strip()))
        except ValueError:
            break
        if not is_trusted_proxy(address):
            break
    return address


def no_store(get_response):
    """Let no browser or proxy keep a page of the console."""

    def middleware(request):
        response = get_response(request)
        if request.path.startswith("/admin/"):
            response["Cache-Control"] = "no-store"
        return response

    return middleware
