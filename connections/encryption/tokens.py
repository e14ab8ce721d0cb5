"""Pure: what a sealed value shows without any key. Never what is inside.

A token is base64 of a version byte, 8 bytes of time, 16 of IV, whole blocks of 16 bytes and 32 of
HMAC (https://github.com/fernet/spec).
"""

import base64
from datetime import datetime, timezone

OVERHEAD = 1 + 8 + 16 + 32
# What every token begins with (version 0x80, a time before 2106), and its least length. fields
# asks the database the same.
PREFIX, MIN_LENGTH = "gAAAAA", 100


def is_canonical(token):
    """Whether a token is written as they are made: base64 is read with care for little."""
    try:
        return base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode() == token
    except (TypeError, ValueError):
        return False


def is_token(token):
    """Whether a text has the form of a token: its beginning, and whole groups of base64."""
    return token.startswith(PREFIX) and len(token) >= MIN_LENGTH and len(token) % 4 == 0


def sealed_at(token):
    """When a token was made (aware datetime, UTC), read off the token; None if it is no token."""
    try:
        head = base64.urlsafe_b64decode(token[:12])
        return datetime.fromtimestamp(int.from_bytes(head[1:9], "big"), timezone.utc)
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def sealed_size(token, binding):
    """About how many bytes are inside a token (within 15, since Fernet pads)."""
    inside = len(token) * 3 // 4 - OVERHEAD - 8 - len(binding) - 1
    return max(inside, 1)
