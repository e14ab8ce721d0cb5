"""The pages that find a secret and what is shared: who may ask, what is answered, what is kept."""

import json

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.serializers import serialize
from django.urls import reverse
from django.utils import timezone

from connections.console.pages import find_secret
from connections.encryption.fields import Sealed
from connections.models import (
    AccessEvent,
    ConnectionAuth,
    FormerVersion,
    Integration,
    UserScope,
    former_version,
)
from tests.support.helpers import SECRET, make, member_of, user_with

pytestmark = pytest.mark.django_db
FIND = reverse("admin:connections_find_secret")
SHARED = reverse("admin:connections_shared_secrets")


def change_page(record):
    return reverse("admin:connections_connectionauth_change", args=[record.pk])


def ask(client, secret=SECRET, **more):
    response = client.post(FIND, {"secret": secret, **more})
    assert SECRET not in response.content.decode()
    assert response["Cache-Control"] == "no-store"
    return response


def text(response):
    return response.content.decode()


def test_it_says_which_records_hold_it_in_which_field(custodian):
    integration = Integration.objects.create(type="hubspot", name="HubSpot")
    record = make(name="Acme", key=SECRET, integration=integration, environment="Staging")
    other = make(name="Other", token="synth-other")
    content = text(ask(custodian, f" {SECRET}\n"))
    assert "Found in 1 connection<" in content
    for shown in ("Acme", "HubSpot", "Staging", "<code>key</code>", "What to do next"):
        assert shown in content
    assert change_page(record) in content
    assert change_page(other) not in content


def test_a_secret_that_is_not_stored_is_not_found(custodian):
    make(token="synth-other")
    content = text(ask(custodian))
    assert "Found nowhere" in content
    assert "What to do next" not in content


def test_the_secret_is_in_no_url_and_is_not_stored(custodian):
    make(key=SECRET)
    got = custodian.get(FIND, {"secret": SECRET})
    assert "Found" not in text(got)
    assert SECRET not in text(got)
    assert not AccessEvent.objects.filter(action="find").exists()
    ask(custodian)
    for session in Session.objects.all():
        assert SECRET not in json.dumps(session.get_decoded())
    assert SECRET not in serialize("json", AccessEvent.objects.all())


@pytest.mark.parametrize("secret", ["", " \n", json.loads('"\\ud800"')])
def test_values_that_cannot_be_searched_are_refused(custodian, secret):
    response = custodian.post(FIND, {"secret_json": json.dumps(secret), "former": "on"})
    assert response.status_code == 200
    assert "errorlist" in text(response)
    assert not AccessEvent.objects.filter(action="find").exists()


def test_every_line_end_arrives_as_it_was_typed(custodian):
    pem = f"-----BEGIN X-----\n{SECRET}\r\n-----END X-----\n"
    make(pem=pem)
    response = custodian.post(FIND, {"secret": "x", "secret_json": json.dumps(pem)})
    assert "Found in 1 connection<" in text(response)


def test_it_is_audited_before_the_answer(custodian, monkeypatch):
    make(key=SECRET, access_token=SECRET)
    ask(custodian)
    entry = AccessEvent.objects.latest("id")
    assert (entry.action, entry.user, entry.count) == ("find", "Custodian", 2)
    assert (entry.address, entry.fields) == ("127.0.0.1", ["access_token", "key"])

    def fail(*args, **kwargs):
        raise RuntimeError("the log can't be written")

    monkeypatch.setattr("connections.audit.log.log_event", fail)
    custodian.raise_request_exception = False
    response = custodian.post(FIND, {"secret": SECRET})
    assert response.status_code == 500
    assert "Found" not in text(response)


@pytest.mark.parametrize("group", ["Viewer", "Operator", "Auditor"])
def test_only_custodians_ask(group):
    make(key=SECRET)
    client = member_of(group)
    assert client.post(FIND, {"secret": SECRET}).status_code == 403
    assert client.get(SHARED).status_code == 403
    assert f'href="{FIND}"' not in text(client.get(reverse("admin:index")))
    assert not AccessEvent.objects.filter(action="find").exists()


def test_the_navigation_leads_there(custodian):
    assert f'href="{FIND}"' in text(custodian.get(reverse("admin:index")))
    assert 'aria-current="page"' in text(custodian.get(FIND)).split(f'href="{FIND}"')[1][:30]


@pytest.fixture
def limited():
    """A Custodian who reaches `Ours` alone; secrets stand inside and outside."""
    client = member_of("Custodian")
    UserScope.objects.create(user=User.objects.get(username="Custodian"), environments=["Ours"])
    make(name="Inside", key=SECRET, environment="Ours")
    make(name="Outside", key=SECRET, environment="Theirs")
    return client


