"""The keys: where they come from, whether they are any good, and sealing and opening with them.

This is the only module that knows Fernet. A sealed value is a standard Fernet token under the
newest of FERNET_KEYS whose plaintext is `<binding>\\n<value>`; the binding names the place the
value belongs to (`<record id>/<field>`), so a token that is copied elsewhere does not open there.
"""

import base64
import binascii
import hashlib
import secrets
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError, ProgrammingError, transaction

from connections.encryption import tokens

KEYLESS_COMMANDS = {"help", "version", "generate_key", "makemigrations", "collectstatic"}
GENERATE_KEY_HINT = "make one with `python manage.py generate_key`"


class KeyringError(Exception):
    """The keys can't be used. One sentence: `what` is wrong, and what to do (`remedy`)."""

    def __init__(self, what, remedy):
        self.what, self.remedy = what, remedy
        super().__init__(f"{what}: {remedy}.")


class SealError(Exception):
    """A value does not open, or must not be stored. Never carries the value."""


class MisplacedError(SealError):
    """A value opens, but was sealed for another place."""


def generate_key():
    """A new random key, as text fit for FERNET_KEYS."""
    while True:
        key = Fernet.generate_key().decode()
        if not _is_weak(base64.urlsafe_b64decode(key)):
            return key


def _is_weak(raw):
    """Whether 32 bytes look typed or made up: all printable, or few different ones.

    Random bytes fall under either with a probability below 10**-11.
    """
    return all(32 <= byte < 127 for byte in raw) or len(set(raw)) < 16


