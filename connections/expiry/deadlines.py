"""When a credential expires, can be renewed, and breaks. Pure functions, without a database.

An auth object here is a mapping of field names to plain values (the API's
`PropertyConnectionAuth`). A sealed value that did not open is not a `str`, and counts as present.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from connections.expiry import token_facts
from connections.expiry.token_facts import Auth, Facts

BUCKETS = ("broken", "day", "week", "month", "later", "no_end")
MAX_DATETIME = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=timezone.utc)


@lru_cache(maxsize=8)  # an import asks for every record, at one moment
def bucket_edges(now: datetime) -> Mapping[str, datetime]:
    """The upper edges (inclusive) of the dated buckets, in their order; `later` has none."""
    return {
        "broken": now,
        "day": now + timedelta(hours=24),
        "week": now + timedelta(days=7),
        "month": now + timedelta(days=30),
    }


def bucket_of(breaks_at: datetime | None, now: datetime) -> str:
    """The name of the bucket that `breaks_at` falls into at `now`."""
    if breaks_at is None:
        return "no_end"
    for name, edge in bucket_edges(now).items():
        if breaks_at <= edge:
            return name
    return "later"


def derived_columns(
    auth: Auth, *, issued_at: datetime | None, received_at: datetime | None
) -> dict[str, Any]:
    """What is derived from an opened auth object alone, by column name.

    `issued_at` is the API's `updated_at` or `created_at` (None if unknown). `received_at` is when
    the current tokens came in: the latest moment at which `expires_in` can have begun.
    Datetimes are aware, or None if not known.
    """
    facts = token_facts.facts_of(auth)
    access, source = _access_expiry(auth, facts, issued_at, received_at)
    refresh = auth.get("refresh_token_expires_date")
    if refresh is None:
        refresh = _add_lifetime(issued_at or received_at, auth.get("refresh_token_expires_in"))
    renewable = is_renewable(auth)
    if not renewable:
        breaks_at = access
    elif refresh is None:
        breaks_at = None
    else:
        breaks_at = max(access, refresh) if access else refresh
    return {
        "access_expires_at": access,
        "expiry_source": source,
        "refresh_expires_at": refresh,
        "renewable": renewable,
        "breaks_at": breaks_at,
        "auth_kind": auth_kind(auth),
        "facts": facts or None,
    }


def _access_expiry(
    auth: Auth, facts: Facts, issued_at: datetime | None, received_at: datetime | None
) -> tuple[datetime | None, str]:
    if auth.get("expiry_date") is not None:
        return auth["expiry_date"], "expiry_date"
    expires_in = auth.get("expires_in")
    if issued_at and (moment := _add_lifetime(issued_at, expires_in)):
        return moment, "expires_in"
    if moment := _add_lifetime(received_at, expires_in):
        return moment, "expires_in_estimate"
    for field in ("access_token", "token"):
        if "exp" in (token := facts.get(field, {})):
            return token_facts.parse_numeric_date(token["exp"]), "jwt"
    if "pem" in facts:
        return datetime.fromisoformat(facts["pem"]["not_after"]), "certificate"
    return None, ""


def _add_lifetime(start: datetime | None, seconds: float | None) -> datetime | None:
    """`start` plus a lifetime, at most MAX_DATETIME; None unless the lifetime is above zero."""
    if start is None or seconds is None or seconds <= 0:
        return None
    try:
        return min(start + timedelta(seconds=seconds), MAX_DATETIME)
    except OverflowError:
        return MAX_DATETIME


def is_renewable(auth: Auth) -> bool:
    """Whether a machine can get a new access token: by refresh token or client credentials."""
    refresh_token = auth.get("refresh_token")
    if refresh_token is not None:
        return not isinstance(refresh_token, str) or bool(refresh_token.strip())
    return not auth.get("authorize_url") and all(
        auth.get(field) for field in ("client_id", "client_secret", "token_url")
    )


def auth_kind(auth: Auth) -> str:
    """The kind of credential that the fields make; blank texts and empty lists count as absent."""

    def has(*fields: str) -> bool:
        return any(auth.get(field) for field in fields)

    if has("refresh_token"):
        return "oauth2"
    if has("consumer_key", "consumer_secret"):
        return "oauth1"
    if has("access_token"):
        return "oauth2"
    if has("pem"):
        return "certificate"
    if has("client_secret") or (has("client_id") and has("token_url", "authorize_url")):
        return "oauth2"
    if has("key", "token", "dev_api_key"):
        return "api_key"
    return "other" if has("other_auth_info", "meta", "state", "extra") else "empty"
