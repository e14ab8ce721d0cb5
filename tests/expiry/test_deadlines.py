"""The rules that turn an auth object into deadlines. No database."""

import base64
import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connections.expiry.deadlines import (
    BUCKETS,
    MAX_DATETIME,
    auth_kind,
    bucket_edges,
    bucket_of,
    derived_columns,
    is_renewable,
)

ISSUED = datetime(2026, 11, 1, tzinfo=timezone.utc)
RECEIVED = datetime(2026, 11, 20, tzinfo=timezone.utc)
DATE = datetime(2027, 1, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def derive(auth, issued_at=None, received_at=RECEIVED):
    columns = derived_columns(auth, issued_at=issued_at, received_at=received_at)
    return SimpleNamespace(**columns)


def jwt(claims, head="eyJhbGciOiJub25lIn0"):
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return f"{head}.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.c2ln"


def certificate(not_after):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=synth")
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(not_after - timedelta(days=30))
        .not_valid_after(not_after)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


EXP = int(DATE.timestamp())
TOKEN, OTHER = jwt({"exp": EXP}), jwt({"exp": EXP + 60})


@pytest.mark.parametrize(
    ("auth", "issued_at", "expected", "source"),
    [
        ({"expiry_date": DATE, "expires_in": 3600, "token": OTHER}, ISSUED, DATE, "expiry_date"),
        ({"expires_in": 3600, "access_token": TOKEN}, ISSUED, ISSUED + HOUR, "expires_in"),
        ({"expires_in": 3600, "token": TOKEN}, None, RECEIVED + HOUR, "expires_in_estimate"),
        ({"access_token": TOKEN, "token": OTHER}, ISSUED, DATE, "jwt"),
        ({"access_token": "opaque", "token": TOKEN}, None, DATE, "jwt"),
        ({"access_token": "opaque"}, ISSUED, None, ""),
        ({}, ISSUED, None, ""),
    ],
)
def test_the_first_rule_that_gives_a_moment_counts(auth, issued_at, expected, source):
    found = derive(auth, issued_at)
    assert (found.access_expires_at, found.expiry_source) == (expected, source)


@pytest.mark.parametrize("seconds", [0, -1, -0.5])
def test_a_lifetime_that_is_not_positive_gives_no_deadline(seconds):
    assert derive({"expires_in": seconds, "token": TOKEN}, ISSUED).expiry_source == "jwt"
    assert derive({"expires_in": seconds}).access_expires_at is None
    assert derive({"refresh_token_expires_in": seconds}, ISSUED).refresh_expires_at is None


def test_a_lifetime_may_have_fractions_and_stops_at_year_9999():
    assert derive({"expires_in": 0.5}, ISSUED).access_expires_at - ISSUED == timedelta(seconds=0.5)
    assert derive({"expires_in": 1e11}, ISSUED).access_expires_at <= MAX_DATETIME
    assert derive({"expires_in": 1e11}, MAX_DATETIME).access_expires_at == MAX_DATETIME


def test_a_certificate_is_used_last_and_only_the_first_in_the_text_counts():
    first, second = certificate(DATE), certificate(DATE + HOUR)
    private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    for pem in (first + second, private + first + second, "text\n" + first.replace("\n", "\r\n")):
        found = derive({"pem": pem, "token": "opaque"}, ISSUED)
        assert (found.access_expires_at, found.expiry_source) == (DATE, "certificate")
    assert derive({"pem": first, "token": OTHER}).expiry_source == "jwt"


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----",
        "-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----ü-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----" * 4800,  # must not take quadratic time
        object(),
        None,
    ],
)
def test_a_pem_without_a_certificate_gives_no_deadline(pem):
    assert derive({"pem": pem}).access_expires_at is None


@pytest.mark.parametrize(
    "token",
    [
        jwt({"exp": str(EXP)}),
        jwt({"exp": True}),
        jwt({"exp": None}),
        jwt({"exp": 10**30}),
        jwt({"exp": -(10**30)}),
        jwt({"exp": [EXP]}),
        jwt({}),
        jwt([EXP]),
        jwt(b'{"exp":1e999}'),
        jwt(b'{"exp":NaN}'),
        jwt(b"rubbish"),
        jwt(b"\xff\xfe"),
        jwt(b"[" * 10_000),
        "ey.ü.x",
        "ey..",
        "ey.a.b.c",
        "a.b.c",
        "",
        object(),
        jwt({"exp": EXP}).removeprefix("ey"),
    ],
)
def test_a_token_that_is_not_a_jwt_with_an_exp_gives_no_deadline(token):
    assert derive({"access_token": token}).access_expires_at is None


