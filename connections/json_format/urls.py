"""Addresses: what is odd about one, and the host that it leads to."""

import ipaddress
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from connections.json_format import schema

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
PLACEHOLDER = re.compile(r"[{}<>]|\$\(|%7B", re.IGNORECASE)
HOST_AND_PORT = re.compile(r"(localhost|[A-Za-z0-9\-]+(\.[A-Za-z0-9\-]+)+):\d{1,5}(?![^/?#])")


@lru_cache(maxsize=4096)  # the connections of one integration share their addresses
def url_issues(value: str) -> list[str]:
    """What is odd or wrong about a URL: a list of keys of issues.MESSAGES."""
    plain = _strip_ignored_characters(value)
    scheme = None if HOST_AND_PORT.match(plain) else SCHEME.match(plain)
    if scheme and scheme.group(1).lower() not in ("http", "https"):
        return ["bad_url"]
    try:
        parts = urlsplit(plain)
        host = parts.hostname
    except ValueError:
        return ["bad_url.malformed"]
    if "\\" in parts.netloc:  # some programs take what is before it as the host, some what follows
        return ["bad_url.malformed"]
    faults = []
    if PLACEHOLDER.search(plain):
        faults.append("url_template")
        if host and PLACEHOLDER.search(host):
            host = None  # the real host is not known
    elif not scheme:
        faults.append("url_without_scheme")
    elif not host:
        return ["bad_url.no_host"]
    if parts.username is not None or parts.password is not None:
        faults.append("url_with_user")
    if host and is_private_host(host):
        faults.append("url_private_host")
    return faults


def _strip_ignored_characters(value: str) -> str:
    """Remove what the WHATWG URL standard drops, as browsers do: "java\\nscript:" is a scheme."""
    return re.sub(r"[\t\r\n]", "", value).lstrip("".join(map(chr, range(33))))


def is_private_host(host: str) -> bool:
    """Whether a host is in a private network, judged by its name or address alone."""
    host = host.rstrip(".").lower()
    with suppress(ValueError):
        return not ipaddress.ip_address(host.split("%")[0]).is_global
    if re.fullmatch(r"[0-9a-fx.]+", host):
        with suppress(OSError):  # resolvers accept old spellings of IPv4: 127.1, 0x7f000001
            return not ipaddress.IPv4Address(socket.inet_aton(host)).is_global
    return "." not in host or host.endswith(
        (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".intranet", ".corp")
    )


def url_host(value: str | None) -> str | None:
    """The host and port that a URL leads to; None for a URL without a host. To compare endpoints.

    A URL that cannot be parsed is returned whole, so that any change of it counts.
    """
    value = _strip_ignored_characters(value or "").strip()
    if "\\" in value:  # some programs read it as "/"
        return value
    if not value or re.match(r"/(?!/)|[?#]", value):  # a path has no host
        return None
    if "://" not in value and not value.startswith("//"):
        value = f"//{value}"
    try:
        parts = urlsplit(value)
        host = parts.netloc.rpartition("@")[2].lower().rstrip(".")
    except ValueError:
        return value
    return host.removesuffix({"https": ":443", "http": ":80"}.get(parts.scheme, ":")) or value


def endpoint_changed(url: str | None, previous: str | None) -> bool:
    """Whether a URL leads to another host than `previous`, or to the same host unencrypted."""
    host = url_host(url)
    if not host:
        return False
    is_weaker = _has_scheme(url, "http:") and _has_scheme(previous, "https:")
    return is_weaker or host != url_host(previous)


def _has_scheme(url: str | None, scheme: str) -> bool:
    return _strip_ignored_characters(url or "").lower().startswith(scheme)


def changed_endpoints(record: Any, changes: Mapping[str, Any]) -> list[str]:
    """The names of the endpoints of a ConnectionAuth that `changes` lead to another host."""
    return [
        name
        for name in schema.ENDPOINT_FIELDS
        if endpoint_changed(changes.get(name), getattr(record, name))
    ]
