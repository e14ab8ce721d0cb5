"""Integrations: their page, the API's list of them, and what protects them."""

import io
import json
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from connections.models import ConnectionAuth, Integration
from tests.support.helpers import SECRET, make

pytestmark = pytest.mark.django_db
LIST = reverse("admin:connections_integration_changelist")
ADD = reverse("admin:connections_integration_add")
IMPORT = reverse("admin:connections_import_integrations")


def page(integration, what="change"):
    return reverse(f"admin:connections_integration_{what}", args=[integration.pk])


def form_data(client, integration):
    form = client.get(page(integration)).context["adminform"].form
    data = {}
    for field in form:
        value = field.value()
        data[field.name] = "" if value is None else str(field.field.prepare_value(value))
    return data


def save(client, integration, **changes):
    response = client.post(page(integration), {**form_data(client, integration), **changes})
    if response.status_code == 302:
        integration.refresh_from_db()
    return response


def paste(client, content):
    text = content if isinstance(content, str) else json.dumps(content)
    return client.post(IMPORT, {"text": text})


def counts(response):
    result = response.context["result"]
    return result.created, result.updated, result.unchanged, result.refused


HUBSPOT = {
    "type": "hubspot",
    "name": "HubSpot",
    "categories": ["crm", "marketing"],
    "token_names": ["API key", "Portal id"],
    "token_instructions": ["Open the settings.\nThen copy the key.", ""],
}


# The page


def test_adding_one_with_names_of_its_tokens(client):
    response = client.post(
        ADD,
        {
            "type": "hubspot",
            "name": "HubSpot",
            "auth_type": "other",
            "token_names": "API key\r\n Portal id \r\n\r\n",
            "token_url": "https://api.example.com/token",
        },
    )
    assert response.status_code == 302
    integration = Integration.objects.get()
    assert integration.token_names == ["API key", "Portal id"]
    assert integration.auth_type == "other"
    assert "API key, Portal id" in client.get(LIST).content.decode()


def test_the_type_is_fixed_once_it_is_there(client):
    integration = Integration.objects.create(type="hubspot")
    content = client.get(page(integration)).content.decode()
    assert 'name="type"' not in content
    assert "hubspot" in content
    save(client, integration, type="other", name="X")
    assert (integration.type, integration.name) == ("hubspot", "X")


def test_a_type_that_is_taken_is_an_error_of_the_form(client):
    Integration.objects.create(type="hubspot")
    response = client.post(ADD, {"type": "hubspot"})
    assert "type" in response.context["adminform"].form.errors


def test_unchanged_lists_stay(client):
    lists = {
        "token_names": ["first\nline", "", " blanks "],
        "token_instructions": ["a\r\nb", "", "c\u2028d"],
        "categories": [""],
    }
    integration = Integration.objects.create(type="x", **lists)
    save(client, integration, name="New")
    assert integration.name == "New"
    assert {name: getattr(integration, name) for name in lists} == lists


def test_lists_can_be_changed_and_emptied(client):
    integration = Integration.objects.create(**HUBSPOT)
    save(client, integration, token_names="One", categories="")
    assert integration.token_names == ["One"]
    assert integration.categories == []
    assert integration.token_instructions == HUBSPOT["token_instructions"]


@pytest.mark.parametrize("url", ["", "https://x.example.com/token", "http://10.0.0.1/t"])
def test_token_addresses(client, url):
    integration = Integration.objects.create(type="x")
    assert save(client, integration, token_url=url).status_code == 302
    assert integration.token_url == url


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://x.com", "https://", "http://[x"])
def test_token_addresses_that_are_refused(client, url):
    integration = Integration.objects.create(type="x", token_url="https://old.example.com")
    response = save(client, integration, token_url=url)
    assert "token_url" in response.context["adminform"].form.errors
    assert Integration.objects.get().token_url == "https://old.example.com"


