"""Keyed digests of auth objects, addresses and secrets. Pure functions, without a database."""

import hmac
from collections.abc import Iterator, Mapping
from typing import Any

from connections.json_format import schema, serialize

MIN_SECRET_LENGTH = 8  # characters; a shorter text in `meta` or `extra` is no secret
# E-mail addresses are sealed, but are no secrets.
SECRET_FIELDS = {*schema.SEALED_FIELDS, "extra"} - {"emails"}


def content_digest(auth: Mapping[str, Any], digest_key: bytes) -> str:
    """Keyed digest (hex) of a whole auth object: equal digests mean equal content.

    Its unknown keys count; those of the Connection around it do not.
    """
    if "extra" in auth:
        auth = {**auth, "extra": auth["extra"].get("auth", {})}
        if not auth["extra"]:
            del auth["extra"]
    return _digest(auth, digest_key)


def identity_digest(
    digest: str, integration: str | None, environment: str | None, digest_key: bytes
) -> str:
    """Keyed digest (hex) of a record without a connection_id. `digest` is its content_digest()."""
    return _digest([digest, integration, environment], digest_key)


def token_url_digest(integration_type: str, token_url: str, digest_key: bytes) -> str | None:
    """Keyed digest (hex) of the token address of an integration; None if it has none."""
    return _digest(["token_url", integration_type, token_url], digest_key) if token_url else None


def _digest(value: Any, key: bytes) -> str:
    return hmac.digest(key, serialize.canonical_json(value), "sha256").hex()


def fingerprint(secret: str, key: bytes) -> int:
    """The number that stands for a secret: 64 bits, signed, of an HMAC-SHA256 (RFC 2104).

    Blanks and line ends around it do not count.
    """
    digest = hmac.digest(key, secret.strip().encode(), "sha256")
    return int.from_bytes(digest[:8], "big", signed=True)


def fingerprints_of(auth: Mapping[str, Any], key: bytes) -> set[tuple[str, int]]:
    """The `(field, number)` of all secrets in an opened auth object (with `extra`).

    A value that did not open (a Sealed) has none.
    """
    found = set()
    for name in SECRET_FIELDS & auth.keys():
        min_length = MIN_SECRET_LENGTH if name in ("meta", "extra") else 1
        for text in _texts(auth[name]):
            if len(text.strip()) >= min_length:
                found.add((name, fingerprint(text, key)))
    return found


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value. Not recursive: it may be nested deeply."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
