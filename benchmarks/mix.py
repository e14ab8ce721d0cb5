"""Writes a file of made-up connections for the benchmarks: `python benchmarks/mix.py 60000 FILE`.

About 1.5 KB of JSON and 2.7 secrets a connection, every kind of auth object, ids in random order.
The same seed makes the same file. Every secret holds MARK, so that one can look for it on disk.
"""

import argparse
import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

MARK = "synthsecret"
NOW = datetime(2027, 1, 1)
CATEGORIES = "crm accounting hris ats ticketing storage messaging repo".split()
INTEGRATIONS = [f"system-{number}" for number in range(120)]
RENEWED = {"access_token", "refresh_token", "token", "key"}
COMPANIES = (
    "Bramblewood Care|Alder & Finch LLP|Bäckerei Größenwahn|株式会社あおぞら印刷|Mossgate Books"
).split("|")


def entries(count, seed=1):
    """Yield the connections, one dict at a time."""
    random = Random(seed)  # noqa: S311 (nothing here is secret)
    certificates = [_certificate(random, days) for days in range(20, 420, 20)]
    names, shares = zip(*KINDS.items(), strict=True)
    kinds = random.choices(names, [share for _, share in shares], k=1000)
    for number in range(count):
        kind = kinds[number % 1000] if number >= len(names) else names[number]  # one of each first
        yield _entry(random, number, kind, certificates)


def write(path, count, seed=1, lines=False):
    """Write a JSON array, or NDJSON where `lines`, in constant memory."""
    opening, separator, closing = ("", "\n", "\n") if lines else ("[\n", ",\n", "\n]\n")
    encode = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode
    with open(path, "w", encoding="utf-8") as file:
        for number, entry in enumerate(entries(count, seed)):
            file.write((separator if number else opening) + encode(entry))
        file.write(closing)


def renew(source, target, count):
    """Write the first connections of a file as they are a night later: every token another one."""
    entries = json.loads(Path(source).read_text())[:count]
    for entry in entries:
        auth = entry.get("auth", {})
        for name in RENEWED & auth.keys():
            auth[name] = auth[name][:-1] + ("A" if auth[name][-1] != "A" else "B")
    Path(target).write_text(json.dumps(entries, ensure_ascii=False))


def _entry(random, number, kind, certificates):
    integration = random.choice(INTEGRATIONS)
    category = CATEGORIES[len(integration) * number % len(CATEGORIES)]
    changed = NOW - timedelta(seconds=random.randrange(60 * 86400))
    made = {
        "id": f"{random.getrandbits(96):024x}",
        "created_at": _iso(changed - timedelta(days=random.randrange(700))),
        "updated_at": _iso(changed),
        "workspace_id": f"{random.randrange(40):024x}",
        "integration_type": integration,
        "integration_name": integration.title(),
        "external_xref": f"customer-{random.randrange(10**6)}",
        "permissions": [f"{category}_{part}_{verb}" for part in PARTS for verb in VERBS],
        "categories": [category],
        "environment": "Production" if random.random() < 0.7 else "Sandbox",
        "last_healthy_at": _iso(NOW - timedelta(seconds=random.randrange(86400))),
    }
    if random.random() < 0.1:
        made["is_paused"] = True
    auth = KINDS[kind][0](random, integration, changed, certificates)
    if not auth:
        return made
    auth["name"] = f"{random.choice(COMPANIES)} {number % 997}"
    if random.random() < 0.3:
        auth["emails"] = [f"{MARK}-{random.randrange(10**6)}@customer.example"]
    if random.random() < 0.2:
        auth["meta"] = {"region": "eu", "plan": random.randrange(9), "note": _secret(random, 30)}
    if random.random() < 0.02:
        auth["state"] = _secret(random, 18)
    made["auth"] = auth
    return made


PARTS = "contact company deal".split()
VERBS = "read write".split()


def _iso(moment):
    return moment.isoformat(timespec="seconds") + ".000Z"


