"""What is stored: connections and what they held, integrations, imports, views, keys, audit."""

from .audit import AccessEvent, AppendOnly
from .connection import (
    DERIVED_COLUMNS,
    DERIVED_FROM,
    SEALED_COLUMNS,
    ConnectionAuth,
    VersionConflict,
)
from .fingerprints import SecretFingerprint
from .imports import ChangeRun, ImportChunk, ImportRun
from .integration import Integration, in_one_line
from .keys import StoredKey
from .queryset import ConnectionAuthQuerySet, in_bucket, stale_at
from .replaced import ReplacedAuth
from .scope import EVERYTHING, PRODUCTION, Scope, UserScope, scope_of
from .snapshot import DailyCount
from .views import SavedView

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
