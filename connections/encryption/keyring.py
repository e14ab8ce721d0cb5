"""The keys in FERNET_KEYS: checked, compared with the database, and used to seal and to open.

Can be imported before `django.setup()`. A sealed value is a standard Fernet token under the newest
key whose plaintext is `<binding>\\n<value>`. The binding names the place that the value belongs to
(`<record id>/<field>`), so a token copied to another place does not open there.

The table StoredKey holds keys of our own, sealed (`digest`, `fingerprint`, `audit`), and the
`proof` that FERNET_KEYS fit the database.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError, ProgrammingError, connection, transaction
from django.db.models import Manager, Model

GENERATE_KEY_HINT = "make one with `python manage.py generate_key`"
KEYLESS_COMMANDS = {"help", "version", "generate_key", "makemigrations", "collectstatic"}


class KeyringError(Exception):
    """The keys can't be used. Its message is one sentence: the problem, and the remedy."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(f"{problem}: {remedy}.")


class SealError(Exception):
    """A value does not open, or must not be stored. Never carries the value."""


class MisplacedError(SealError):
    """A value opens, but was sealed for another place."""


def generate_key() -> str:
    """A new random key, as text fit for FERNET_KEYS."""
    return Fernet.generate_key().decode()


@lru_cache(maxsize=16)
def key_id(key: str) -> str:
    """The public id (8 hex digits) of a key: tells keys apart and reveals nothing about them."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def key_ids() -> list[str]:
    """The ids of the keys in FERNET_KEYS, newest first."""
    return [key_id(key) for key in settings.FERNET_KEYS]


def oldest_key_id(ids: Collection[str | None]) -> str:
    """Which of these key ids is the oldest in FERNET_KEYS; "" if none of them is in there."""
    return next((own_id for own_id in reversed(key_ids()) if own_id in ids), "")


class Ring:
    """Keys that were checked. The first one seals, each of them opens."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.fernets = [(key_id(key), Fernet(key)) for key in keys]
        self._multi = MultiFernet([fernet for _, fernet in self.fernets])

    def seal(self, text: str, binding: str) -> str:
        """The token of a text, for the place that `binding` names."""
        try:
            data = text.encode()
        except UnicodeEncodeError:  # its `object` is the secret: do not chain it
            raise SealError("The value holds a lone surrogate, which is no text.") from None
        return self.seal_bytes(data, binding).decode()

    def seal_bytes(self, data: bytes, binding: str) -> bytes:
        """The token of some bytes, for the place that `binding` names."""
        return self._multi.encrypt(binding.encode() + b"\n" + data)

    def unseal_bytes(self, token: str | bytes, binding: str) -> bytes:
        """The bytes in a token. Raises SealError."""
        try:
            plaintext = self._multi.decrypt(token)
        except (InvalidToken, TypeError, ValueError):
            raise SealError("No key that we have opens this value, or it is damaged.") from None
        sealed_for, separator, data = plaintext.partition(b"\n")
        if not separator or sealed_for != binding.encode():
            raise MisplacedError("This value was sealed for another record or field.")
        return data

    def key_id_for(self, token: str | bytes) -> str | None:
        """The id of the key that made a token, by its signature; None if none of these did."""
        for own_id, fernet in self.fernets:
            try:
                fernet.extract_timestamp(token)
                return own_id
            except (InvalidToken, TypeError, ValueError):
                pass
        return None


def current_ring() -> Ring:
    """The ring of the keys in FERNET_KEYS. Raises KeyringError if they are not good ones."""
    keys = getattr(settings, "FERNET_KEYS", None) or ()
    if isinstance(keys, (str, bytes)):
        raise KeyringError("FERNET_KEYS must be a list of keys, not one text", "see .env.example")
    try:
        secret_key = settings.SECRET_KEY.strip()
    except ImproperlyConfigured:
        secret_key = ""
    if not secret_key:
        raise KeyringError(
            "SECRET_KEY is not set",
            "put a long random text there; `python manage.py generate_key` prints one",
        )
    return _build_ring(tuple(keys), secret_key)


@lru_cache(maxsize=8)
def _build_ring(keys: tuple[str, ...], secret_key: str) -> Ring:
    """The checked ring of these keys. Cached by value, so that a changed setting counts."""
    if not keys:
        raise KeyringError("FERNET_KEYS is not set", f"{GENERATE_KEY_HINT} and put it there")
    forbidden = _keys_from_secret_key(secret_key)
    for position, key in enumerate(keys, 1):
        name = f"Key {position} in FERNET_KEYS"
        if not key:
            raise KeyringError(f"{name} is empty", "put a key there, or take the comma out")
        if key in forbidden:
            raise KeyringError(f"{name} equals SECRET_KEY or is made of it", GENERATE_KEY_HINT)
        if not _is_good(key):
            problem = f"{name} is not a key that `generate_key` made"
            raise KeyringError(problem, GENERATE_KEY_HINT)
    if len(set(keys)) != len(keys):
        raise KeyringError("FERNET_KEYS names one key twice", "leave each key in once")
    return Ring(keys)


def _keys_from_secret_key(secret_key: str) -> set[str]:
    """SECRET_KEY as a key: as it is, in base64url, and hashed as many recipes do."""
    base64url = secret_key.translate(str.maketrans("+/", "-_")).rstrip("=") + "="
    hashed = hashlib.sha256(secret_key.encode(errors="surrogateescape")).digest()
    return {secret_key, base64url, base64.urlsafe_b64encode(hashed).decode()}