def _secret(random, size):
    """A token of `size` random bytes."""
    return f"{MARK}-{base64.urlsafe_b64encode(random.randbytes(size)).decode()}"


def _jwt(random, ends):
    """Shaped like a JWT: header, claims with an `exp`, and something like a signature."""
    claims = f'{{"sub":"{random.randrange(10**9)}","exp":{int(ends.timestamp())},"scope":"'
    claims += base64.b64encode(random.randbytes(300)).decode() + '"}'
    body = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{body}.{_secret(random, 255)}"


def _client(random, integration):
    return {
        "api_url": f"https://api.{integration}.example/v1",
        "client_id": f"client-{random.getrandbits(64):016x}",
        "client_secret": _secret(random, 30),
        "token_url": f"https://login.{integration}.example/oauth/token",
    }


def _access(random, changed):
    """An access token, a JWT or opaque, and its end, as a date or as seconds."""
    lasts = random.randrange(3600, 90 * 86400)
    ends = changed + timedelta(seconds=lasts)
    token = _jwt(random, ends) if random.random() < 0.6 else _secret(random, 240)
    end = {"expires_in": lasts} if random.random() < 0.5 else {"expiry_date": _iso(ends)}
    return {"access_token": token, **end}


def _code_flow(random, integration, changed, _):
    lasts = random.randrange(30, 400)
    auth = {
        **_client(random, integration),
        **_access(random, changed),
        "authorize_url": f"https://login.{integration}.example/oauth/authorize",
        "refresh_token": _secret(random, 60),
    }
    if random.random() < 0.5:
        auth["refresh_token_expires_date"] = _iso(changed + timedelta(days=lasts))
    elif random.random() < 0.5:
        auth["refresh_token_expires_in"] = lasts * 86400
    return auth


def _client_credentials(random, integration, changed, _):
    return {**_client(random, integration), **_access(random, changed), "audience": "api"}


def _access_only(random, integration, changed, _):
    return {**_access(random, changed), "api_url": f"https://api.{integration}.example/v2"}


def _oauth1(random, integration, changed, _):
    return {
        "app_id": f"app-{random.randrange(10**6)}",
        "access_token": _secret(random, 40),
        "consumer_key": _secret(random, 24),
        "consumer_secret": _secret(random, 40),
        "expiry_date": _iso(changed + timedelta(days=random.randrange(1, 700))),
    }


def _api_key(random, integration, changed, _):
    auth = {"key": _secret(random, 30), "api_url": f"https://api.{integration}.example/v1"}
    return auth if random.random() < 0.7 else {**auth, "dev_api_key": _secret(random, 30)}


def _token(random, integration, changed, _):
    return {"token": _jwt(random, changed + timedelta(days=random.randrange(700)))}


def _mutual_tls(random, integration, changed, certificates):
    pem, key = random.choice(certificates)
    note = f"Bag Attributes\n    friendlyName: {_secret(random, 12)}\n"
    return {"pem": note + pem, "key": note + key, "api_url": f"https://mtls.{integration}.example"}


def _other(random, integration, changed, _):
    return {"other_auth_info": [_secret(random, size) for size in (9, 24, 12)], "user_id": "u-1"}


def _empty(random, integration, changed, _):
    return {}


KINDS = {  # name -> (function, share of a thousand)
    "code flow": (_code_flow, 480),
    "client credentials": (_client_credentials, 50),
    "access only": (_access_only, 100),
    "oauth1": (_oauth1, 60),
    "api key": (_api_key, 150),
    "token": (_token, 60),
    "certificate": (_mutual_tls, 35),
    "other": (_other, 60),
    "empty": (_empty, 5),
}


def _certificate(random, days):
    """A self-signed certificate (Ed25519, whose signatures are deterministic) and its key."""
    key = Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "synthetic.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(random.getrandbits(64) + 1)
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")] * 20), False)
        .sign(key, algorithm=None)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM).decode(), private.decode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ndjson", action="store_true")
    options = parser.parse_args()
    write(options.file, options.count, options.seed, options.ndjson)
