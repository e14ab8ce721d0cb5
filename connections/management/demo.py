"""Demo connections: realistic in shape, synthetic in every value.

Connection `n` depends only on `n` and the moment. All are stored by the ordinary import.
"""

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import transaction

from connections.audit import log
from connections.encryption import keyring
from connections.expiry.deadlines import BUCKETS
from connections.import_export import importer
from connections.import_export.results import ImportResult
from connections.json_format.serialize import iso
from connections.json_format.stream.sources import SpooledSource
from connections.management.base import CommandError
from connections.models import ConnectionAuth, Integration

ID_PREFIX = "demo_"

# Per cent of the connections in each bucket, and the part of the renewable that is stale.
BUCKET_WEIGHTS = {"broken": 1.5, "day": 1, "week": 4, "month": 14, "later": 47, "no_end": 32.5}
STALE_PROBABILITY = 0.05


@dataclass(frozen=True)
class DemoIntegration:
    """An integration of the demo; `style` is a method of AuthBuilder."""

    type: str
    name: str
    category: str
    style: str
    weight: int
    auth_type: str = "oauth2"
    secrets: tuple = ()  # names of fields, or labels of other credentials
    has_jwt: bool = False


OAUTH1_SECRETS = ("consumer_key", "consumer_secret", "access_token")
# The first connections show each once, with all buckets (see _choose_integration).
DEMO_INTEGRATIONS = (
    DemoIntegration("hubspot", "HubSpot", "crm", "refreshed", 25),
    DemoIntegration("salesforce", "Salesforce", "crm", "refreshed", 18),
    DemoIntegration("xero", "Xero", "accounting", "refreshed", 10),
    DemoIntegration("quickbooks", "QuickBooks", "accounting", "refreshed", 8),
    DemoIntegration("docusign", "DocuSign", "storage", "refreshed", 5, has_jwt=True),
    DemoIntegration("workday", "Workday", "hris", "client_credentials", 4),
    DemoIntegration("adp", "ADP", "hris", "certificate", 4, "other"),
    DemoIntegration("zendesk", "Zendesk", "ticketing", "unrenewed", 8, secrets=("access_token",)),
    DemoIntegration("bamboohr", "BambooHR", "hris", "unrenewed", 9, "token", ("key",)),
    DemoIntegration(
        "netsuite", "NetSuite", "accounting", "unrenewed", 6, "oauth1", OAUTH1_SECRETS
    ),
    DemoIntegration("greenhouse", "Greenhouse", "ats", "unrenewed", 6, "token", ("key",)),
    DemoIntegration("slack", "Slack", "messaging", "unrenewed", 4, secrets=("access_token",)),
    DemoIntegration(
        "ukg", "UKG Pro", "hris", "other", 3, "other", ("User name", "Password", "Tenant")
    ),
    DemoIntegration("github", "GitHub", "repo", "token", 4, "token"),
)

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

ENVIRONMENTS = (None, "Sandbox", "Production", "Staging", "EU Production")
ENVIRONMENT_WEIGHTS = (70, 15, 6, 5, 4)


def seed(count: int, now: datetime, on_progress=None) -> ImportResult:
    """Store `count` demo connections, as of the moment `now`. CommandError where others are."""
    if ConnectionAuth.all_objects.exclude(connection_id__startswith=ID_PREFIX).exists():
        raise CommandError(
            "The store holds other connections; the demo goes into an empty store only."
        )
    Integration.objects.bulk_create(
        [
            Integration(
                type=one.type,
                name=one.name,
                auth_type=one.auth_type,
                token_names=list(one.secrets) if one.style == "other" else [],
                categories=[one.category],
            )
            for one in DEMO_INTEGRATIONS
        ],
        ignore_conflicts=True,
    )
    file = SpooledSource("demo", keyring.seal_bytes, keyring.unseal_bytes)
    for number in range(count):
        file.write(json.dumps(entry(number, now)).encode() + b"\n")
    options = importer.ImportOptions(on_conflict="replace", allow_older=True)
    return importer.run_import([file], options, on_progress=on_progress)


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


def entry(number: int, now: datetime) -> dict:
    """Demo connection `number` at the moment `now`, as the API's JSON (snake_case)."""
    random = Random(f"latchkey demo {number}")  # noqa: S311 (nothing here is secret)
    now = now.replace(microsecond=0)
    integration, bucket, is_stale = _choose_integration(number, random)
    expires_at = _choose_expiry(random, now, bucket)
    company = _company_name(random)
    # The API last changed it before now and before its expiry.
    ago = timedelta(seconds=random.randrange(2 * 3600, 20 * 24 * 3600))
    changed_at = min(now, expires_at or now) - ago
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
    builder = AuthBuilder(random, now, integration, changed_at, expires_at, is_stale)
    credentials = getattr(builder, integration.style)()
    connection["auth"] = _without_none(
        {"name": company, **credentials, **_optional_fields(random)}
    )
    return _without_none(connection)