def _check_key(key, position):
    try:
        raw = base64.b64decode(key, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != 32 or base64.urlsafe_b64encode(raw).decode() != key or _is_weak(raw):
        what = f"Key {position} in FERNET_KEYS is not a key that `generate_key` made"
        raise KeyringError(what, GENERATE_KEY_HINT)


def _keys_from_secret_key(secret_key):
    """SECRET_KEY as a key: as it is, from the other alphabet, and hashed as in many recipes."""
    other = secret_key.translate(str.maketrans("+/", "-_")).rstrip("=") + "="
    hashed = hashlib.sha256(secret_key.encode(errors="surrogateescape")).digest()
    return {secret_key, other, base64.urlsafe_b64encode(hashed).decode()}


@lru_cache(maxsize=8)
def _build_ring(keys, secret_key):
    """The checked MultiFernet for a tuple of keys. Cached by value: a changed setting counts."""
    if not keys:
        raise KeyringError("FERNET_KEYS is not set", f"{GENERATE_KEY_HINT} and put it there")
    forbidden = _keys_from_secret_key(secret_key)
    for position, key in enumerate(keys, 1):
        if not key:
            what = f"Key {position} in FERNET_KEYS is empty"
            raise KeyringError(what, "put a key there, or take the comma out")
        if key in forbidden:
            what = f"Key {position} in FERNET_KEYS equals SECRET_KEY or is made of it"
            raise KeyringError(what, GENERATE_KEY_HINT)
        _check_key(key, position)
    if len(set(keys)) != len(keys):
        raise KeyringError("FERNET_KEYS names one key twice", "leave each key in once")
    return MultiFernet([Fernet(key) for key in keys])


def _current_ring():
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


_verified = {}  # ring -> the stored proof that it opened (or made) in this process


def require_keys():
    """Raise KeyringError unless the keys are there, well-made, and fit what is stored.

    The first time keys are used with a database, a proof is sealed and stored; from then on,
    keys of which none opens the proof are refused. Without a table yet (before the first
    `migrate`) or without a database there is nothing to compare with, and the keys pass.
    """
    ring = _current_ring()
    if ring in _verified:
        return
    try:
        with transaction.atomic():
            token = _get_or_create_stored_key("proof", lambda: "proof")
    except (OperationalError, ProgrammingError):
        return
    try:
        _decrypt(ring, token)
    except InvalidToken:
        raise KeyringError(
            "None of the keys in FERNET_KEYS opens what is stored in this database",
            "bring back the key that sealed it, after the newer ones",
        ) from None
    _verified[ring] = token


def newest_key_since():
    """When the newest key came into use (aware datetime, UTC): the proof is sealed under it then.

    That is at the first start, or at the rotation that brought the key in; None before that.
    """
    newest, token = key_ids()[0], _verified.get(_verified_ring())
    if token is None or key_id_for(token) != newest:  # another process may have rotated since
        token = _get_or_create_stored_key("proof", lambda: "proof")
    return tokens.sealed_at(token) if key_id_for(token) == newest else None


def may_run_without_keys(argv):
    """Whether a command line may run without keys: to get some, and to make the database.

    `migrate` may until keys were used with the database; from then on it takes the right ones.
    """
    command = argv[1] if len(argv) > 1 else ""
    if command in KEYLESS_COMMANDS or {"-h", "--help"} & {*argv[1:]}:
        return True
    return command == "migrate" and not _has_proof()


def _has_proof():
    try:
        with transaction.atomic():
            return apps.get_model("connections", "StoredKey").objects.filter(name="proof").exists()
    except (OperationalError, ProgrammingError):
        return False


def _get_or_create_stored_key(name, make):
    """The token of a row in StoredKey; the row is sealed and stored first where there is none."""
    rows = apps.get_model("connections", "StoredKey").objects
    found = rows.filter(name=name).values_list("token", flat=True).first()
    if found is None:
        token = _encrypt(_current_ring(), f"key/{name}", make())
        try:
            with transaction.atomic():
                rows.create(name=name, token=token)
            return token
        except IntegrityError:  # another process was first; its row counts
            found = rows.values_list("token", flat=True).get(name=name)
    return found


def digest_key():
    """The key (32 bytes) of content digests. Random, stored sealed, outlives key rotation."""
    return _random_key("digest")


def fingerprint_key():
    """The key (32 bytes) of fingerprints of secrets, likewise."""
    return _random_key("fingerprint")


def audit_key():
    """The key (32 bytes) of the audit log's chain, likewise."""
    return _random_key("audit")


def _random_key(name):
    token = _get_or_create_stored_key(name, lambda: secrets.token_hex(32))
    return bytes.fromhex(_unseal(token, f"key/{name}"))


@lru_cache(maxsize=16)
def key_id(key):
    """The short public name (8 hex digits) of one of FERNET_KEYS: tells keys apart, no more."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def key_ids():
    """The names of the keys, newest first."""
    return [key_id(key) for key in settings.FERNET_KEYS]


def key_id_for(token):
    """The name of the key that made a token, by its signature; None where none of ours did."""
    _verified_ring()
    for key in settings.FERNET_KEYS:
        try:
            _fernet(key).extract_timestamp(token)
            return key_id(key)
        except (InvalidToken, TypeError, ValueError):
            pass
    return None


def oldest_key_id_for(tokens):
    """The name of the oldest of our keys that made any of these tokens; "" where none did any."""
    return oldest_key_id({key_id_for(token) for token in tokens})


def oldest_key_id(names):
    """Which of these names of keys is the oldest; "" where none is ours."""
    return next((name for name in reversed(key_ids()) if name in names), "")


@lru_cache(maxsize=16)
def _fernet(key):
    return Fernet(key)


def reseal(token, binding):
    """The token of the same value under the newest key. Raises SealError if it does not open."""
    return seal(unseal(token, binding), binding)


class Resealer:
    """reseal() of many tokens, with the keys of now."""

    def __init__(self):
        _verified_ring()
        self._keys = [(key_id(key), _fernet(key)) for key in settings.FERNET_KEYS]
        self._newest = self._keys[0]

    def __call__(self, token, binding):
        """The name of the key that made a token, and the token under the newest.

        The name is None where no key of ours did; the token is None where it does not open. One
        under the newest key comes back as it is, unopened.
        """
        newest, fernet_of_newest = self._newest
        for place, (name, fernet) in enumerate(self._keys):
            try:
                if name == newest:
                    fernet.extract_timestamp(token)
                    return name, token
                plaintext = fernet.decrypt(token)
            except (InvalidToken, TypeError, ValueError):
                continue
            self._keys.insert(0, self._keys.pop(place))  # likely the key of the next one, too
            is_in_place = plaintext.startswith(binding.encode() + b"\n")
            return name, fernet_of_newest.encrypt(plaintext).decode() if is_in_place else None
        return None, None


def reseal_stored_keys(dry_run=False):
    """Seal our own keys and the proof under the newest key, in one transaction.

    Returns the names of those that were (or would be) sealed anew, and of those that don't open.
    """
    rows = apps.get_model("connections", "StoredKey").objects
    newest, old, bad = key_ids()[0], [], []
    with transaction.atomic():
        for row in rows.select_for_update().order_by("name"):
            if key_id_for(row.token) == newest:
                continue
            try:
                row.token = reseal(row.token, f"key/{row.name}")
            except SealError:
                bad.append(row.name)
                continue
            old.append(row.name)
            if not dry_run:
                row.save(update_fields=["token"])
    return old, bad


def _encrypt(ring, binding, text):
    try:
        plaintext = f"{binding}\n{text}".encode()
    except UnicodeEncodeError:  # its `object` is the secret: do not chain it
        raise SealError("The value holds a lone surrogate, which is no text.") from None
    return ring.encrypt(plaintext).decode()


def _decrypt(ring, token):
    try:
        return ring.decrypt(token)
    except (TypeError, ValueError):
        raise InvalidToken from None


def _verified_ring():
    ring = _current_ring()
    if ring not in _verified:
        require_keys()
    return ring


def seal(text, binding):
    """Seal `text` for the place that `binding` names. Returns a Fernet token as text."""
    return _encrypt(_verified_ring(), binding, text)


class Sealer:
    """seal() of many values, with the keys of now."""

    def __init__(self):
        self._ring = _verified_ring()

    def __call__(self, text, binding):
        return _encrypt(self._ring, binding, text)


def unseal(token, binding):
    """Open a token. Raises SealError where no key fits, it is damaged, or belongs elsewhere."""
    return _unseal(token, binding)


def _unseal(token, binding):
    """What unseal() does, for keys of our own too: those are nobody's secret to account for."""
    ring = _verified_ring()
    try:
        plaintext = _decrypt(ring, token)
    except InvalidToken:
        raise SealError("No key that we have opens this value, or it is damaged.") from None
    bound, separator, text = plaintext.partition(b"\n")
    if not separator or bound != binding.encode():
        raise MisplacedError("This value was sealed for another record or field.")
    return text.decode()


def seal_bytes(data, binding):
    """Seal bytes (a chunk of a file); `unseal_bytes` opens them."""
    return _verified_ring().encrypt(binding.encode() + b"\n" + data)


def unseal_bytes(token, binding):
    """Open what `seal_bytes` made. Raises SealError."""
    try:
        plaintext = _decrypt(_verified_ring(), bytes(token))
    except InvalidToken:
        raise SealError("No key that we have opens this chunk, or it is damaged.") from None
    bound, _, data = plaintext.partition(b"\n")
    if bound != binding.encode():
        raise MisplacedError("This chunk was sealed for another place.")
    return data


def is_authentic(token):
    """Whether one of our keys made this token. Checks its signature; opens nothing."""
    try:
        _verified_ring().extract_timestamp(token)
    except (InvalidToken, TypeError, ValueError):
        return False
    return True
