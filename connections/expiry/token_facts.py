"""What a token or a certificate says about itself, of which nothing is secret.

Of a JWT its header (RFC 7515, 4.1) and its times (RFC 7519, 4.1), of a certificate its names,
validity and serial number (RFC 5280, 4.1). Nothing of it is trusted: no signature is checked.
"""

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, TypeAlias

from cryptography import x509

from connections.lib.text import printable

Auth: TypeAlias = Mapping[str, Any]
Facts: TypeAlias = dict[str, dict[str, Any]]

JWT_FIELDS = ("access_token", "token", "refresh_token")
JWT_HEADER_NAMES, JWT_TIME_CLAIMS = ("alg", "kid", "typ"), ("iat", "nbf", "exp")
MAX_HEADER_LENGTH = 255  # characters of a text in a header; a longer one is left out
MAX_NAME_LENGTH = 500  # characters of a subject or issuer; a longer one is cut
PEM_BEGIN, PEM_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def facts_of(auth: Auth) -> Facts:
    """The facts in an opened auth object: `{field: {fact: value}}`, fit for JSON; {} for none.

    A token may have `alg`, `kid`, `typ` (texts), `iat`, `nbf`, `exp` (seconds since 1970). A `pem`
    has `not_before`, `not_after` (ISO 8601), `serial`, `subject` and `issuer` (texts) of its first
    certificate. A value that is not a text (one that did not open) has none.
    """
    facts = {}
    for field in JWT_FIELDS:
        token = auth.get(field)
        if isinstance(token, str) and token.startswith("ey") and token.count(".") == 2:
            if of_token := _jwt_facts(token):
                facts[field] = of_token
    pem = auth.get("pem")
    if isinstance(pem, str) and (of_certificate := _certificate_facts(pem)):
        facts["pem"] = of_certificate
    return facts


def parse_numeric_date(seconds: object) -> datetime | None:
    """The moment of a NumericDate (RFC 7519, 2); None if it is not one, or out of range."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _jwt_facts(token: str) -> dict[str, Any]:
    header, claims = token.split(".")[:2]
    facts, decoded = _jwt_header_facts(header), _decode_part(claims)
    times = {name: decoded.get(name) for name in JWT_TIME_CLAIMS}
    return facts | {name: time for name, time in times.items() if parse_numeric_date(time)}


@lru_cache(maxsize=64)  # an issuer's tokens have the same few headers
def _jwt_header_facts(part: str) -> dict[str, Any]:
    header = _decode_part(part)
    return {
        name: text
        for name in JWT_HEADER_NAMES
        if isinstance(text := header.get(name), str) and text.isprintable()
        if 0 < len(text) <= MAX_HEADER_LENGTH
    }


def _decode_part(part: str) -> dict[str, Any]:
    """The JSON object in a part of a JWT; {} if there is none."""
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _certificate_facts(pem: str) -> dict[str, Any]:
    _, begin, rest = pem.partition(PEM_BEGIN)
    body, end, _ = rest.partition(PEM_END)
    facts: dict[str, Any] = {}
    # It parses foreign bytes: whatever exception it raises, the remaining facts are not known.
    with suppress(Exception):
        certificate = x509.load_pem_x509_certificate(f"{begin}{body}{end}".encode())
        facts["not_after"] = certificate.not_valid_after_utc.isoformat()
        facts["not_before"] = certificate.not_valid_before_utc.isoformat()
        facts["subject"] = printable(certificate.subject.rfc4514_string(), MAX_NAME_LENGTH)
        facts["issuer"] = printable(certificate.issuer.rfc4514_string(), MAX_NAME_LENGTH)
        serial = certificate.serial_number
        facts["serial"] = serial.to_bytes(serial.bit_length() // 8 + 1, "big").hex(":")
    return facts
