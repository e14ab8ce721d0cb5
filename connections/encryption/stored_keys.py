"""Keys of our own, stored sealed under FERNET_KEYS, and the proof that FERNET_KEYS fit them.

The table StoredKey holds one row for each: `digest`, `fingerprint`, `audit`, and the `proof`.
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from django.db import IntegrityError, OperationalError, ProgrammingError, transaction
from django.db.models import Manager, Model

from connections.encryption.ring import KeyringError, Ring, SealError, current_ring

KEYLESS_COMMANDS = {"help", "version", "generate_key", "makemigrations", "collectstatic"}

_rows: Manager[Any]  # of the model StoredKey, which connections.models hands down
_verified: dict[Ring, str] = {}  # ring -> the stored proof that it opened (or made) here


def use_table(model: type[Model]) -> None:
    """Store the keys in this model, which has a `name` and a `token`."""
    global _rows
    _rows = model._default_manager


def require_keys() -> None:
    """Raise KeyringError unless the keys are set, well-made, and fit what is stored.

    The first time that keys are used with a database, a proof is sealed and stored. From then on,
    keys of which none opens the proof are refused. Before the first `migrate`, or without a
    database, there is nothing to compare with, and the keys pass.
    """
    ring = current_ring()
    if ring in _verified:
        return
    try:
        with transaction.atomic():
            token = _get_or_create("proof", lambda: "proof")
    except (OperationalError, ProgrammingError):
        return
    try:
        ring.unseal(token, "key/proof")
    except SealError:
        raise KeyringError(
            "None of the keys in FERNET_KEYS opens what is stored in this database",
            "bring back the key that sealed it, after the newer ones",
        ) from None
    _verified[ring] = token


def verified_ring() -> Ring:
    """The ring of the keys in FERNET_KEYS, after require_keys()."""
    require_keys()
    return current_ring()


def may_run_without_keys(argv: Sequence[str]) -> bool:
    """Whether a command line may run without keys: to make some, and to create the database.

    `migrate` may until keys were used with the database; from then on it takes the right ones.
    """
    command = argv[1] if len(argv) > 1 else ""
    if command in KEYLESS_COMMANDS or {"-h", "--help"} & {*argv[1:]}:
        return True
    return command == "migrate" and not _has_proof()


def newest_key_since() -> datetime | None:
    """When the newest key came into use (aware, UTC); None if it has not.

    The proof is sealed under it at the first start, or at the rotation that brought the key in.
    """
    ring = verified_ring()
    newest, fernet = ring.fernets[0]
    token = _verified.get(ring)
    if token is None or ring.key_id_for(token) != newest:  # another process may have rotated since
        token = _get_or_create("proof", lambda: "proof")
    if ring.key_id_for(token) != newest:
        return None
    return datetime.fromtimestamp(fernet.extract_timestamp(token), timezone.utc)


def digest_key() -> bytes:
    """The key (32 random bytes) of content digests. It stays the same when keys are rotated."""
    return _random_key("digest")


def fingerprint_key() -> bytes:
    """The key (32 random bytes) of fingerprints of secrets, likewise."""
    return _random_key("fingerprint")


def audit_key() -> bytes:
    """The key (32 random bytes) of the audit log's chain, likewise."""
    return _random_key("audit")


def reseal_stored_keys(dry_run: bool = False) -> tuple[list[str], list[str]]:
    """Seal our own keys and the proof under the newest key, in one transaction.

    Returns the names of those that were (or would be) sealed anew, and of those that don't open.
    """
    ring, old, bad = verified_ring(), [], []
    newest = ring.fernets[0][0]
    with transaction.atomic():
        for row in _rows.select_for_update().order_by("name"):
            if ring.key_id_for(row.token) == newest:
                continue
            binding = f"key/{row.name}"
            try:
                row.token = ring.seal(ring.unseal(row.token, binding), binding)
            except SealError:
                bad.append(row.name)
                continue
            old.append(row.name)
            if not dry_run:
                row.save(update_fields=["token"])
    return old, bad


def _has_proof() -> bool:
    try:
        with transaction.atomic():
            return _rows.filter(name="proof").exists()
    except (OperationalError, ProgrammingError):
        return False


def _random_key(name: str) -> bytes:
    token = _get_or_create(name, lambda: secrets.token_hex(32))
    return bytes.fromhex(verified_ring().unseal(token, f"key/{name}"))


def _get_or_create(name: str, make_text: Callable[[], str]) -> str:
    """The token of a stored key; if there is none, `make_text()` is sealed and stored first."""
    token: str | None = _rows.filter(name=name).values_list("token", flat=True).first()
    if token is None:
        token = current_ring().seal(make_text(), f"key/{name}")
        try:
            with transaction.atomic():
                _rows.create(name=name, token=token)
        except IntegrityError:  # another process was first: its row counts
            token = _rows.values_list("token", flat=True).get(name=name)
    return token
