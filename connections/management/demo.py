"""Made-up connections to look around with: realistic in shape, synthetic in every value.

Record `n` is the same for the same moment, however many are made. All of them go through the
ordinary import, so they are stored as an import would store them.
"""

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from django.db import transaction

from connections.audit import log
from connections.encryption import keyring
from connections.expiry.deadlines import BUCKETS
from connections.import_export import importer
from connections.json_format.dates import iso
from connections.json_format.stream.sources import SpooledSource
from connections.models import ConnectionAuth, Integration

ID_PREFIX = "demo_"
ENTRIES_PER_CHUNK = 200  # entries

# How many of a hundred connections are in each bucket, and how many of the renewable are stale.
BUCKET_WEIGHTS = {"broken": 1.5, "day": 1, "week": 4, "month": 14, "later": 47, "no_end": 32.5}
STALE_PROBABILITY = 0.05


class StoreInUse(Exception):
    """The store holds records that are not ours."""


@dataclass(frozen=True)
class DemoIntegration:
    """An integration of the demo. `style` names the function that makes its auth objects."""

    type: str
    name: str
    category: str
    style: str
    share: int
    auth_type: str = "oauth2"
    token_names: tuple = ()
    has_jwt: bool = False


# In an order that shows every kind and every bucket in the first records (see _plan).
DEMO_INTEGRATIONS = (
    DemoIntegration("hubspot", "HubSpot", "crm", "refreshed", 25),
    DemoIntegration("salesforce", "Salesforce", "crm", "refreshed", 18),
    DemoIntegration("xero", "Xero", "accounting", "refreshed", 10),
    DemoIntegration("quickbooks", "QuickBooks", "accounting", "refreshed", 8),
    DemoIntegration("docusign", "DocuSign", "storage", "refreshed", 5, has_jwt=True),
    DemoIntegration("workday", "Workday", "hris", "client_credentials", 4),
    DemoIntegration("adp", "ADP", "hris", "certificate", 4, "other"),
    DemoIntegration("zendesk", "Zendesk", "ticketing", "access_only", 8),
    DemoIntegration("bamboohr", "BambooHR", "hris", "api_key", 9, "token"),
    DemoIntegration("netsuite", "NetSuite", "accounting", "oauth1", 6, "oauth1"),
    DemoIntegration("greenhouse", "Greenhouse", "ats", "api_key", 6, "token"),
    DemoIntegration("slack", "Slack", "messaging", "access_only", 4),
    DemoIntegration(
        "ukg", "UKG Pro", "hris", "other", 3, "other", ("User name", "Password", "Tenant")
    ),
    DemoIntegration("github", "GitHub", "repo", "token", 4, "token"),
)
STYLES_WITHOUT_END = {"client_credentials"}
STYLES_WITH_END = {"certificate"}

COMPANY_PLACES = (
    "Bramblewood Fernhollow Lockhart Ninth-Street Corvid Alder Saltmarsh Quillfeather Mossgate "
    "Harrowgate Pinecrest Copperfield Larkspur Windmere Thistledown Oakhurst Ravensbrook "
    "Juniper Stonebridge Willowmere Ashcombe Foxglove Greywater Hollybush"
).split()
COMPANY_TRADES = (
    "Care Homes|Joinery|Pharmacy|Farms|Studios|& Finch LLP|Logistics|Dental|Brewing|Insurance|"
    "Architects|Robotics|Bakeries|Sailing School|Books|Veterinary|Energy|Outfitters"
).split("|")
INTERNATIONAL_NAMES = (
    "Bäckerei Größenwahn",
    "Piekarnia Słoneczna",
    "Пекарня «Ромашка»",
    "Ζαχαροπλαστείο Ήλιος",
    "株式会社あおぞら印刷",
    "한빛 정밀",
    "晨星物流有限公司",
    "شركة الندى للتجارة",
    "מאפיית השקד",
    "गंगा वस्त्रालय",
)
ACCESS_EXPIRY_FIELDS = ("expiry_date", "expires_in")
REFRESH_EXPIRY_FIELDS = ("refresh_token_expires_date", "refresh_token_expires_in")

