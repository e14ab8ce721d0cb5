"""Pure: what a token or a certificate says about itself and everybody may see. Never a secret.

Of a JWT its header (RFC 7515, 4.1) and its times (RFC 7519, 4.1), of a certificate whose it is and
how long it is valid (RFC 5280, 4.1). Read without trusting any of it: no signature is checked.
"""

import base64
import binascii
import json
import math
from contextlib import suppress
from datetime import datetime, timezone
from functools import lru_cache

from cryptography import x509

from connections.lib.text import printable

JWT_FIELDS = ("access_token", "token", "refresh_token")
JWT_HEADER_NAMES, JWT_TIME_CLAIMS = ("alg", "kid", "typ"), ("iat", "nbf", "exp")
MAX_HEADER_LENGTH = 255  # characters of a text of a header; a longer one is left out
MAX_NAME_LENGTH = 500  # of whose a certificate is; what is longer is cut
PEM_BEGIN, PEM_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def facts_of(auth):
    """What an opened auth object tells: `{field: {fact: value}}`, as JSON keeps it; {} for none.

    A token may have `alg`, `kid`, `typ` (texts), `iat`, `nbf`, `exp` (seconds since 1970), a `pem`
    has `not_before`, `not_after` (ISO 8601), `serial`, `subject` and `issuer` (texts) of its first
    certificate. A value that is no text (one that does not open) tells nothing.
    """
    found = {}
    for field in JWT_FIELDS:
        token = auth.get(field)
        if isinstance(token, str) and token.startswith("ey") and token.count(".") == 2:
            if told := _jwt_facts(token):
                found[field] = told
    pem = auth.get("pem")
    if isinstance(pem, str) and (told := _certificate_facts(pem)):
        found["pem"] = told
    return found


def parse_numeric_date(seconds):
    """The moment of a NumericDate (RFC 7519, 2); None where it is none in the calendar."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(seconds, timezone.utc) if math.isfinite(seconds) else None
    except (ValueError, OverflowError, OSError):
        return None


def _jwt_facts(token):
    header, claims = token.split(".")[:2]
    told, claims = _jwt_header_facts(header), _decode_part(claims)
    times = {name: claims.get(name) for name in JWT_TIME_CLAIMS}
    return told | {name: time for name, time in times.items() if parse_numeric_date(time)}


@lru_cache(maxsize=64)  # all tokens of an issuer have the same few
def _jwt_header_facts(part):
    header = _decode_part(part)
    return {
        name: text
        for name in JWT_HEADER_NAMES
        if isinstance(text := header.get(name), str) and text.isprintable()
        if 0 < len(text) <= MAX_HEADER_LENGTH
    }


def _decode_part(part):
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return {}
    return value if isinstance(value, dict) else {}


def _certificate_facts(pem):
    _, begin, rest = pem.partition(PEM_BEGIN)
    body, end, _ = rest.partition(PEM_END)
    told = {}
    # A parser of foreign bytes: whatever it trips over, the rest is not known.
    with suppress(Exception):
        if end:
            found = x509.load_pem_x509_certificate(f"{begin}{body}{end}".encode())
            told["not_after"] = found.not_valid_after_utc.isoformat()
            told["not_before"] = found.not_valid_before_utc.isoformat()
            told["subject"] = printable(found.subject.rfc4514_string(), MAX_NAME_LENGTH)
            told["issuer"] = printable(found.issuer.rfc4514_string(), MAX_NAME_LENGTH)
            serial = found.serial_number
            told["serial"] = serial.to_bytes(serial.bit_length() // 8 + 1, "big").hex(":")
    return told
