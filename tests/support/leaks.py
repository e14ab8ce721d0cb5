"""Secrets that are recognisable however they are spelled, and what finds them again."""

import base64
import html
import json
import re

from connections.models import SEALED_COLUMNS

# Both ends of every secret: a mask that shows the last digits shows too much.
BEGIN, END = "synthBegin7Kq2", "synthEndWz94"
CORES = (BEGIN, END)


def secret(name):
    """A value that is spelled differently in JSON, HTML, an address and a repr."""
    return f"{BEGIN}-{name}-\"<é&'\\% >-{END}"


def _claims():
    payload = base64.urlsafe_b64encode(json.dumps({"exp": 1900000000, "sub": BEGIN}).encode())
    return f"eyJhbGciOiJub25lIn0.{payload.decode().rstrip('=')}.{END}"


TEXTS = {name: secret(name) for name in SEALED_COLUMNS} | {"access_token": _claims()}
VALUES = {
    **TEXTS,
    "emails": [f"{BEGIN}@{END}.example", "b@example.com"],
    "other_auth_info": [secret("first"), secret("second")],
    "meta": {secret("key"): {"deep": [secret("value")]}},
    "extra": {"auth": {BEGIN: secret("extra")}},
}
AUTH = {
    "accessToken": TEXTS["access_token"],
    "refreshToken": secret("refresh"),
    "otherAuthInfo": VALUES["other_auth_info"],
    "emails": VALUES["emails"],
    "meta": VALUES["meta"],
    "pem": f"-----BEGIN PRIVATE KEY-----\r\n{BEGIN}\r\n{END}-----END PRIVATE KEY-----",
    "neverHeardOf": {secret("key"): secret("value")},
    "name": "Acorn Ltd",
}


_OF_OTHER_TYPES = (
    "expiresIn",
    "expiryDate",
    "emails",
    "meta",
    "otherAuthInfo",
    "refreshTokenExpiresIn",
)
# Files to import, good and bad, as bytes.
FILES = {
    "good": json.dumps([{"id": "c-1", "integrationType": "outside", "auth": AUTH}]),
    "odd": json.dumps(
        [
            {"id": "c-2", "auth": AUTH},
            {"id": "c-2", "auth": {**AUTH, "token": secret("twice")}},
            *({"id": f"d-{name}", "auth": {name: secret(name)}} for name in _OF_OTHER_TYPES),
            {"id": "c-3", "auth": {"accessToken": {"a": secret("nested")}}},
            {"id": "c-4", "auth": {"access_token": secret("a"), "accessToken": secret("b")}},
            {"id": "c-5", "auth": {"accessToken": f"{secret('nul')}\x00"}},
            {"id": "c-6", "auth": {"accessToken": "********", "unknown": secret("unknown")}},
            {"neverHeardOf": secret("alone")},
            secret("no object"),
        ]
    ),
    "truncated": json.dumps([{"auth": AUTH}])[:-9],
    "trailing": json.dumps([{"auth": AUTH}]) + secret("after it"),
    "no JSON": secret("text"),
    "bare keys": f"[{{accessToken: '{BEGIN}{END}'}}]",
    "lines": f'{{"token": "{BEGIN}"}}\n{BEGIN} {END}\n{{"token": "{END}"\n',
    "a text": json.dumps(secret("alone")),
    "NaN": f'[{{"token":"{BEGIN}{END}","a":NaN}}]',
    "a control character": f'[{{"token":"{BEGIN}{END}\x01"}}]',
    "single quotes": f"[{{'token': '{BEGIN}{END}'}}]",
    "HTML": f"<html>{html.escape(secret('page'))}</html>",
    "no UTF-8": secret("latin").encode("latin1"),
    "a number": f'[{{"auth": {{"token": {"1" * 5000}, "pem": "{BEGIN}{END}"}}}}]',
}
FILES = {name: text if isinstance(text, bytes) else text.encode() for name, text in FILES.items()}


def spellings(core):
    """What to look for: text and escapes leave letters as they are, base64 and hex do not."""
    data = core.encode()
    for shift in range(3):
        # What is whole of it, wherever it stands.
        text = base64.b64encode(b"x" * shift + data).decode().rstrip("=")
        yield text[-(-shift * 4 // 3) + 1 : -1] if shift else text[:-1]
    yield core
    yield data.hex()


def needles(*cores):
    """A pattern of all spellings."""
    return re.compile("|".join(re.escape(text) for core in cores for text in spellings(core)))


NEEDLES = needles(*CORES)


def leaks(text, pattern=NEEDLES):
    """What a text or bytes show of secrets: a list, in whichever spelling it was found."""
    return pattern.findall(text if isinstance(text, str) else text.decode("latin1"))