def test_an_exp_with_fractions_is_read():
    assert derive({"token": jwt({"exp": EXP + 0.5})}).access_expires_at == DATE + timedelta(
        seconds=0.5
    )


def test_the_refresh_expiry_is_its_date_or_its_lifetime():
    auth = {"refresh_token_expires_date": DATE, "refresh_token_expires_in": 3600}
    assert derive(auth, ISSUED).refresh_expires_at == DATE
    del auth["refresh_token_expires_date"]
    assert derive(auth, ISSUED).refresh_expires_at == ISSUED + HOUR
    assert derive(auth).refresh_expires_at == RECEIVED + HOUR
    assert derive({}).refresh_expires_at is None


CLIENT = {"client_id": "a", "client_secret": "b", "token_url": "https://c.example"}


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"refresh_token": "r"}, True),
        ({"refresh_token": object()}, True),  # does not open
        ({"refresh_token": ""}, False),
        ({"refresh_token": " \n"}, False),
        ({**CLIENT, "refresh_token": ""}, False),
        (CLIENT, True),
        ({**CLIENT, "authorize_url": "https://d.example"}, False),
        ({**CLIENT, "authorize_url": ""}, True),
        ({**CLIENT, "client_secret": ""}, False),
        ({**CLIENT, "client_secret": object()}, True),
        ({**CLIENT, "token_url": None}, False),
        ({**CLIENT, "refresh_token": "r", "authorize_url": "x"}, True),
        ({"access_token": "a"}, False),
        ({}, False),
    ],
)
def test_which_credentials_are_renewable(auth, expected):
    assert is_renewable(auth) is expected
    assert derive(auth).renewable is expected


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"expiry_date": DATE}, DATE),
        ({"access_token": "a"}, None),
        ({"expiry_date": DATE, "refresh_token_expires_date": DATE + HOUR}, DATE),
        ({"expiry_date": DATE, "refresh_token": "r"}, None),
        (
            {"expiry_date": DATE, "refresh_token": "r", "refresh_token_expires_date": DATE + HOUR},
            DATE + HOUR,
        ),
        (
            {"expiry_date": DATE, "refresh_token": "r", "refresh_token_expires_date": DATE - HOUR},
            DATE,
        ),
        ({"refresh_token": "r", "refresh_token_expires_date": DATE}, DATE),
        ({**CLIENT, "expiry_date": DATE}, None),
    ],
)
def test_the_moment_from_which_a_person_is_needed(auth, expected):
    assert derive(auth).breaks_at == expected


@pytest.mark.parametrize(
    ("distance", "bucket"),
    [
        (timedelta(days=-9999), "broken"),
        (timedelta(0), "broken"),
        (timedelta(microseconds=1), "day"),
        (timedelta(hours=24), "day"),
        (timedelta(hours=24, microseconds=1), "week"),
        (timedelta(days=7), "week"),
        (timedelta(days=7, microseconds=1), "month"),
        (timedelta(days=30), "month"),
        (timedelta(days=30, microseconds=1), "later"),
        (timedelta(days=9999), "later"),
    ],
)
def test_buckets_are_exclusive_and_end_on_their_edge(distance, bucket):
    assert bucket_of(RECEIVED + distance, RECEIVED) == bucket


def test_extreme_dates_and_no_end_have_a_bucket():
    assert bucket_of(None, RECEIVED) == "no_end"
    assert bucket_of(datetime(1, 1, 1, tzinfo=timezone.utc), RECEIVED) == "broken"
    assert bucket_of(datetime.max.replace(tzinfo=timezone.utc), RECEIVED) == "later"
    assert list(bucket_edges(RECEIVED)) == list(BUCKETS[:4])


@pytest.mark.parametrize(
    ("auth", "kind"),
    [
        ({"refresh_token": "r", "consumer_key": "c"}, "oauth2"),
        ({"access_token": "a"}, "oauth2"),
        ({"access_token": "a", "consumer_secret": "c"}, "oauth1"),
        ({"pem": "p", "key": "k"}, "certificate"),
        ({"client_id": "a", "client_secret": "b"}, "oauth2"),
        ({"client_id": "a", "token_url": "t"}, "oauth2"),
        ({"key": "k"}, "api_key"),
        ({"token": "t"}, "api_key"),
        ({"dev_api_key": "k"}, "api_key"),
        ({"other_auth_info": ["a"]}, "other"),
        ({"meta": {"a": 1}}, "other"),
        ({"key": object()}, "api_key"),
        ({"key": "", "other_auth_info": [], "meta": {}}, "empty"),
        ({"name": "n", "api_url": "https://a.example", "client_id": "a"}, "empty"),
        ({}, "empty"),
    ],
)
def test_the_kind_follows_from_the_fields(auth, kind):
    assert auth_kind(auth) == kind
