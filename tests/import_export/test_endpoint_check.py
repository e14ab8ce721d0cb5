"""A new host for an endpoint asks for the secrets that go there, and token addresses are kept."""

import pytest
from django.urls import reverse

from connections.jobs import integrity
from connections.models import Integration
from tests.support.helpers import SECRET, import_text, make, member_of
from tests.support.record_form import errors_of, save, stored

pytestmark = pytest.mark.django_db
ENDPOINTS = ["api_url", "token_url", "authorize_url", "refresh_url"]


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("before", [None, "https://api.example.com/v1"])
def test_a_new_host_asks_for_the_kept_secrets(admin_client, name, before):
    record = make(name="A", client_secret=SECRET, refresh_token=SECRET, **{name: before})
    response = save(admin_client, record, **{name: "https://evil.example/v1"})
    (sentence,) = errors_of(response)[name]
    assert sentence.startswith(
        "New host, or no longer https: the secrets that go there must come along. Enter again:"
    )
    assert "Client secret" in sentence and "Refresh token" in sentence
    assert getattr(stored(record), name) == before
    assert SECRET not in response.content.decode()


def test_what_else_was_typed_is_kept_and_the_secrets_are_not(admin_client):
    record = make(name="A", client_secret=SECRET, key=SECRET, api_url="https://a.example/")
    typed = {"api_url": "https://b.example/", "app_id": "typed-1", "key": "synth-typed-key"}
    response = save(admin_client, record, **typed)
    text = response.content.decode()
    assert "typed-1" in text and "https://b.example/" in text
    assert "synth-typed-key" not in text
    assert stored(record).key.reveal() == SECRET


def test_all_secrets_entered_again_or_cleared_are_enough(admin_client):
    record = make(name="A", client_secret=SECRET, key=SECRET, api_url="https://a.example/")
    changes = {"client_secret": "synth-new", "clear_key": "on"}
    save(admin_client, record, api_url="https://b.example/", **changes)
    assert stored(record).api_url == "https://b.example/"


@pytest.mark.parametrize(
    "url",
    [
        "/\\evil.example/v1",
        "\\\\evil.example/v1",
        "/\t/evil.example/v1",
        "/\n/evil.example/v1",
        "\x1f/\\evil.example/v1",
        "\x01//evil.example/v1",
        "\N{NO-BREAK SPACE}//evil.example/v1",
        "//evil.example/v1",
        "https://a.example\\@evil.example/v1",
        "https://a.example@evil.example/v1",
        "https://a.example:8443/v1",
        "https:evil.example/v1",
        "http://a.example/v1",  # the same, for everybody on the way to read
        "\tHTTP://a.example/v1",
        "https://evil.example/x",
        "a.example.evil",
        "\u200bhttps://evil.example",
        "{{ host }}/v1",
    ],
)
def test_a_host_is_seen_however_it_is_written(url):
    record = make(name="A", connection_id="c", client_secret=SECRET, api_url="https://a.example/")
    result, _ = import_text([{"id": "c", "auth": {"name": "A", "apiUrl": url}}])
    assert (result.updated, result.rejected) == (0, 1)
    assert stored(record).api_url == "https://a.example/"


@pytest.mark.parametrize("url", ["https://a.example/v2", "https://A.example:443/", ""])
def test_the_same_host_or_none_asks_for_nothing(admin_client, url):
    record = make(name="A", client_secret=SECRET, api_url="https://a.example/v1")
    save(admin_client, record, api_url=url)
    assert stored(record).api_url == (url or None)


def test_without_a_secret_any_host_will_do(admin_client):
    record = make(name="A", emails=["a@example.com"], api_url="https://a.example/v1")
    save(admin_client, record, api_url="https://b.example/")
    assert stored(record).api_url == "https://b.example/"


@pytest.mark.parametrize(("group", "is_changed"), [("Operator", False), ("Custodian", True)])
def test_the_token_address_is_a_custodians_to_change(group, is_changed):
    url = "https://api.hubapi.com/token"
    integration = Integration.objects.create(type="hubspot", name="HubSpot", token_url=url)
    url = reverse("admin:connections_integration_change", args=[integration.pk])
    browser = member_of(group)
    assert ('name="token_url"' in browser.get(url).content.decode()) is is_changed
    data = {"name": "Renamed", "token_url": "https://evil.example/token"}
    assert browser.post(url, data).status_code == 302
    integration.refresh_from_db()
    assert integration.name == "Renamed"
    assert (integration.token_url == data["token_url"]) is is_changed
    assert integrity.verify().faults == []


def test_an_operator_adds_an_integration_without_a_token_address():
    browser = member_of("Operator")
    data = {"type": "xero", "name": "Xero", "token_url": "https://evil.example/token"}
    assert browser.post(reverse("admin:connections_integration_add"), data).status_code == 302
    assert Integration.objects.get(type="xero").token_url == ""
