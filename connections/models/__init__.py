"""The models: connections and their former versions, integrations, runs, views, keys, audit."""

from connections.models.access_event import AccessEvent, AppendOnlyError
from connections.models.connection import (
    DERIVED_COLUMNS,
    SEALED_COLUMNS,
    ConnectionAuth,
    VersionConflict,
    credential_dates,
)
from connections.models.daily_count import DailyCount
from connections.models.fingerprint import SecretFingerprint
from connections.models.former_version import FormerVersion
from connections.models.integration import Integration
from connections.models.queryset import ConnectionAuthQuerySet, stale_at
from connections.models.runs import ChangeRun, ImportChunk, ImportRun
from connections.models.saved_view import SavedView
from connections.models.stored_key import StoredKey
from connections.models.user_scope import PRODUCTION, UNLIMITED, Scope, UserScope, scope_of