@pytest.mark.parametrize("kind", ["a&b=c", "a b+c", "<script>alert(1)</script>", "ü#?/%41", "\"'"])
def test_the_count_leads_to_the_connections(client, kind):
    integration = Integration.objects.create(type=kind, name=kind)
    make(name="A", integration_id=kind, key="k")
    make(name="B", integration_id=kind, key="k", binned_at="2026-01-01T00:00:00Z")
    response = client.get(LIST)
    content = response.content.decode()
    assert "<script>alert" not in content
    link = content.split('field-count"><a href="')[1].split('"')[0]
    assert content.split('field-count"><a href="')[1].split(">")[1].startswith("1<")
    shown = client.get(link.replace("&amp;", "&").replace("&#x27;", "'"))
    assert [str(record) for record in shown.context["cl"].result_list] == ["A"]
    assert client.get(page(integration)).status_code == 200
    assert client.get(page(integration, "delete")).status_code == 200


def test_search_and_order(client):
    for name in ("b", "a", "c"):
        Integration.objects.create(type=f"type-{name}", name=name)
    assert [str(i) for i in client.get(LIST).context["cl"].result_list] == ["a", "b", "c"]
    assert [str(i) for i in client.get(LIST, {"q": "type-c"}).context["cl"].result_list] == ["c"]
    assert client.get(LIST, {"auth_type__exact": "other"}).status_code == 200


def test_the_number_of_queries_does_not_grow(client, django_assert_max_num_queries):
    for number in range(30):
        Integration.objects.create(type=f"i{number}")
        make(name=f"N{number}", integration_id=f"i{number}")
    with django_assert_max_num_queries(8):
        client.get(LIST)


# Deleting


def test_one_in_use_is_not_deleted_and_the_page_says_why(client):
    integration = Integration.objects.create(type="x", name="X")
    make(name="Its user", integration=integration, key=SECRET)
    asked = client.get(page(integration, "delete"))
    assert "still in use" in asked.content.decode()
    assert "Its user" in asked.content.decode()
    assert SECRET not in asked.content.decode()
    sent = client.post(page(integration, "delete"), {"post": "yes"})
    assert sent.status_code == 200
    data = {"action": "delete_selected", "_selected_action": [integration.pk], "post": "yes"}
    assert client.post(LIST, data).status_code == 200
    assert Integration.objects.exists()
    assert ConnectionAuth.objects.exists()


def test_of_many_that_use_it_some_are_named(client, django_assert_max_num_queries):
    integration = Integration.objects.create(type="x")
    for number in range(30):
        make(name=f"N{number}", integration=integration)
    with django_assert_max_num_queries(8):
        content = client.get(page(integration, "delete")).content.decode()
    assert content.count("<li>N") == 20
    assert "<li>10 more connections" in content


def test_an_integration_that_only_the_bin_uses_is_not_deleted(client):
    integration = Integration.objects.create(type="x")
    make(name="A", integration=integration, binned_at="2026-01-01T00:00:00Z")
    assert client.post(page(integration, "delete"), {"post": "yes"}).status_code == 200
    assert Integration.objects.exists()


def test_others_are_deleted(client):
    first, second = (Integration.objects.create(type=kind) for kind in "ab")
    assert client.post(page(first, "delete"), {"post": "yes"}).status_code == 302
    data = {"action": "delete_selected", "_selected_action": [second.pk], "post": "yes"}
    assert client.post(LIST, data).status_code == 302
    assert not Integration.objects.exists()


# The API's list


def test_pasting_the_list(client):
    response = paste(client, [HUBSPOT, {"type": "xero", "name": "Xero"}])
    assert counts(response) == (2, 0, 0, 0)
    stored = Integration.objects.get(type="hubspot")
    assert {name: getattr(stored, name) for name in HUBSPOT} == HUBSPOT


def test_the_import_page_is_under_integrations(client):
    navigation = client.get(IMPORT).content.decode().split('id="nav"')[1].split("</nav>")[0]
    assert re.findall(r'href="([^"]+)" aria-current', navigation) == [LIST]


def test_uploading_the_list(client):
    file = io.BytesIO(json.dumps({"data": [HUBSPOT]}).encode())
    file.name = "integrations.json"
    assert counts(client.post(IMPORT, {"file": file, "text": ""})) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "x", "tokenNames": ["a"], "tokenInstructions": ["b"]}],
        [{"type": "x", "token_names": None, "tokenNames": ["a"], "token_instructions": ["b"]}],
        {"type": "x", "token_names": ["a"], "tokenInstructions": ["b"]},
        '{"type": "x", "token_names": ["a"], "token_instructions": ["b"]}\r\n\r\n',
    ],
)
def test_spellings_and_shapes(client, content):
    assert counts(paste(client, content)) == (1, 0, 0, 0)
    stored = Integration.objects.get()
    assert (stored.token_names, stored.token_instructions) == (["a"], ["b"])


