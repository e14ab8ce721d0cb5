"""Demo connections: realistic in shape, synthetic in every value.

Connection `n` depends only on `n` and the moment. All are stored by the ordinary import.
"""

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction

from connections.audit import log
from connections.encryption import keyring
from connections.expiry.deadlines import BUCKETS
from connections.import_export import importer
from connections.import_export.results import ImportResult
from connections.json_format.dates import iso
from connections.json_format.stream.sources import SpooledSource
from connections.models import ConnectionAuth, Integration

ID_PREFIX = "demo_"
ENTRIES_PER_CHUNK = 200

# Per cent of the connections in each bucket, and the part of the renewable that is stale.
BUCKET_WEIGHTS = {"broken": 1.5, "day": 1, "week": 4, "month": 14, "later": 47, "no_end": 32.5}
STALE_PROBABILITY = 0.05


class StoreInUse(Exception):
    """The store holds other connections."""


@dataclass(frozen=True)
class DemoIntegration:
    """An integration of the demo; `style` is a key of AUTH_BUILDERS."""

    type: str
    name: str
    category: str
    style: str
    weight: int
    auth_type: str = "oauth2"
    token_names: tuple = ()
    has_jwt: bool = False


# The first connections show each once, with all buckets (see _choose_integration).
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
    "Bäckerei Größenwahn|Piekarnia Słoneczna|Пекарня «Ромашка»|Ζαχαροπλαστείο Ήλιος|"
    "株式会社あおぞら印刷|한빛 정밀|晨星物流有限公司|شركة الندى للتجارة|מאפיית השקד|गंगा वस्त्रालय"
).split("|")
ACCESS_EXPIRY_FIELDS = ("expiry_date", "expires_in")
REFRESH_EXPIRY_FIELDS = ("refresh_token_expires_date", "refresh_token_expires_in")

ENVIRONMENTS = (None, "Sandbox", "Production", "Staging", "EU Production")
ENVIRONMENT_WEIGHTS = (70, 15, 6, 5, 4)


def seed(count: int, now: datetime, on_progress=None) -> ImportResult:
    """Store `count` demo connections, as of the moment `now`. Raises StoreInUse."""
    if ConnectionAuth.all_objects.exclude(connection_id__startswith=ID_PREFIX).exists():
        raise StoreInUse
    Integration.objects.bulk_create(
        [
            Integration(
                type=one.type,
                name=one.name,
                auth_type=one.auth_type,
                token_names=list(one.token_names),
                categories=[one.category],
            )
            for one in DEMO_INTEGRATIONS
        ],
        ignore_conflicts=True,
    )
    options = importer.ImportOptions(on_conflict="replace", allow_older=True)
    return importer.run_import([source(count, now)], options, on_progress=on_progress)


def clear() -> tuple[int, int]:
    """Delete the demo connections and the integrations that only they use; how many of both."""
    with transaction.atomic():
        records = ConnectionAuth.all_objects.filter(connection_id__startswith=ID_PREFIX)
        used = set(records.values_list("integration_id", flat=True)) - {None}
        deleted = records.count()
        records.delete()
        in_use = ConnectionAuth.all_objects.filter(integration__in=used)
        unused = used - set(in_use.values_list("integration_id", flat=True))
        Integration.objects.filter(type__in=unused).delete()
        log.log_event("delete", record="demo connections", count=deleted)
    return deleted, len(unused)


def source(count: int, now: datetime) -> SpooledSource:
    """The demo connections as a file for an import."""
    file = SpooledSource("demo", keyring.seal_bytes, keyring.unseal_bytes)
    file.write(b"[")
    for start in range(0, count, ENTRIES_PER_CHUNK):
        numbers = range(start, min(start + ENTRIES_PER_CHUNK, count))
        text = ",".join(json.dumps(entry(number, now)) for number in numbers)
        file.write((("," if start else "") + text).encode())
    file.write(b"]")
    return file


def entry(number: int, now: datetime) -> dict:
    """Demo connection `number` at the moment `now`, as the API's JSON (snake_case)."""
    random = Random(f"latchkey demo {number}")  # noqa: S311 (nothing here is secret)
    now = now.replace(microsecond=0)
    integration, bucket, is_stale = _choose_integration(number, random)
    expires_at = _choose_expiry(random, now, bucket)
    company = _company_name(random)
    changed_at = _choose_changed_at(random, now, expires_at)
    connection = {
        "id": f"{ID_PREFIX}{number:06d}",
        "created_at": iso(changed_at - timedelta(days=random.randrange(1, 700))),
        "updated_at": iso(changed_at),
        "workspace_id": "demo-workspace",
        "integration_type": integration.type,
        "integration_name": integration.name,
        "external_xref": f"customer-{random.randrange(10_000, 99_999)}",
        "permissions": [f"{integration.category}_read", f"{integration.category}_write"],
        "categories": [integration.category],
        "is_paused": True if random.random() < 0.04 else None,
        "environment": random.choices(ENVIRONMENTS, ENVIRONMENT_WEIGHTS)[0],
        **_health(random, now, expires_at if bucket == "broken" else None),
    }
    builder = _AuthBuilder(random, now, integration, changed_at, expires_at, is_stale)
    connection["auth"] = _without_none(
        {"name": company, **AUTH_BUILDERS[integration.style](builder), **_optional_fields(random)}
    )
    return _without_none(connection)


