"""Pure: what is derived from an opened auth object, and digests of it."""

import hmac

from connections.json_format import schema, serialize

MIN_SECRET_LENGTH = 8  # characters of a text inside an object, to count as a secret
# Addresses of people are no secrets.
SECRET_FIELDS = {*schema.SEALED_FIELDS, "extra"} - {"emails"}


def content_digest(auth, digest_key):
    """Keyed digest (hex) of a whole auth object: equal digest means equal content.

    Its unknown keys count; those of the Connection around it do not.
    """
    if "extra" in auth:
        auth = {**auth, "extra": auth["extra"].get("auth", {})}
        if not auth["extra"]:
            del auth["extra"]
    return hmac.digest(digest_key, serialize.canonical_json(auth), "sha256").hex()


def identity_digest(digest, integration, environment, digest_key):
    """Keyed digest (hex) that stands for a record without a connection_id."""
    place = serialize.canonical_json([digest, integration, environment])
    return hmac.digest(digest_key, place, "sha256").hex()


def token_url_digest(integration, digest_key):
    """Keyed digest (hex) of the token address of an integration; None where it has none."""
    if not integration.token_url:
        return None
    place = serialize.canonical_json(["token_url", integration.type, integration.token_url])
    return hmac.digest(digest_key, place, "sha256").hex()


def fingerprint(text, key):
    """The number that stands for a secret: 64 bits, signed, of an HMAC-SHA256 (RFC 2104).

    Blanks and line ends around it don't count.
    """
    digest = hmac.digest(key, text.strip().encode(), "sha256")
    return int.from_bytes(digest[:8], "big", signed=True)


def fingerprints_of(auth, key):
    """The set of `(field, number)` of all secrets in an opened auth object (with `extra`).

    What does not open (a Sealed) has none.
    """
    found = set()
    for name, value in auth.items():
        if name not in SECRET_FIELDS:
            continue
        if isinstance(value, str):
            if value.strip():
                found.add((name, fingerprint(value, key)))
        else:
            least = MIN_SECRET_LENGTH if name in ("meta", "extra") else 1
            texts = (text for text in _texts(value) if len(text.strip()) >= least)
            found.update((name, fingerprint(text, key)) for text in texts)
    return found


def _texts(value):
    """All texts inside an object or an array, without recursion."""
    level = [value]
    while level:
        value = level.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            level += value.values()
        elif isinstance(value, list):
            level += value
