"""The fields of the API's objects: names, kinds, and the columns that hold them."""

# The auth object (API reference, PropertyConnectionAuth, and four fields that were added later):
# name -> kind, in the order in which it is written. Kinds in SEALED_KINDS are stored sealed.
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
# Whoever changes a host must know these, since they would be sent to the new one.
CREDENTIAL_FIELDS = tuple(name for name in SEALED_FIELDS if name not in ("emails", "state"))
# `received_at` is set when one of these changes: the tokens, and how long they last.
TOKEN_FIELDS = {"access_token", "refresh_token", "token", "expires_in", "refresh_token_expires_in"}
ENDPOINT_FIELDS = tuple(name for name, kind in AUTH_FIELDS.items() if kind == "url")

# The fields of a Connection around its auth object: JSON name -> (column, kind).
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
_names_by_column = dict(zip(CONNECTION_COLUMNS, CONNECTION_FIELDS, strict=True))

# Keys under which an object can wrap the list of entries.
WRAPPER_KEYS = ("data", "results", "items", "connections", "records")
# Fields whose keys such a wrapper uses too; a key of any other auth field makes it a record.
ENVELOPE_FIELDS = {"meta", "name", "state", "token", "key"}


def to_camel_case(name: str) -> str:
    """`refresh_token_expires_date` -> `refreshTokenExpiresDate`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def json_name(attribute: str) -> str:
    """The API's camelCase name of an attribute of ConnectionAuth, such as `integrationType`."""
    return to_camel_case(_names_by_column.get(attribute, attribute))


# The name of an auth field by each key that it can have in a file: snake_case or camelCase.
AUTH_NAMES_BY_KEY = {key: name for name in AUTH_FIELDS for key in (name, to_camel_case(name))}
# An entry that has one of these is a Connection and not an auth object.
CONNECTION_MARKER_KEYS = ("auth", "integration_type", "integrationType")
# An object that has one of these is a record and not a wrapper.
RECORD_KEYS = {key for key, name in AUTH_NAMES_BY_KEY.items() if name not in ENVELOPE_FIELDS}
RECORD_KEYS.update(CONNECTION_MARKER_KEYS)
