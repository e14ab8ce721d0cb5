"""The ring of keys in FERNET_KEYS: checked, and used to seal and to open.

Needs no database and can be imported before `django.setup()`. A sealed value is a standard Fernet
token under the newest key whose plaintext is `<binding>\\n<value>`. The binding names the place
that the value belongs to (`<record id>/<field>`), so a token copied to another place does not open
there.
"""

import base64
import hashlib
from collections.abc import Collection, Iterable
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

GENERATE_KEY_HINT = "make one with `python manage.py generate_key`"


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

    def unseal(self, token: str | bytes, binding: str) -> str:
        """The text in a token. Raises SealError; UnicodeDecodeError if it is not UTF-8."""
        return self.unseal_bytes(token, binding).decode()

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
    """Whether a key is 32 bytes in canonical base64url that look random."""
    try:
        raw = base64.b64decode(key, altchars=b"-_", validate=True)
    except ValueError:
        return False
    is_canonical = base64.urlsafe_b64encode(raw).decode() == key
    return len(raw) == 32 and is_canonical and not _is_weak(raw)


def _is_weak(raw: bytes) -> bool:
    """Whether 32 bytes look typed or made up: all of them printable, or few different ones.

    Random bytes do with a probability below 10**-11.
    """
    return all(32 <= byte < 127 for byte in raw) or len(set(raw)) < 16
