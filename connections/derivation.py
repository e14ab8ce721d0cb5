"""Pure: what is derived from an opened auth object, and digests of it."""

import hmac

from . import expiry, payload


def derived(auth, *, issued_at, received_at):
    """The derived expiry columns of an opened auth object, by column name."""
    deadlines = expiry.deadlines(auth, issued_at=issued_at, received_at=received_at)
    return {**deadlines._asdict(), "auth_kind": expiry.auth_kind(auth)}


def content_digest(auth, digest_key):
    """Keyed digest (hex) of a whole auth object: equal digest means equal content.

    Its unknown keys count; those of the Connection around it do not.
    """
    if "extra" in auth:
        auth = {**auth, "extra": auth["extra"].get("auth", {})}
        if not auth["extra"]:
            del auth["extra"]
    return hmac.digest(digest_key, payload.canonical(auth), "sha256").hex()


def identity_digest(digest, integration, environment, digest_key):
    """Keyed digest (hex) that stands for a record without a connection_id."""
    place = payload.canonical([digest, integration, environment])
    return hmac.digest(digest_key, place, "sha256").hex()


def token_url_digest(integration, digest_key):
    """Keyed digest (hex) of the token address of an integration; None where it has none."""
    if not integration.token_url:
        return None
    place = payload.canonical(["token_url", integration.type, integration.token_url])
    return hmac.digest(digest_key, place, "sha256").hex()
