"""Whether what is stored is what was put there: values open where they are, and digests fit.

The digest of a record covers its whole auth object, endpoints included: whoever changes one
straight in the database can't make the digest that belongs to it. The fingerprints of its secrets
lie in another table: they say which value was changed, and show a row that was put back whole.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db import OperationalError

from connections.encryption import stored_keys
from connections.encryption.digests import (
    content_digest,
    fingerprints_of,
    identity_digest,
    token_url_digest,
)
from connections.encryption.ring import KeyringError, MisplacedError, SealError
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
    """Something that is not as it was stored: names the place, never a value.

    `id` and `connection_id` are the record's, or the integration's id and type.
    """

    id: str
    connection_id: str | None
    field: str
    code: str

    def as_json(self):
        return vars(self).copy()


@dataclass
class IntegrityResult:
    checked: int = 0
    bad: list = field(default_factory=list)  # of Faults


class TamperedError(Exception):
    """A record is not what was stored; `faults` are `(field, code)`. Nothing may be sent by it."""

    def __init__(self, faults):
        self.faults = faults
        super().__init__("; ".join(f"{name}: {FAULT_MESSAGES[code]}" for name, code in faults))


class DigestKeys(NamedTuple):
    """The keys that digests and fingerprints are made with."""

    digest: bytes
    fingerprint: bytes


def load_digest_keys():
    """The Keys of this store. Raises KeyringError where they don't open."""
    try:
        return DigestKeys(stored_keys.digest_key(), stored_keys.fingerprint_key())
    except SealError:
        raise KeyringError(
            "The key of the digests or that of the fingerprints does not open",
            "bring back the rows of connections_storedkey from a backup",
        ) from None


def require_intact(record):
    """Raise TamperedError unless a record is what was stored.

    To be asked before anything of it is sent to one of its endpoints.
    """
    if faults := record_faults(
        record, _stored_fingerprints(record=record)[record.pk], load_digest_keys()
    ):
        raise TamperedError(faults)
    if record.integration and (faults := integration_faults(record.integration)):
        raise TamperedError(faults)


def record_faults(record, fingerprints, keys):
    """What is wrong with a record: a list of `(field, code)`. Opens all its values.

    `fingerprints` are its stored ones, a set of `(field, number)`.
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


def _stored_fingerprints(**chosen):
    """The stored fingerprints of some records: id -> set of `(field, number)`."""
    found = defaultdict(set)
    rows = SecretFingerprint.objects.filter(**chosen)
    for record, name, number in rows.values_list("record_id", "field", "number"):
        found[record].add((name, number))
    return found


def _unreadable_code(sealed):
    try:
        sealed.reveal()
    except MisplacedError:
        return "misplaced"
    except SealError:
        pass
    return "does_not_open"


def _former_version_fault(held):
    """What is wrong with a former version (a FormerVersion): a code, or None."""
    try:
        held.open_content()
    except MisplacedError:
        return "misplaced"
    except SealError:
        return "does_not_open"
    return None if held.content.is_canonical else "altered"


def integration_faults(integration, digest_key=None):
    """What is wrong with the token address of an integration: a list of `(field, code)`."""
    wanted = token_url_digest(
        integration.type, integration.token_url, digest_key or stored_keys.digest_key()
    )
    if integration.token_url_digest == wanted:
        return []
    has_none = integration.token_url_digest is None
    return [("token_url", "no_digest" if has_none else "token_url_changed")]


def verify(jobs=1, on_progress=None):
    """Check every record, also in the bin, its former versions, and every integration.

    Returns a Result. Raises KeyringError where the keys of the digests don't open.

    `jobs` processes open and compare; `on_progress(checked)` is called now and then.
    """
    keys = load_digest_keys()
    result = IntegrityResult()
    with tolerate_invalid_utf8():
        integrations = list(Integration.objects.order_by("pk"))
    for integration in integrations:
        for name, code in integration_faults(integration, keys.digest):
            result.bad.append(Fault(str(integration.pk), integration.type, name, code))
    records = ConnectionAuth.all_objects.order_by("id")
    processes = lib_processes.worker_count(jobs, records.count()) if jobs > 1 else 1
    with lib_processes.workers(_Checker(keys), processes) as in_order:
        for checked, bad in in_order(database.id_ranges(records, CHUNK_SIZE)):
            result.checked += checked
            result.bad += bad
            if on_progress:
                on_progress(result.checked)
    return result


class _Checker:
    """Checks a range of ids: `(after, until)` in, `(how many, Faults)` out."""

    def __init__(self, keys):
        self.keys = keys

    def __call__(self, ids):
        try:
            return self._check(ids)
        except OperationalError:  # not even text, or a passing trouble
            with tolerate_invalid_utf8():
                return self._check(ids)

    def _check(self, ids):
        records = list(database.filter_id_range(ConnectionAuth.all_objects.all(), *ids))
        if not records:
            return 0, []
        around = {"record__gte": records[0].pk, "record__lte": records[-1].pk}
        fingerprints, former = _stored_fingerprints(**around), defaultdict(list)
        for held in FormerVersion.objects.filter(**around).order_by("version"):
            former[held.record_id].append(held)
        bad = []
        for record in records:
            faults = record_faults(record, fingerprints[record.pk], self.keys)
            if faults:  # or it was saved after it was read, and before its fingerprints were
                faults = self._recheck(record.pk)
            faults += [
                (f"former version {held.version}", code)
                for held in former[record.pk]
                if (code := _former_version_fault(held))
            ]
            bad += [Fault(str(record.pk), record.connection_id, *fault) for fault in faults]
        return len(records), bad

    def _recheck(self, pk):
        """The faults of a record that nobody saved while we looked."""
        records = ConnectionAuth.all_objects.filter(pk=pk)
        while record := records.first():
            fingerprints = _stored_fingerprints(record=pk)[pk]
            if records.filter(version=record.version).exists():
                return record_faults(record, fingerprints, self.keys)
        return []
