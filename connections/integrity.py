"""Whether what is stored is what was put there: values open where they are, and digests fit.

The digest of a record covers its whole auth object, endpoints included: whoever changes one
straight in the database can't make the digest that belongs to it.
"""

from dataclasses import dataclass, field

from . import keyring, parallel
from .derivation import content_digest, identity_digest, token_url_digest
from .keyring import MisplacedError, SealError
from .models import ConnectionAuth, Integration

CHUNK = 500  # records that are checked at a time
CODES = {
    "does_not_open": "No key that we have opens this value, or it is damaged.",
    "misplaced": "This value was sealed for another record or field.",
    "content_changed": "The auth object is not the one that was stored here.",
    "identity_changed": "The integration or environment is not the one that was stored here.",
    "no_digest": "There is no digest to compare with; save it again to make one.",
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
class Result:
    checked: int = 0
    bad: list = field(default_factory=list)  # of Faults


class TamperedError(Exception):
    """A record is not what was stored; `faults` are `(field, code)`. Nothing may be sent by it."""

    def __init__(self, faults):
        self.faults = faults
        super().__init__("; ".join(f"{name}: {CODES[code]}" for name, code in faults))


def require(record):
    """Raise TamperedError unless a record is what was stored.

    To be asked before anything of it is sent to one of its endpoints.
    """
    if faults := faults_of(record, keyring.digest_key()):
        raise TamperedError(faults)
    if record.integration and (faults := integration_faults(record.integration)):
        raise TamperedError(faults)


def faults_of(record, digest_key):
    """What is wrong with a record: a list of `(field, code)`. Opens all its values."""
    auth, unreadable = record.open_auth()
    if unreadable:
        return [(name, _why_closed(getattr(record, name))) for name in unreadable]
    if record.content_digest is None:
        return [("content_digest", "no_digest")]
    if record.content_digest != content_digest(auth, digest_key):
        return [("content_digest", "content_changed")]
    identity = None
    if record.connection_id is None:
        place = (record.integration_id, record.environment)
        identity = identity_digest(record.content_digest, *place, digest_key)
    return [] if record.identity_digest == identity else [("identity_digest", "identity_changed")]


def _why_closed(sealed):
    try:
        sealed.reveal()
    except MisplacedError:
        return "misplaced"
    except SealError:
        pass
    return "does_not_open"


def integration_faults(integration, digest_key=None):
    """What is wrong with the token address of an integration: a list of `(field, code)`."""
    wanted = token_url_digest(integration, digest_key or keyring.digest_key())
    if integration.token_url_digest == wanted:
        return []
    has_none = integration.token_url_digest is None
    return [("token_url", "no_digest" if has_none else "token_url_changed")]


def verify(jobs=1, on_progress=None):
    """Check every record, also in the bin, and every integration. Returns a Result.

    `jobs` processes open and compare; `on_progress(checked)` is called now and then.
    """
    digest_key = keyring.digest_key()
    result = Result()
    for integration in Integration.objects.order_by("pk"):
        for name, code in integration_faults(integration, digest_key):
            result.bad.append(Fault(str(integration.pk), integration.type, name, code))
    records = ConnectionAuth.all_objects.order_by("id")
    processes = parallel.processes(jobs, records.count()) if jobs > 1 else 1
    with parallel.workers(_Checker(digest_key), processes) as in_order:
        for checked, bad in in_order(parallel.id_ranges(records, CHUNK)):
            result.checked += checked
            result.bad += bad
            if on_progress:
                on_progress(result.checked)
    return result


class _Checker:
    """Checks a range of ids: `(after, until)` in, `(how many, Faults)` out."""

    def __init__(self, digest_key):
        self.digest_key = digest_key

    def __call__(self, ids):
        records = list(parallel.in_range(ConnectionAuth.all_objects.all(), *ids))
        return len(records), [
            Fault(str(record.pk), record.connection_id, name, code)
            for record in records
            for name, code in faults_of(record, self.digest_key)
        ]