def _choose_integration(number, random):
    """The integration, the bucket, and whether it is stale: first each once, then by weight."""
    if number < len(DEMO_INTEGRATIONS):
        return DEMO_INTEGRATIONS[number], BUCKETS[number % len(BUCKETS)], False
    if number == len(DEMO_INTEGRATIONS):
        return DEMO_INTEGRATIONS[0], "no_end", True
    bucket = random.choices(list(BUCKET_WEIGHTS), list(BUCKET_WEIGHTS.values()))[0]
    # Every certificate has an end, and client credentials have none.
    unfit = "certificate" if bucket == "no_end" else "client_credentials"
    fitting = [one for one in DEMO_INTEGRATIONS if one.style != unfit]
    integration = random.choices(fitting, [one.weight for one in fitting])[0]
    return integration, bucket, bucket != "broken" and random.random() < STALE_PROBABILITY


def _choose_expiry(random, now, bucket):
    """A moment in the bucket, to the second; None if it does not expire."""
    hour, day = 3600, 24 * 3600
    if bucket == "no_end":
        return None
    if bucket == "broken":
        seconds = -60 - random.expovariate(1 / (5 * day))
    elif bucket == "later":
        seconds = 31 * day + random.expovariate(1 / (140 * day))
    else:
        begin, end = {"day": (0, 1), "week": (1, 7), "month": (7, 30)}[bucket]
        seconds = random.randrange(begin * day + hour, end * day)
    return now + timedelta(seconds=seconds // 1)


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
class AuthBuilder:
    """The credentials of one connection: a method for each style, after those for their parts."""

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

    def expiry_fields(self, end, as_date="expiry_date", as_seconds="expires_in"):
        """The expiry as a date, or as seconds since the change: the API has both."""
        if end is None:
            return {}
        end = end.replace(microsecond=0)
        if self.random.random() < 0.5:
            return {as_date: iso(end)}
        return {as_seconds: int((end - self.changed_at).total_seconds())}

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
        parts = (json.dumps(part).encode() for part in (header, claims, signature))
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)

    def client_credentials(self):
        """An access token that is renewed, and ends before the connection does."""
        is_broken = self.expires_at is not None and self.expires_at <= self.now
        begin = self.changed_at if self.is_stale or is_broken else self.now
        last = self.now if self.is_stale else self.expires_at or self.now + timedelta(days=60)
        end = begin + (last - begin) * self.random.uniform(0.3, 1)
        return {
            "client_id": f"client-{self.random.randrange(1000, 9999)}",
            "client_secret": self.secret("client-secret"),
            "token_url": self.url("login", "/oauth/token"),
            "api_url": self.url("api", "/v1"),
            "access_token": self.jwt(end) if self.integration.has_jwt else self.secret("access"),
            **self.expiry_fields(end),
        }

    def refreshed(self):
        return {
            **self.client_credentials(),
            "authorize_url": self.url("login", "/oauth/authorize"),
            "refresh_token": self.secret("refresh"),
            **self.expiry_fields(
                self.expires_at, "refresh_token_expires_date", "refresh_token_expires_in"
            ),
        }

    def unrenewed(self):
        return {
            **{name: self.secret(name.replace("_", "-")) for name in self.integration.secrets},
            "api_url": self.url("api", "/v1"),
            **self.expiry_fields(self.expires_at),
        }

    def token(self):
        """An opaque token, or a JWT with its expiry in `exp`."""
        return {"token": self.jwt(self.expires_at) if self.expires_at else self.secret("token")}

    def certificate(self):
        """A self-signed certificate under an Ed25519 key, whose signatures are deterministic."""
        key = Ed25519PrivateKey.from_private_bytes(self.random.randbytes(32))
        name = x509.Name.from_rfc4514_string("CN=synthetic.demo.example")
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(self.random.getrandbits(64) + 1)
            .not_valid_before(min(self.changed_at, self.expires_at) - timedelta(days=365))
            .not_valid_after(self.expires_at)
            .sign(key, algorithm=None)
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {
            "pem": certificate.public_bytes(Encoding.PEM).decode(),
            "key": private.decode(),
            "api_url": self.url("mtls", "/v1"),
        }

    def other(self):
        names = [name.lower().replace(" ", "-") for name in self.integration.secrets]
        values = [self.secret(name) for name in names]
        return {"other_auth_info": values, **self.expiry_fields(self.expires_at)}