def test_a_second_time_nothing_changes(client):
    paste(client, [HUBSPOT])
    assert counts(paste(client, [HUBSPOT])) == (0, 0, 1, 0)


def test_values_that_the_list_lacks_stay(client):
    Integration.objects.create(
        type="hubspot", name="Ours", token_names=["Mine"], token_url="https://x.example.com"
    )
    assert counts(paste(client, [{"type": "hubspot", "name": "HubSpot"}])) == (0, 1, 0, 0)
    stored = Integration.objects.get()
    assert (stored.name, stored.token_names) == ("HubSpot", ["Mine"])
    assert stored.token_url == "https://x.example.com"


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("hubspot", "not_an_object"),
        ([], "not_an_object"),
        ({}, "wrong_type"),
        ({"type": ""}, "wrong_type"),
        ({"type": "  "}, "wrong_type"),
        ({"type": 1}, "wrong_type"),
        ({"type": "x" * 256}, "wrong_type"),
        ({"type": "a\0b"}, "bad_text"),
        ({"type": "a\ud800b"}, "bad_text"),
        ({"type": "x", "name": 1}, "wrong_type"),
        ({"type": "x", "name": "n" * 256}, "too_long"),
        ({"type": "x", "name": "a\0b"}, "bad_text"),
        ({"type": "x", "categories": "crm"}, "wrong_type"),
        ({"type": "x", "token_names": [1]}, "wrong_type"),
        ({"type": "x", "token_names": ["a\ud800"]}, "bad_text"),
    ],
)
def test_bad_entries_are_refused_each_on_its_own(client, entry, code):
    response = paste(client, [entry, {"type": "good"}])
    assert counts(response) == (1, 0, 0, 1)
    [issue] = response.context["result"].issues
    assert (issue.code, issue.record) == (code, 0)
    assert issue.message in response.content.decode()
    assert [i.type for i in Integration.objects.all()] == ["good"]


def test_a_key_twice_is_refused(client):
    response = paste(client, '[{"type": "a", "type": "b"}, {"type": "good"}]')
    assert counts(response) == (1, 0, 0, 1)


@pytest.mark.parametrize("content", ["[", "{", "x", "[{}] x", "[1e999]", "<html>", "[NaN]"])
def test_text_that_is_not_json_is_refused_and_not_sent_back(client, content):
    response = paste(client, content + " synth-pasted")
    assert response.status_code == 200
    assert response.context.get("result") is None or response.context["result"].created == 0
    assert "synth-pasted" not in response.content.decode()
    assert not Integration.objects.exists()


def test_a_defect_at_the_end_stores_nothing(client):
    response = paste(client, json.dumps([HUBSPOT])[:-1])
    assert "ends in the middle" in response.content.decode()
    assert not Integration.objects.exists()


def test_nothing_given(client):
    assert "Choose a file, or paste JSON." in client.post(IMPORT, {"text": ""}).content.decode()


@pytest.mark.parametrize(
    ("codenames", "status"),
    [
        (["add_integration", "change_integration"], 200),
        (["add_integration"], 403),
        (["change_integration", "import_connections"], 403),
        (["view_integration"], 403),
    ],
)
def test_permissions_of_the_page(codenames, status):
    user = User.objects.create_user("somebody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    assert client.get(IMPORT).status_code == status
    assert paste(client, [HUBSPOT]).status_code == status
    assert Integration.objects.exists() == (status == 200)


def test_hostile_texts_are_text(client):
    hostile = "<script>alert(1)</script>{{ 7|add:7 }}"
    entry = {name: hostile for name in ("type", "name")}
    paste(
        client, [{**entry, **{n: [hostile] for n in ("token_names", "categories")}}, {hostile: 1}]
    )
    for url in (LIST, page(Integration.objects.get())):
        content = client.get(url).content.decode()
        assert "<script>alert" not in content
        assert "{{ 7|add:7 }}" in content
