"""What is stored: connections and what they held, integrations, imports, views, keys, audit."""

from connections.models.access_event import AccessEvent, AppendOnly
from connections.models.connection import (
    DERIVED_COLUMNS,
    DERIVED_FROM,
    SEALED_COLUMNS,
    ConnectionAuth,
    VersionConflict,
)
from connections.models.daily_count import DailyCount
from connections.models.fingerprint import SecretFingerprint
from connections.models.former_version import ReplacedAuth
from connections.models.integration import Integration, in_one_line
from connections.models.queryset import ConnectionAuthQuerySet, in_bucket, stale_at
from connections.models.runs import ChangeRun, ImportChunk, ImportRun
from connections.models.saved_view import SavedView
from connections.models.stored_key import StoredKey
from connections.models.user_scope import EVERYTHING, PRODUCTION, Scope, UserScope, scope_of

__all__ = [
    "DERIVED_COLUMNS",
    "DERIVED_FROM",
    "EVERYTHING",
    "PRODUCTION",
    "SEALED_COLUMNS",
    "AccessEvent",
    "AppendOnly",
    "ChangeRun",
    "ConnectionAuth",
    "ConnectionAuthQuerySet",
    "DailyCount",
    "ImportChunk",
    "ImportRun",
    "Integration",
    "ReplacedAuth",
    "SavedView",
    "Scope",
    "SecretFingerprint",
    "StoredKey",
    "UserScope",
    "VersionConflict",
    "in_bucket",
    "in_one_line",
    "scope_of",
    "stale_at",
]
