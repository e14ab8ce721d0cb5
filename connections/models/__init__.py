"""What is stored: connections, what they held before, integrations, imports, keys, the audit."""

from .audit import AccessEvent, AppendOnly
from .connection import (
    DERIVED_COLUMNS,
    DERIVED_FROM,
    SEALED_COLUMNS,
    ConnectionAuth,
    VersionConflict,
)
from .fingerprints import SecretFingerprint
from .imports import ImportChunk, ImportRun
from .integration import Integration, in_one_line
from .keys import StoredKey
from .queryset import PRODUCTION, ConnectionAuthQuerySet, in_bucket, stale_at
from .replaced import ReplacedAuth

__all__ = [
    "DERIVED_COLUMNS",
    "DERIVED_FROM",
    "PRODUCTION",
    "SEALED_COLUMNS",
    "AccessEvent",
    "AppendOnly",
    "ConnectionAuth",
    "ConnectionAuthQuerySet",
    "ImportChunk",
    "ImportRun",
    "Integration",
    "ReplacedAuth",
    "SecretFingerprint",
    "StoredKey",
    "VersionConflict",
    "in_bucket",
    "in_one_line",
    "stale_at",
]