ENVIRONMENTS = (None, "Sandbox", "Production", "Staging", "EU Production")
ENVIRONMENT_WEIGHTS = (70, 15, 6, 5, 4)


def seed(count, now, on_progress=None):
    """Store `count` demo connections. Returns the importing.Result; raises StoreInUse."""
    if ConnectionAuth.all_objects.exclude(connection_id__startswith=ID_PREFIX).exists():
        raise StoreInUse
    Integration.objects.bulk_create(
        [
            Integration(
                type=kind.type,
                name=kind.name,
                auth_type=kind.auth_type,
                token_names=list(kind.token_names),
                categories=[kind.category],
            )
            for kind in DEMO_INTEGRATIONS
        ],
        ignore_conflicts=True,
    )
    options = importer.ImportOptions(on_conflict="replace", allow_older=True)
    return importer.run_import([source(count, now)], options, on_progress=on_progress)


def clear():
    """Delete the demo connections and the integrations that only they used.

    Returns the numbers of both.
    """
    with transaction.atomic():
        ours = ConnectionAuth.all_objects.filter(connection_id__startswith=ID_PREFIX)
        used = set(ours.values_list("integration_id", flat=True)) - {None}
        deleted = ours.count()
        ours.delete()
        in_use = ConnectionAuth.all_objects.filter(integration__in=used)
        left = used - set(in_use.values_list("integration_id", flat=True))
        Integration.objects.filter(type__in=left).delete()
        log.log_event("delete", record="demo connections", count=deleted)
    return deleted, len(left)


def source(count, now):
    """The demo connections as a file that an import reads (see reader)."""
    made = SpooledSource("demo", keyring.seal_bytes, keyring.unseal_bytes)
    made.write(b"[")
    for start in range(0, count, ENTRIES_PER_CHUNK):
        numbers = range(start, min(start + ENTRIES_PER_CHUNK, count))
        text = ",".join(json.dumps(entry(number, now)) for number in numbers)
        made.write((("," if start else "") + text).encode())
    made.write(b"]")
    return made


def entry(number, now):
    """Connection `number` of the demo at the moment `now`, as the API's JSON (snake_case)."""
    random = Random(f"latchkey demo {number}")  # noqa: S311 (nothing here is secret)
    now = now.replace(microsecond=0)
    kind, bucket, is_stale = _choose_kind(number, random)
    ends = _choose_expiry(random, now, bucket)
    company = _company_name(random)
    changed = _choose_changed_at(random, now, ends, is_stale)
    made = {
        "id": f"{ID_PREFIX}{number:06d}",
        "created_at": iso(changed - timedelta(days=random.randrange(1, 700))),
        "updated_at": iso(changed),
        "workspace_id": "demo-workspace",
        "integration_type": kind.type,
        "integration_name": kind.name,
        "external_xref": f"customer-{random.randrange(10_000, 99_999)}",
        "permissions": [f"{kind.category}_read", f"{kind.category}_write"],
        "categories": [kind.category],
        "is_paused": True if random.random() < 0.04 else None,
        "environment": random.choices(ENVIRONMENTS, ENVIRONMENT_WEIGHTS)[0],
        **_health(random, now, ends if bucket == "broken" else None),
    }
    maker = _AuthBuilder(random, now, kind, changed, ends, is_stale)
    made["auth"] = _without_none(
        {"name": company, **AUTH_BUILDERS[kind.style](maker), **_optional_fields(random)}
    )
    return _without_none(made)


