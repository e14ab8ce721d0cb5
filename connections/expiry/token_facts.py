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

from connections.json_format.issues import printable

TOKENS = ("access_token", "token", "refresh_token")
HEADER, TIMES = ("alg", "kid", "typ"), ("iat", "nbf", "exp")
LONGEST = 255  # characters of a text of a header; a longer one is left out
LONGEST_NAME = 500  # of whose a certificate is; what is longer is cut
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def facts_of(auth):
    """What an opened auth object tells: `{field: {fact: value}}`, as JSON keeps it; {} for none.

    A token may have `alg`, `kid`, `typ` (texts), `iat`, `nbf`, `exp` (seconds since 1970), a `pem`
    has `not_before`, `not_after` (ISO 8601), `serial`, `subject` and `issuer` (texts) of its first
    certificate. A value that is no text (one that does not open) tells nothing.
    """
    found = {}
    for field in TOKENS:
        token = auth.get(field)
        if isinstance(token, str) and token.startswith("ey") and token.count(".") == 2:
            if told := _of_jwt(token):
                found[field] = told
    pem = auth.get("pem")
    if isinstance(pem, str) and (told := _of_certificate(pem)):
        found["pem"] = told
    return found


def moment(seconds):
    """The moment of a NumericDate (RFC 7519, 2); None where it is none in the calendar."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(seconds, timezone.utc) if math.isfinite(seconds) else None
    except (ValueError, OverflowError, OSError):
        return None


def _of_jwt(token):
    header, claims = token.split(".")[:2]
    told, claims = _of_header(header), _decoded(claims)
    times = {name: claims.get(name) for name in TIMES}
    return told | {name: time for name, time in times.items() if moment(time)}


@lru_cache(maxsize=64)  # all tokens of an issuer have the same few
def _of_header(part):
    header = _decoded(part)
    return {
        name: text
        for name in HEADER
        if isinstance(text := header.get(name), str) and text.isprintable()
        if 0 < len(text) <= LONGEST
    }


def _decoded(part):
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return {}
    return value if isinstance(value, dict) else {}


def _of_certificate(pem):
    _, begin, rest = pem.partition(BEGIN)
    body, end, _ = rest.partition(END)
    told = {}
    # A parser of foreign bytes: whatever it trips over, the rest is not known.
    with suppress(Exception):
        if end:
            found = x509.load_pem_x509_certificate(f"{begin}{body}{end}".encode())
            told["not_after"] = found.not_valid_after_utc.isoformat()
            told["not_before"] = found.not_valid_before_utc.isoformat()
            told["subject"] = printable(found.subject.rfc4514_string(), LONGEST_NAME)
            told["issuer"] = printable(found.issuer.rfc4514_string(), LONGEST_NAME)
            serial = found.serial_number
            told["serial"] = serial.to_bytes(serial.bit_length() // 8 + 1, "big").hex(":")
    return told
