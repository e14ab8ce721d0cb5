"""Whether records were changed behind the application: each value opens, and digests match.

The digest of a record covers its whole auth object, endpoints included, under a key of its own:
whoever changes a record in the database can't compute the digest to go with it. The fingerprints
of its secrets are in another table: they tell which value was changed, and reveal a row that was
replaced as a whole by an older one.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import OperationalError

from connections.encryption import keyring
from connections.encryption.digests import (
    content_digest,
    fingerprints_of,
    identity_digest,
    token_url_digest,
)
from connections.encryption.keyring import KeyringError, MisplacedError, SealError
from connections.lib import database
from connections.lib import processes as lib_processes
from connections.lib.database import tolerate_invalid_utf8
from connections.models import (
    SEALED_COLUMNS,
    ConnectionAuth,
    FormerVersion,
    Integration,
    SecretFingerprint,
)

CHUNK_SIZE = 500  # records that are checked at a time
FAULT_MESSAGES = {
    "does_not_open": "No key that we have opens this value, or it is damaged.",
    "misplaced": "This value was sealed for another record or field.",
    "altered": "This value opens, but its token is not written as it was made.",
    "value_changed": "This value is not the one that was stored here.",
    "fingerprint_changed": "The fingerprint of this value is another's: one of them is older.",
    "content_changed": "The auth object is not the one that was stored here.",
    "identity_changed": "The integration or environment is not the one that was stored here.",
    "no_digest": "There is no digest to compare with.",
    "token_url_changed": "The token address is not the one that was stored here.",
}


@dataclass(frozen=True)
class Fault:
    """A field that is not as it was stored; holds no value.

    `id` and `connection_id` are the record's, or the integration's id and type; `code` is one of
    FAULT_MESSAGES.
    """

    id: str
    connection_id: str | None
    field: str
    code: str


@dataclass
class IntegrityResult:
    checked: int = 0
    faults: list[Fault] = field(default_factory=list)


Faults = list[tuple[str, str]]  # the field and the code of each


class TamperedError(Exception):
    """A record is not as it was stored: nothing of it may be sent anywhere."""

    def __init__(self, faults: Faults):
        self.faults = faults
        super().__init__("; ".join(f"{name}: {FAULT_MESSAGES[code]}" for name, code in faults))


class DigestKeys(NamedTuple):
    """The keys that digests and fingerprints are made with."""

    digest: bytes
    fingerprint: bytes


def load_digest_keys() -> DigestKeys:
    """The keys of this store. Raises KeyringError where they do not open."""
    try:
        return DigestKeys(keyring.digest_key(), keyring.fingerprint_key())
    except SealError:
        raise KeyringError(
            "The key of the digests or that of the fingerprints does not open",
            "bring back the rows of connections_storedkey from a backup",
        ) from None


def require_intact(record: ConnectionAuth) -> None:
    """Raise TamperedError unless a record is as it was stored.

    Call it before anything of the record is sent to one of its endpoints.
    """
    if faults := record_faults(
        record, stored_fingerprints(record=record)[record.pk], load_digest_keys()
    ):
        raise TamperedError(faults)
    if record.integration and (faults := integration_faults(record.integration)):
        raise TamperedError(faults)


def record_faults(
    record: ConnectionAuth, fingerprints: set[tuple[str, int]], keys: DigestKeys
) -> Faults:
    """The faults of a record, whose values are all opened.

    `fingerprints` are the stored ones, pairs of a field and a number.
    """
    auth, unreadable = record.open_auth()
    if unreadable:
        return [(name, _unreadable_code(getattr(record, name))) for name in unreadable]
    values = {name: getattr(record, name) for name in SEALED_COLUMNS}
    if altered := [name for name, value in values.items() if value and not value.is_canonical]:
        return [(name, "altered") for name in altered]
    if record.content_digest is None:
        return [("content_digest", "no_digest")]
    others = fingerprints ^ fingerprints_of(auth, keys.fingerprint)
    names = sorted({name for name, _ in others})
    if record.content_digest != content_digest(auth, keys.digest):
        changed = [(name, "value_changed") for name in names]
        return changed or [("content_digest", "content_changed")]
    if names:
        return [(name, "fingerprint_changed") for name in names]
    identity = None
    if record.connection_id is None:
        place = (record.integration_id, record.environment)
        identity = identity_digest(record.content_digest, *place, keys.digest)
    return [] if record.identity_digest == identity else [("identity_digest", "identity_changed")]


def stored_fingerprints(**filters: Any) -> dict[Any, set[tuple[str, int]]]:
    """The stored fingerprints that match: id of the record -> set of `(field, number)`."""
    fingerprints = defaultdict(set)
    rows = SecretFingerprint.objects.filter(**filters)
    for record, name, number in rows.values_list("record_id", "field", "number"):
        fingerprints[record].add((name, number))
    return fingerprints


def _unreadable_code(sealed):
    try:
        sealed.reveal()
    except MisplacedError:
        return "misplaced"
    except SealError:
        pass
    return "does_not_open"


def _former_version_fault(former):
    """The code of what is wrong with a FormerVersion, or None."""
    try:
        former.open_content()
    except MisplacedError:
        return "misplaced"
    except SealError:
        return "does_not_open"
    return None if former.content.is_canonical else "altered"


def integration_faults(integration: Integration, digest_key: bytes | None = None) -> Faults:
    """The faults of an integration: its token URL has a digest too."""
    digest_key = digest_key or keyring.digest_key()
    digest = token_url_digest(integration.type, integration.token_url, digest_key)
    if integration.token_url_digest == digest:
        return []
    has_none = integration.token_url_digest is None
    return [("token_url", "no_digest" if has_none else "token_url_changed")]


def verify(jobs: int = 1, on_progress: Callable[[int], object] | None = None) -> IntegrityResult:
    """Check every record, also in the bin, its former versions, and every integration.

    `jobs` processes open and compare; `on_progress` is called with the number of records checked
    so far. Raises KeyringError where the keys of the digests do not open.
    """
    keys = load_digest_keys()
    result = IntegrityResult()
    with tolerate_invalid_utf8():
        integrations = list(Integration.objects.order_by("pk"))
    for integration in integrations:
        for name, code in integration_faults(integration, keys.digest):
            result.faults.append(Fault(str(integration.pk), integration.type, name, code))
    records = ConnectionAuth.all_objects.order_by("id")
    processes = lib_processes.worker_count(jobs, records.count())
    with lib_processes.workers(_Checker(keys), processes) as in_order:
        for count, faults in in_order(database.id_ranges(records, CHUNK_SIZE)):
            result.checked += count
            result.faults += faults
            if on_progress:
                on_progress(result.checked)
    return result


class _Checker:
    """Checks the records of a range of ids: returns how many they are, and their Faults."""

    def __init__(self, keys):
        self.keys = keys

    def __call__(self, id_range):
        try:
            return self._check(id_range)
        except OperationalError:  # a column that is not UTF-8, or a passing error
            with tolerate_invalid_utf8():
                return self._check(id_range)

    def _check(self, id_range):
        records = list(database.filter_id_range(ConnectionAuth.all_objects.all(), *id_range))
        if not records:
            return 0, []
        in_range = {"record__gte": records[0].pk, "record__lte": records[-1].pk}
        fingerprints, former_versions = stored_fingerprints(**in_range), defaultdict(list)
        for former in FormerVersion.objects.filter(**in_range).order_by("version"):
            former_versions[former.record_id].append(former)
        all_faults = []
        for record in records:
            faults = record_faults(record, fingerprints[record.pk], self.keys)
            if faults:  # or it was saved between the reading of it and of its fingerprints
                faults = self._recheck(record.pk)
            faults += [
                (f"former version {former.version}", code)
                for former in former_versions[record.pk]
                if (code := _former_version_fault(former))
            ]
            all_faults += [Fault(str(record.pk), record.connection_id, *fault) for fault in faults]
        return len(records), all_faults

    def _recheck(self, pk):
        """The faults of a record, read again until nobody saves it between the two queries."""
        records = ConnectionAuth.all_objects.filter(pk=pk)
        while record := records.first():
            fingerprints = stored_fingerprints(record=pk)[pk]
            if records.filter(version=record.version).exists():
                return record_faults(record, fingerprints, self.keys)
        return []