def test_users_who_may_not_view_connections_find_none():
    client = user_with("reveal_secrets")
    for response in (client.post(FIND, {"secret": SECRET}), client.get(SHARED)):
        assert response.status_code == 403
    assert f'href="{FIND}"' not in text(client.get(reverse("admin:index")))


def test_users_with_a_scope_learn_nothing_of_other_connections(limited):
    content = text(ask(limited))
    assert "Found in 1 connection<" in content
    assert "Inside" in content
    assert "Outside" not in content
    assert AccessEvent.objects.latest("id").count == 1
    assert "No secret is shared" in text(limited.get(SHARED))
    make(name="Second", token=SECRET, environment="Ours")
    content = text(limited.get(SHARED))
    assert "1 secret is in several connections" in content
    assert "Outside" not in content


def replace_token(record, value="synth-now"):
    held = former_version.build_former_version(record, ["token"])
    record.token = value
    record.save_version(["token"])
    held.save()


def test_former_versions_are_a_tick_away(custodian, monkeypatch):
    record = make(name="Acme", token=SECRET)
    assert "former versions" not in text(custodian.get(FIND))
    replace_token(record)
    assert "Found nowhere" in text(ask(custodian))
    content = text(ask(custodian, former="on"))
    assert "Found in 1 connection<" in content
    assert "In version 1, replaced" in content
    assert reverse("admin:connections_connectionauth_versions", args=[record.pk]) in content
    assert AccessEvent.objects.latest("id").reason == "former versions too"
    monkeypatch.setattr(find_secret, "MAX_FORMER_OPENED", 0)
    content = text(ask(custodian, former="on"))
    assert "Found nowhere" in content
    assert "find_secret --former" in content


def test_a_former_version_that_does_not_open_is_shown(custodian):
    replace_token(make(token=SECRET))
    FormerVersion.objects.update(content=Sealed("gAAAAA", "content", "", is_json=True))
    assert "1 former version holds what does not open" in text(ask(custodian, former="on"))


def test_former_versions_outside_are_not_looked_through(limited):
    replace_token(ConnectionAuth.objects.get(name="Outside"), "synth-a")
    assert "former versions" not in text(limited.get(FIND))
    assert AccessEvent.objects.filter(action="find").count() == 0
    assert "Outside" not in text(ask(limited, former="on"))


def test_of_very_many_places_some_are_shown(custodian, monkeypatch):
    monkeypatch.setattr(find_secret, "MAX_HOLDERS_SHOWN", 2)
    for number in range(5):
        make(name=f"R{number}", key=SECRET)
    content = text(ask(custodian))
    assert "Found in 5 connections" in content
    assert "3 more places" in content
    assert content.count("<code>key</code>") == 2


def test_shared_secrets_are_grouped_and_paged(custodian, monkeypatch):
    monkeypatch.setattr(find_secret, "PAGE_SIZE", 1)
    for number in range(3):
        make(name=f"R{number}", refresh_token=SECRET)
    for number in range(2):
        make(name=f"C{number}", client_secret=f"{SECRET}-2")
    make(name="Alone", refresh_token=f"{SECRET}-3")
    first = custodian.get(SHARED)
    assert "2 secrets are in several connections" in text(first)
    assert [group.count for group in first.context["groups"]] == [3]
    assert "R2" in text(first)
    second = custodian.get(SHARED, {"page": "2"})
    assert [group.fields for group in second.context["groups"]] == [["clientSecret"]]
    assert "C1" in text(second)
    alone = custodian.get(SHARED, {"field": "client_secret"})
    assert "1 secret is in several connections" in text(alone)
    for content in map(text, (first, second, alone)):
        assert SECRET not in content
        assert "Alone" not in content
    assert "No secret is shared" in text(custodian.get(SHARED, {"field": "pem"}))
    assert custodian.get(SHARED, {"field": "nonsense", "page": "x"}).status_code == 200


def test_the_report_asks_no_more_for_many_groups(custodian, django_assert_max_num_queries):
    for number in range(20):
        for name in "ab":
            make(name=f"{name}{number}", key=f"{SECRET}-{number}")
    with django_assert_max_num_queries(12):
        assert len(custodian.get(SHARED).context["groups"]) == 20


def test_records_in_the_bin_are_not_found(custodian):
    make(name="Binned", key=SECRET, binned_at=timezone.now())
    make(name="In use", key=SECRET)
    assert "Found in 1 connection<" in text(ask(custodian))
    assert "No secret is shared" in text(custodian.get(SHARED))
