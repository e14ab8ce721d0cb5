"""What a Fernet token shows without any key, which is nothing of what is inside.

A token is base64url of a version byte, 8 bytes of time, 16 of IV, whole blocks of 16 bytes and 32
of HMAC (https://github.com/fernet/spec).
"""

import base64
from datetime import datetime, timezone

OVERHEAD = 1 + 8 + 16 + 32
# What every token begins with (version 0x80, and a time before 2106), and the least length of one.
# fields.IsToken asks the database for the same.
PREFIX, MIN_LENGTH = "gAAAAA", 100


def is_token(token: str) -> bool:
    """Whether a text has the form of a token: its prefix, and whole groups of base64."""
    return token.startswith(PREFIX) and len(token) >= MIN_LENGTH and len(token) % 4 == 0


def is_canonical(token: str) -> bool:
    """Whether a token is spelled as tokens are made; base64 decoders accept other spellings."""
    try:
        return base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode() == token
    except (TypeError, ValueError):
        return False


def sealed_at(token: str) -> datetime | None:
    """When a token was made (aware, UTC); None if it is not a token."""
    try:
        head = base64.urlsafe_b64decode(token[:12])
        return datetime.fromtimestamp(int.from_bytes(head[1:9], "big"), timezone.utc)
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def sealed_size(token: str, binding: str) -> int:
    """About how many bytes are inside a token (within 15, since Fernet pads)."""
    size = len(token) * 3 // 4 - OVERHEAD - 8 - len(binding) - 1
    return max(size, 1)
