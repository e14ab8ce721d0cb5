"""Sealing and opening with the current keys: what the rest of the project calls."""

from cryptography.fernet import InvalidToken

from connections.encryption.stored_keys import verified_ring


def seal(text: str, binding: str) -> str:
    """Seal a text for the place that `binding` names. Returns a Fernet token as text."""
    return verified_ring().seal(text, binding)


def unseal(token: str | bytes, binding: str) -> str:
    """Open a token. Raises SealError if no key fits, it is damaged, or it belongs elsewhere."""
    return verified_ring().unseal(token, binding)


def reseal(token: str | bytes, binding: str) -> str:
    """The token of the same value under the newest key. Raises SealError if it does not open."""
    return seal(unseal(token, binding), binding)


def seal_bytes(data: bytes, binding: str) -> bytes:
    """Seal bytes (a chunk of a file); `unseal_bytes` opens them."""
    return verified_ring().seal_bytes(data, binding)


def unseal_bytes(token: bytes | memoryview, binding: str) -> bytes:
    """Open what `seal_bytes` made. Raises SealError."""
    return verified_ring().unseal_bytes(bytes(token), binding)


def key_id_for(token: str | bytes) -> str | None:
    """The id of the key that made a token, by its signature alone; None if none of ours did."""
    return verified_ring().key_id_for(token)


class Resealer:
    """reseal() for many tokens, with the keys as they are now."""

    def __init__(self) -> None:
        self._fernets = list(verified_ring().fernets)
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