def _choose_kind(number, random):
    """The kind, the bucket and whether it is stale: one of each first, by their shares later."""
    if number < len(DEMO_INTEGRATIONS):
        return DEMO_INTEGRATIONS[number], BUCKETS[number % len(BUCKETS)], False
    if number == len(DEMO_INTEGRATIONS):
        return DEMO_INTEGRATIONS[0], "no_end", True
    bucket = random.choices(list(BUCKET_WEIGHTS), list(BUCKET_WEIGHTS.values()))[0]
    unfit = STYLES_WITH_END if bucket == "no_end" else STYLES_WITHOUT_END
    kinds = [kind for kind in DEMO_INTEGRATIONS if kind.style not in unfit]
    kind = random.choices(kinds, [kind.share for kind in kinds])[0]
    return kind, bucket, bucket != "broken" and random.random() < STALE_PROBABILITY


def _choose_expiry(random, now, bucket):
    """A moment in the bucket, to the second; None for no known end."""
    hour, day = 3600, 24 * 3600
    return {
        "broken": lambda: now - timedelta(seconds=60 + random.expovariate(1 / (5 * day)) // 1),
        "day": lambda: now + timedelta(seconds=random.randrange(hour, day)),
        "week": lambda: now + timedelta(seconds=random.randrange(day + hour, 7 * day)),
        "month": lambda: now + timedelta(seconds=random.randrange(7 * day + hour, 30 * day)),
        "later": lambda: (
            now + timedelta(seconds=31 * day + min(random.expovariate(1 / (140 * day)), 1e8) // 1)
        ),
        "no_end": lambda: None,
    }[bucket]()


def _choose_changed_at(random, now, ends, is_stale):
    """When the API last changed the connection: before now, and before what its tokens reach."""
    last = min(now, ends) if ends else now
    return last - timedelta(seconds=random.randrange(2 * 3600, 20 * 24 * 3600))


def _company_name(random):
    if random.random() < 0.08:
        return random.choice(INTERNATIONAL_NAMES)
    return f"{random.choice(COMPANY_PLACES).replace('-', ' ')} {random.choice(COMPANY_TRADES)}"


def _health(random, now, broke_at):
    if broke_at is None:
        return {"last_healthy_at": iso(now - timedelta(minutes=random.randrange(1, 600)))}
    return {
        "last_healthy_at": iso(broke_at - timedelta(minutes=random.randrange(1, 600))),
        "last_unhealthy_at": iso(now - timedelta(seconds=random.randrange(1, 60))),
        "last_unhealthy_code": "401",
    }


def _optional_fields(random):
    """What only some auth objects have."""
    number = random.randrange(100, 999)
    return {
        "emails": [f"it-{number}@customer.example"] if random.random() < 0.3 else None,
        "meta": {"region": random.choice(["eu", "us"]), "plan": number}
        if random.random() < 0.2
        else None,
        "user_id": f"user-{number}" if random.random() < 0.4 else None,
    }


def _without_none(values):
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class _AuthBuilder:
    """What the styles below make an auth object from."""

    random: Random
    now: datetime
    kind: DemoIntegration
    changed: datetime
    ends: datetime | None
    is_stale: bool

    def secret(self, what):
        return f"synth-{what}-{self.random.getrandbits(128):032x}"

    def url(self, host, path):
        return f"https://{host}.{self.kind.type}.example{path}"

    def client(self, *, is_code_flow=True):
        return {
            "client_id": f"client-{self.random.randrange(1000, 9999)}",
            "client_secret": self.secret("client-secret"),
            "authorize_url": self.url("login", "/oauth/authorize") if is_code_flow else None,
            "token_url": self.url("login", "/oauth/token"),
            "api_url": self.url("api", "/v1"),
        }

    def access(self):
        """An access token of a renewable connection: it ends before everything does."""
        if self.is_stale:
            left = self.now - self.changed
            end = self.changed + left * self.random.uniform(0.1, 0.9)
        else:
            works = self.ends is None or self.ends > self.now
            first = self.now if works else self.changed
            last = self.ends or self.now + timedelta(days=60)
            end = first + (last - first) * self.random.uniform(0.3, 1)
        token = self.jwt(end) if self.kind.has_jwt else self.secret("access")
        return {"access_token": token, **self.lifetime(ACCESS_EXPIRY_FIELDS, end)}

    def jwt(self, end):
        """A JSON Web Token in form; what stands for its signature says that it is none."""
        issued = int((min(self.changed, end) - timedelta(hours=1)).timestamp())
        claims = {
            "iss": self.url("login", "/"),
            "sub": f"user-{self.random.randrange(100, 999)}",
            "scope": "signature impersonation",
            "iat": issued,
            "exp": int(end.timestamp()),
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": "demo-2"}
        signature = {"synth": f"{self.random.getrandbits(1024):0256x}"}
        return ".".join(map(_base64_json, (header, claims, signature)))

    def lifetime(self, fields, end):
        """The end of a token as the API may put it: as a date or as seconds from the change."""
        as_date, as_seconds = fields
        end = end.replace(microsecond=0)
        if self.random.random() < 0.5:
            return {as_date: iso(end)}
        return {as_seconds: int((end - self.changed).total_seconds())}


def _refreshed(maker):
    refresh = maker.lifetime(REFRESH_EXPIRY_FIELDS, maker.ends) if maker.ends else {}
    token = {"refresh_token": maker.secret("refresh"), **refresh}
    return {**maker.client(), **maker.access(), **token}


def _client_credentials(maker):
    return {**maker.client(is_code_flow=False), **maker.access()}


def _access_only(maker):
    return {
        "access_token": maker.secret("access"),
        "api_url": maker.url("api", "/v2"),
        "authorize_url": maker.url("login", "/oauth/authorize"),
        **(maker.lifetime(ACCESS_EXPIRY_FIELDS, maker.ends) if maker.ends else {}),
    }


def _oauth1(maker):
    return {
        "app_id": f"app-{maker.random.randrange(1000, 9999)}",
        "consumer_key": maker.secret("consumer-key"),
        "consumer_secret": maker.secret("consumer-secret"),
        "access_token": maker.secret("access"),
        **_expiry_date(maker),
    }


def _api_key(maker):
    return {
        "key": maker.secret("key"),
        "api_url": maker.url("api", "/v1"),
        **_expiry_date(maker),
    }


def _token(maker):
    """An opaque token, or a JWT whose `exp` tells its end."""
    if maker.ends is None:
        return {"token": maker.secret("token")}
    claims = {"sub": "demo", "exp": int(maker.ends.timestamp())}
    parts = ({"alg": "none"}, claims, {"synth": maker.random.getrandbits(64)})
    return {"token": ".".join(map(_base64_json, parts))}


def _base64_json(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _certificate(maker):
    """A self-signed certificate on Edwards curve 25519, whose signatures are deterministic."""
    key = Ed25519PrivateKey.from_private_bytes(maker.random.randbytes(32))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "synthetic.demo.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(maker.random.getrandbits(64) + 1)
        .not_valid_before(min(maker.changed, maker.ends) - timedelta(days=365))
        .not_valid_after(maker.ends)
        .sign(key, algorithm=None)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "pem": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "key": private.decode(),
        "api_url": maker.url("mtls", "/v1"),
    }


def _other(maker):
    values = [maker.secret(name.lower().replace(" ", "-")) for name in maker.kind.token_names]
    return {"other_auth_info": values, **_expiry_date(maker)}


def _expiry_date(maker):
    return {"expiry_date": iso(maker.ends)} if maker.ends else {}


AUTH_BUILDERS = {
    "refreshed": _refreshed,
    "client_credentials": _client_credentials,
    "access_only": _access_only,
    "oauth1": _oauth1,
    "api_key": _api_key,
    "token": _token,
    "certificate": _certificate,
    "other": _other,
}
