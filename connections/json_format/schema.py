"""The fields of the API's objects: names, kinds, and the columns that hold them."""

# The auth object (API reference, PropertyConnectionAuth, and four fields added later), in the
# order in which it is written. "secret" and what follows in SEALED_KINDS is stored sealed.
AUTH_FIELDS = {
    "access_token": "secret",
    "api_url": "url",
    "app_id": "text",
    "audience": "text",
    "authorize_url": "url",
    "client_id": "text",
    "client_secret": "secret",
    "consumer_key": "secret",
    "consumer_secret": "secret",
    "dev_api_key": "secret",
    "emails": "emails",
    "expires_in": "number",
    "expiry_date": "date",
    "key": "secret",
    "meta": "object",
    "name": "short",
    "other_auth_info": "strings",
    "pem": "pem",
    "refresh_token": "secret",
    "refresh_token_expires_date": "date",
    "refresh_token_expires_in": "number",
    "refresh_url": "url",
    "state": "state",
    "token": "secret",
    "token_url": "url",
    "user_id": "text",
}
SEALED_KINDS = {"secret", "state", "pem", "emails", "strings", "object"}
SEALED_FIELDS = tuple(name for name, kind in AUTH_FIELDS.items() if kind in SEALED_KINDS)
PLAIN_FIELDS = tuple(name for name, kind in AUTH_FIELDS.items() if kind not in SEALED_KINDS)
# A new host must not get these without whoever changes it knowing them.
CREDENTIAL_FIELDS = tuple(name for name in SEALED_FIELDS if name not in ("emails", "state"))
# What `received_at` follows: the tokens and how long they last.
TOKEN_FIELDS = {"access_token", "refresh_token", "token", "expires_in", "refresh_token_expires_in"}
ENDPOINT_FIELDS = tuple(name for name, kind in AUTH_FIELDS.items() if kind == "url")

# What surrounds the auth object: JSON name -> (column, kind).
CONNECTION_FIELDS = {
    "id": ("connection_id", "id"),
    "created_at": ("source_created_at", "date"),
    "updated_at": ("source_updated_at", "date"),
    "workspace_id": ("workspace_id", "text"),
    "integration_type": ("integration_id", "type"),
    "integration_name": ("integration_name", "text"),
    "external_xref": ("external_xref", "short"),
    "permissions": ("permissions", "names"),
    "categories": ("categories", "names"),
    "is_paused": ("is_paused", "bool"),
    "environment": ("environment", "short"),
    "last_healthy_at": ("last_healthy_at", "date"),
    "last_unhealthy_at": ("last_unhealthy_at", "date"),
    "last_unhealthy_code": ("last_unhealthy_code", "text"),
    "secretsmanager_id": ("secretsmanager_id", "text"),
    "secretsmanager_key": ("secretsmanager_key", "text"),
}
CONNECTION_COLUMNS = tuple(column for column, _ in CONNECTION_FIELDS.values())


def to_camel_case(name):
    """`refresh_token_expires_date` -> `refreshTokenExpiresDate`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def json_name(attribute):
    """The API's camelCase name of an attribute of the record, such as integrationType."""
    for name, (column, _kind) in CONNECTION_FIELDS.items():
        if column == attribute:
            return to_camel_case(name)
    return to_camel_case(attribute)


AUTH_NAMES_BY_KEY = {spelling: n for n in AUTH_FIELDS for spelling in (n, to_camel_case(n))}
CONNECTION_NAMES_BY_KEY = {
    spelling: n for n in (*CONNECTION_FIELDS, "auth") for spelling in (n, to_camel_case(n))
}