def _choose_integration(number, random):
    """The integration, the bucket, and whether it is stale: first each once, then by weight."""
    if number < len(DEMO_INTEGRATIONS):
        return DEMO_INTEGRATIONS[number], BUCKETS[number % len(BUCKETS)], False
    if number == len(DEMO_INTEGRATIONS):
        return DEMO_INTEGRATIONS[0], "no_end", True
    bucket = random.choices(list(BUCKET_WEIGHTS), list(BUCKET_WEIGHTS.values()))[0]
    unfit = STYLES_WITH_END if bucket == "no_end" else STYLES_WITHOUT_END
    fitting = [one for one in DEMO_INTEGRATIONS if one.style not in unfit]
    integration = random.choices(fitting, [one.weight for one in fitting])[0]
    return integration, bucket, bucket != "broken" and random.random() < STALE_PROBABILITY


def _choose_expiry(random, now, bucket):
    """A moment in the bucket, to the second; None if it does not expire."""
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


def _choose_changed_at(random, now, expires_at):
    """When the API last changed the connection: before now and before its expiry."""
    last = min(now, expires_at) if expires_at else now
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
    """Fields that only some auth objects have."""
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
    """Makes the parts of an auth object, for the functions in AUTH_BUILDERS."""

    random: Random
    now: datetime
    integration: DemoIntegration
    changed_at: datetime
    expires_at: datetime | None
    is_stale: bool

    def secret(self, what):
        return f"synth-{what}-{self.random.getrandbits(128):032x}"

    def url(self, host, path):
        return f"https://{host}.{self.integration.type}.example{path}"

    def client_fields(self, *, is_code_flow=True):
        return {
            "client_id": f"client-{self.random.randrange(1000, 9999)}",
            "client_secret": self.secret("client-secret"),
            "authorize_url": self.url("login", "/oauth/authorize") if is_code_flow else None,
            "token_url": self.url("login", "/oauth/token"),
            "api_url": self.url("api", "/v1"),
        }

    def access_fields(self):
        """An access token of a renewable connection, which expires before the connection."""
        if self.is_stale:
            left = self.now - self.changed_at
            end = self.changed_at + left * self.random.uniform(0.1, 0.9)
        else:
            works = self.expires_at is None or self.expires_at > self.now
            first = self.now if works else self.changed_at
            last = self.expires_at or self.now + timedelta(days=60)
            end = first + (last - first) * self.random.uniform(0.3, 1)
        token = self.jwt(end) if self.integration.has_jwt else self.secret("access")
        return {"access_token": token, **self.expiry_fields(ACCESS_EXPIRY_FIELDS, end)}

    def jwt(self, end):
        """A JSON Web Token; its signature is JSON that says it is synthetic."""
        issued = int((min(self.changed_at, end) - timedelta(hours=1)).timestamp())
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

    def expiry_fields(self, fields, end):
        """The expiry as a date, or as seconds since the change: the API has both."""
        if end is None:
            return {}
        as_date, as_seconds = fields
        end = end.replace(microsecond=0)
        if self.random.random() < 0.5:
            return {as_date: iso(end)}
        return {as_seconds: int((end - self.changed_at).total_seconds())}


def _refreshed(builder):
    refresh = builder.expiry_fields(REFRESH_EXPIRY_FIELDS, builder.expires_at)
    token = {"refresh_token": builder.secret("refresh"), **refresh}
    return {**builder.client_fields(), **builder.access_fields(), **token}


def _client_credentials(builder):
    return {**builder.client_fields(is_code_flow=False), **builder.access_fields()}


def _access_only(builder):
    return {
        "access_token": builder.secret("access"),
        "api_url": builder.url("api", "/v2"),
        "authorize_url": builder.url("login", "/oauth/authorize"),
        **builder.expiry_fields(ACCESS_EXPIRY_FIELDS, builder.expires_at),
    }


def _oauth1(builder):
    return {
        "app_id": f"app-{builder.random.randrange(1000, 9999)}",
        "consumer_key": builder.secret("consumer-key"),
        "consumer_secret": builder.secret("consumer-secret"),
        "access_token": builder.secret("access"),
        **_expiry_date(builder),
    }


def _api_key(builder):
    return {
        "key": builder.secret("key"),
        "api_url": builder.url("api", "/v1"),
        **_expiry_date(builder),
    }


def _token(builder):
    """An opaque token, or a JWT with its expiry in `exp`."""
    if builder.expires_at is None:
        return {"token": builder.secret("token")}
    claims = {"sub": "demo", "exp": int(builder.expires_at.timestamp())}
    parts = ({"alg": "none"}, claims, {"synth": builder.random.getrandbits(64)})
    return {"token": ".".join(map(_base64_json, parts))}


def _base64_json(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _certificate(builder):
    """A self-signed certificate under an Ed25519 key, whose signatures are deterministic."""
    key = Ed25519PrivateKey.from_private_bytes(builder.random.randbytes(32))
    name = x509.Name.from_rfc4514_string("CN=synthetic.demo.example")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(builder.random.getrandbits(64) + 1)
        .not_valid_before(min(builder.changed_at, builder.expires_at) - timedelta(days=365))
        .not_valid_after(builder.expires_at)
        .sign(key, algorithm=None)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "pem": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "key": private.decode(),
        "api_url": builder.url("mtls", "/v1"),
    }


def _other(builder):
    names = [name.lower().replace(" ", "-") for name in builder.integration.token_names]
    values = [builder.secret(name) for name in names]
    return {"other_auth_info": values, **_expiry_date(builder)}


def _expiry_date(builder):
    return {"expiry_date": iso(builder.expires_at)} if builder.expires_at else {}


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
