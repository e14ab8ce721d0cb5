"""Whether records were changed behind the application: each value opens, and digests match.

The digest of a record covers its whole auth object, endpoints included, under a key of its own:
whoever changes a record in the database can't compute the digest to go with it. The fingerprints
of its secrets are in another table: they tell which value was changed, and reveal a row that was
replaced as a whole by an older one.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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


def verify(jobs: int = 1, on_progress: Callable[[int], object] | None = None) -> IntegrityResult:
    """Check every record, also in the bin, its former versions, and every integration.

    `jobs` processes open and compare; `on_progress` is called with the number of records checked
    so far. Raises KeyringError where the keys of the digests do not open.
    """
    try:
        checker = _Checker(keyring.digest_key(), keyring.fingerprint_key())
    except SealError:
        raise KeyringError(
            "The key of the digests or that of the fingerprints does not open",
            "bring back the rows of connections_storedkey from a backup",
        ) from None
    result = IntegrityResult()
    with tolerate_invalid_utf8():
        integrations = list(Integration.objects.order_by("pk"))
    for integration in integrations:
        stored = integration.token_url_digest
        key = checker.digest_key
        if stored != token_url_digest(integration.type, integration.token_url, key):
            code = "no_digest" if stored is None else "token_url_changed"
            result.faults.append(Fault(str(integration.pk), integration.type, "token_url", code))
    records = ConnectionAuth.all_objects.order_by("id")
    processes = lib_processes.worker_count(jobs, records.count())
    with lib_processes.workers(checker, processes) as in_order:
        for count, faults in in_order(database.id_ranges(records, CHUNK_SIZE)):
            result.checked += count
            result.faults += faults
            if on_progress:
                on_progress(result.checked)
    return result


def stored_fingerprints(**filters: Any) -> dict[Any, set[tuple[str, int]]]:
    """The stored fingerprints that match: id of the record -> set of `(field, number)`."""
    fingerprints = defaultdict(set)
    rows = SecretFingerprint.objects.filter(**filters)
    for record, name, number in rows.values_list("record_id", "field", "number"):
        fingerprints[record].add((name, number))
    return fingerprints


def _opening_fault(open_value):
    """The code of why a call opens nothing, or None."""
    try:
        open_value()
    except MisplacedError:
        return "misplaced"
    except SealError:
        return "does_not_open"
    return None


class _Checker:
    """Checks the records of a range of ids: returns how many they are, and their Faults."""

    def __init__(self, digest_key, fingerprint_key):
        self.digest_key, self.fingerprint_key = digest_key, fingerprint_key

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
            faults = self._record_faults(record, fingerprints[record.pk])
            if faults:  # or it was saved between the reading of it and of its fingerprints
                faults = self._recheck(record.pk)
            for former in former_versions[record.pk]:
                code = _opening_fault(former.open_content)
                if code or not former.content.is_canonical:
                    faults.append((f"former version {former.version}", code or "altered"))
            all_faults += [Fault(str(record.pk), record.connection_id, *fault) for fault in faults]
        return len(records), all_faults

    def _recheck(self, pk):
        """The faults of a record, read again until nobody saves it between the two queries."""
        records = ConnectionAuth.all_objects.filter(pk=pk)
        while record := records.first():
            fingerprints = stored_fingerprints(record=pk)[pk]
            if records.filter(version=record.version).exists():
                return self._record_faults(record, fingerprints)
        return []

    def _record_faults(self, record, fingerprints):
        """The field and the code of each fault of a record, whose values are all opened."""
        auth, unreadable = record.open_auth()
        if unreadable:
            codes = {name: _opening_fault(getattr(record, name).reveal) for name in unreadable}
            return [(name, code or "does_not_open") for name, code in codes.items()]
        values = {name: getattr(record, name) for name in SEALED_COLUMNS}
        if altered := [name for name, value in values.items() if value and not value.is_canonical]:
            return [(name, "altered") for name in altered]
        if record.content_digest is None:
            return [("content_digest", "no_digest")]
        others = fingerprints ^ fingerprints_of(auth, self.fingerprint_key)
        names = sorted({name for name, _ in others})
        if record.content_digest != content_digest(auth, self.digest_key):
            changed = [(name, "value_changed") for name in names]
            return changed or [("content_digest", "content_changed")]
        if names:
            return [(name, "fingerprint_changed") for name in names]
        identity = None
        if record.connection_id is None:
            place = (record.integration_id, record.environment)
            identity = identity_digest(record.content_digest, *place, self.digest_key)
        if record.identity_digest != identity:
            return [("identity_digest", "identity_changed")]
        return []