def _is_good(key: str) -> bool:
    """Whether a key is 32 bytes in canonical base64url that look random.

    Bytes that are all printable, or of which few differ, look typed or made up. Random ones do
    with a probability below 10**-11.
    """
    try:
        raw = base64.b64decode(key, altchars=b"-_", validate=True)
    except ValueError:
        return False
    is_canonical = base64.urlsafe_b64encode(raw).decode() == key
    is_weak = all(32 <= byte < 127 for byte in raw) or len(set(raw)) < 16
    return len(raw) == 32 and is_canonical and not is_weak


_rows: Manager[Any]  # of the model StoredKey, which connections.models hands down
_verified: dict[Ring, str] = {}  # ring -> the stored proof that it opened (or made) here


def use_table(model: type[Model]) -> None:
    """Store the keys in this model, which has a `name` and a `token`."""
    global _rows
    _rows = model._default_manager


def require_keys() -> Ring:
    """The keys in FERNET_KEYS. Raises KeyringError unless they are good and fit what is stored.

    The first time that keys are used with a database, a proof is sealed and stored. From then on,
    keys of which none opens the proof are refused. Before the first `migrate`, or without a
    database, there is nothing to compare with, and the keys pass.
    """
    ring = current_ring()
    if ring in _verified:
        return ring
    try:
        with transaction.atomic():
            token = _get_or_create("proof", lambda: "proof")
    except (OperationalError, ProgrammingError):
        return ring
    try:
        ring.unseal_bytes(token, "key/proof")
    except SealError:
        raise KeyringError(
            "None of the keys in FERNET_KEYS opens what is stored in this database",
            "bring back the key that sealed it, after the newer ones",
        ) from None
    _verified[ring] = token
    return ring


def may_run_without_keys(argv: Sequence[str]) -> bool:
    """Whether a command line may run without keys: to make some, and to create the database.

    `migrate` may until keys were used with the database; from then on it takes the right ones.
    """
    command = argv[1] if len(argv) > 1 else ""
    if command in KEYLESS_COMMANDS or {"-h", "--help"} & {*argv[1:]}:
        return True
    if command != "migrate":
        return False
    try:
        with transaction.atomic():
            return not _rows.filter(name="proof").exists()
    except (OperationalError, ProgrammingError):
        return True


def newest_key_since() -> datetime | None:
    """When the newest key came into use (aware, UTC); None if it has not.

    The proof is sealed under it at the first start, or at the rotation that brought the key in.
    """
    ring = require_keys()
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
    reseal, old, bad = Resealer(), [], []
    with transaction.atomic():
        for row in _rows.select_for_update().order_by("name"):
            _, token = reseal(row.token, f"key/{row.name}")
            if token is None:
                bad.append(row.name)
            elif token != row.token:
                old.append(row.name)
                if not dry_run:
                    _rows.filter(pk=row.pk).update(token=token)
    return old, bad


def _random_key(name: str) -> bytes:
    token = _get_or_create(name, lambda: secrets.token_hex(32))
    return bytes.fromhex(require_keys().unseal_bytes(token, f"key/{name}").decode())


def _get_or_create(name: str, make_text: Callable[[], str]) -> str:
    """The token of a stored key; if there is none, `make_text()` is sealed and stored first."""
    token = _stored_token(name)
    if token is None:
        token = current_ring().seal(make_text(), f"key/{name}")
        try:
            with transaction.atomic():
                _rows.create(name=name, token=token)
        except IntegrityError:  # another process was first: its row counts
            token = str(_rows.values_list("token", flat=True).get(name=name))
    return token


def _stored_token(name: str) -> str | None:
    # Each save and each entry of the audit log asks: to build a QuerySet would take ten times as
    # long as the query.
    with connection.cursor() as cursor:
        table = _rows.model._meta.db_table
        cursor.execute(f'SELECT token FROM "{table}" WHERE name = %s', [name])  # noqa: S608
        row = cursor.fetchone()
    return str(row[0]) if row else None


def seal(text: str, binding: str) -> str:
    """Seal a text for the place that `binding` names. Returns a Fernet token as text."""
    return require_keys().seal(text, binding)


def unseal(token: str | bytes, binding: str) -> str:
    """Open a token. Raises SealError if no key fits, it is damaged, or it belongs elsewhere.

    Raises UnicodeDecodeError if it holds bytes that are no text.
    """
    return require_keys().unseal_bytes(token, binding).decode()


def seal_bytes(data: bytes, binding: str) -> bytes:
    """Seal bytes (a chunk of a file); `unseal_bytes` opens them."""
    return require_keys().seal_bytes(data, binding)


def unseal_bytes(token: bytes | memoryview, binding: str) -> bytes:
    """Open what `seal_bytes` made. Raises SealError."""
    return require_keys().unseal_bytes(bytes(token), binding)


def key_id_for(token: str | bytes) -> str | None:
    """The id of the key that made a token, by its signature alone; None if none of ours did."""
    return require_keys().key_id_for(token)


class Resealer:
    """Seals tokens anew under the newest key, with the keys as they are now."""

    def __init__(self) -> None:
        self._fernets = list(require_keys().fernets)
        self._newest = self._fernets[0]

    def __call__(self, token: str | bytes, binding: str) -> tuple[str | None, str | bytes | None]:
        """The id of the key that made a token, and the token under the newest key.

        The id is None if no key of ours made it; the token is None if it does not open. A token
        under the newest key comes back as it is, unopened.
        """
        newest_id, newest_fernet = self._newest
        for position, (own_id, fernet) in enumerate(self._fernets):
            try:
                if own_id == newest_id:
                    fernet.extract_timestamp(token)
                    return own_id, token
                plaintext = fernet.decrypt(token)
            except (InvalidToken, TypeError, ValueError):
                continue
            # Likely the key of the next token, too.
            self._fernets.insert(0, self._fernets.pop(position))
            is_in_place = plaintext.startswith(binding.encode() + b"\n")
            return own_id, newest_fernet.encrypt(plaintext).decode() if is_in_place else None
        return None, None
