"""Facts of tokens and certificates, and that they are stored with them."""

from datetime import timedelta

import pytest
from django.urls import reverse

from connections.encryption.fields import Sealed
from connections.expiry import token_facts
from connections.expiry.token_facts import facts_of
from connections.models import ConnectionAuth
from tests.expiry.test_deadlines import certificate, jwt
from tests.support.helpers import NOW, SECRET, import_text, make

HEAD = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImRlbW8tMiIsInR5cCI6IkpXVCJ9"  # RS256, demo-2, JWT
EXP = int(NOW.timestamp())
CLAIMS = {"iat": EXP - 60, "exp": EXP, "sub": SECRET, "email": "ada@example.com", "jti": SECRET}
TOKEN = jwt(CLAIMS, head=HEAD)
FACTS = {"alg": "RS256", "kid": "demo-2", "typ": "JWT", "iat": EXP - 60, "exp": EXP}


def test_facts_of_a_jwt_are_its_header_and_times_and_no_other_claim():
    assert facts_of({"access_token": TOKEN}) == {"access_token": FACTS}


def test_facts_of_a_certificate_are_its_names_and_validity():
    facts = facts_of({"pem": certificate(NOW) + certificate(NOW + timedelta(days=1))})["pem"]
    assert facts == {
        "not_before": (NOW - timedelta(days=30)).isoformat(),
        "not_after": NOW.isoformat(),
        "serial": "01",
        "subject": "CN=synth",
        "issuer": "CN=synth",
    }


def encoded(header):
    return jwt(header).split(".")[1]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": 5, "kid": ["x"], "typ": None},
        {"kid": ""},
        {"kid": "x" * 256},
        {"kid": "a\u0000b"},
        {"kid": "a\u202eb"},
        {"kid": "\ud800"},
        {"jku": SECRET, "x5c": [SECRET]},
        ["alg"],
    ],
)
def test_odd_or_unknown_header_parameters_are_left_out(header):
    assert facts_of({"token": f"ey.{encoded({})}.x"}) == {}
    found = facts_of({"token": jwt({"exp": EXP}, head="ey" + encoded(header)[2:])})
    assert found == {"token": {"exp": EXP}}


@pytest.mark.parametrize("auth", [{}, {"access_token": SECRET, "pem": SECRET}, {"token": "ey.."}])
def test_other_values_have_no_facts(auth):
    assert facts_of(auth) == {}


def test_a_value_that_does_not_open_has_no_facts():
    closed = {name: Sealed("gAAAAgarbage", name, "x") for name in ("access_token", "pem")}
    assert facts_of(closed) == {}


def imported(auth):
    import_text([{"id": "c1", "auth": auth}])
    return ConnectionAuth.objects.get(connection_id="c1")


@pytest.mark.django_db
def test_an_import_and_a_save_store_the_same_facts():
    assert imported({"accessToken": TOKEN}).facts == {"access_token": FACTS}
    changed = imported({"accessToken": TOKEN, "refreshToken": TOKEN})
    assert changed.facts == {"access_token": FACTS, "refresh_token": FACTS}
    assert make(access_token=TOKEN).facts == {"access_token": FACTS}
    assert imported({"accessToken": SECRET, "refreshToken": SECRET}).facts is None


@pytest.mark.django_db
def test_an_import_reads_a_certificate_once(monkeypatch):
    read, facts_of, load = [], token_facts.facts_of, token_facts.x509.load_pem_x509_certificate
    monkeypatch.setattr(token_facts, "facts_of", lambda auth: read.append(auth) or facts_of(auth))
    monkeypatch.setattr(
        token_facts.x509, "load_pem_x509_certificate", lambda pem: read.append(pem) or load(pem)
    )
    imported({"accessToken": TOKEN, "pem": certificate(NOW), "key": SECRET})
    assert len(read) == 2


@pytest.mark.django_db
def test_the_page_shows_facts_and_no_other_claim(admin_client):
    made = make(access_token=TOKEN, pem=certificate(NOW))
    url = reverse("admin:connections_connectionauth_change", args=[made.pk])
    content = admin_client.get(url).content.decode()
    for line in (
        "<dt>Form</dt><dd>JWT, RS256, key id demo-2, signature not checked</dd>",
        "<dt>Issued</dt><dd>Tue 24 Nov 2026, 09:03:00 UTC</dd>",
        "<dt>Ends</dt><dd>Tue 24 Nov 2026, 09:04:00 UTC</dd>",
        "<dt>Other claims</dt><dd>only by reveal</dd>",
        "<dt>Subject</dt><dd>CN=synth</dd>",
        "<dt>Serial</dt><dd>01</dd>",
        "<dt>Valid</dt><dd>25 Oct 2026 to 24 Nov 2026</dd>",
    ):
        assert line in content
    for secret in (SECRET, "ada@example.com", TOKEN):
        assert secret not in content


@pytest.mark.django_db
def test_the_timeline_begins_when_the_token_or_certificate_does(admin_client):
    for fields, begins in (
        ({"access_token": TOKEN}, "Tue 24 Nov 2026, 09:03"),
        ({"pem": certificate(NOW)}, "Sun 25 Oct 2026, 09:04"),
    ):
        url = reverse("admin:connections_connectionauth_change", args=[make(**fields).pk])
        assert f"<td>{begins}</td>" in admin_client.get(url).content.decode()
