"""What an address may ask of the admin is an allow-list; the rest does nothing at all."""

import re
from urllib.parse import urlencode

import pytest
from django.urls import reverse

from connections.models import Integration
from tests.support.helpers import SECRET, make
from tests.support.thorough import is_thorough

pytestmark = pytest.mark.django_db

LIST = "admin:connections_connectionauth_changelist"
OTHER_LISTS = (
    "admin:connections_integration_changelist",
    "admin:auth_user_changelist",
    "admin:auth_group_changelist",
)
UNKNOWN = [
    "access_token__startswith",
    "access_token",
    "access_token__isnull",
    "pem__contains",
    "meta__realm",
    "content_digest",
    "identity_digest__startswith",
    "client_id__startswith",
    "integration__token_url__startswith",
    "integration__isnull",
    "name",
    "id__in",
    "pk",
    "connections__access_token__startswith",
    "password__startswith",
    "token_url__startswith",
    "_to_field",
    "_popup",
    "_facets",
    "_changelist_filters",
    "e",
    "no_such_thing",
    "\0",
]
KNOWN = [
    {"bucket": "\0", "environment": "\0", "auth_type__exact": "\0"},
    *({"o": text} for text in ("99", "-99.1", "access_token", "1.x", "٣", "9" * 5000)),
]


@pytest.fixture
def record():
    Integration.objects.create(type="x", name="X")
    return make(name="A", access_token=SECRET, integration_id="x")


def page(client, url, query=None):
    """Status and text of a page, without what is new on each."""
    response = client.get(url, query)
    return response.status_code, re.sub(
        r'(csrfmiddlewaretoken" value=")\w+|\d+ (seconds?|minutes?)', r"\1", response.text
    )


@pytest.mark.parametrize("url", [LIST, *OTHER_LISTS])
def test_a_list_ignores_parameters_that_are_not_allowed(client, record, url):
    plain = page(client, reverse(url))
    assert plain[0] == 200
    unknown = [{name: "s"} for name in UNKNOWN] if is_thorough() else [dict.fromkeys(UNKNOWN, "s")]
    asked = [*unknown, *(KNOWN if url == LIST else KNOWN[:2])]  # one class reads all orders
    assert [query for query in asked if page(client, reverse(url), query) != plain] == []


@pytest.mark.parametrize("url", ["change", "delete", "history"])
def test_the_page_of_one_record_ignores_them_too(client, record, url):
    asked = [("_to_field", "access_token"), ("_popup", "1"), ("access_token", "x"), ("e", "1")]
    url = reverse(f"admin:connections_connectionauth_{url}", args=[record.pk])
    plain = page(client, url)
    assert plain[0] == 200
    assert [pair for pair in asked if page(client, url, dict([pair])) != plain] == []


@pytest.mark.parametrize("name", ["_to_field", "_popup"])
def test_a_posted_column_to_look_up_by_is_ignored(client, record, name):
    url = reverse("admin:connections_integration_change", args=[Integration.objects.get().pk])
    values = {"type": "x", "name": "Y", "auth_type": "", name: "token_url"}
    response = client.post(url, values)
    assert response.status_code == 302
    assert response.url == reverse(OTHER_LISTS[0])
    assert Integration.objects.get().name == "Y"


@pytest.mark.parametrize(
    ("name", "found"), [("bucket", "no_end"), ("integration", "x"), ("o", "-2"), ("q", "A")]
)
def test_the_filters_still_work(client, record, name, found):
    response = client.get(reverse(LIST), {name: found, "content_digest": "guess"})
    assert [*response.context["cl"].queryset] == [record]
    assert client.get(reverse(LIST), {"bucket": "broken"}).context["cl"].result_count == 0


def test_an_export_of_a_filter_takes_the_same_allow_list(client, record):
    query = {"access_token__startswith": "x"}
    assert client.get(reverse("admin:connections_export"), query).context["count"] == 1


def test_nothing_completes_names_or_redirects_to_objects(client, record):
    query = "app_label=connections&model_name=connectionauth&field_name=integration&term=x"
    assert client.get(f"/admin/autocomplete/?{query}").status_code == 404
    assert client.get(f"/admin/r/1/{record.pk}/").status_code == 404


def test_a_search_of_hundreds_of_words_finds_nothing(client, record):
    query = {"q": "A " * 1500}
    for name in (LIST, *OTHER_LISTS):
        assert client.get(reverse(name), query).context["cl"].result_count == 0
    assert client.get(reverse("admin:connections_export"), query).context["count"] == 0
    url = reverse("admin:connections_connectionauth_change", args=[record.pk])
    assert client.get(url, {"_changelist_filters": urlencode(query)}).status_code == 200


@pytest.mark.parametrize("no_id", ["x", "\0", "9" * 30, "9" * 5000])
def test_selected_values_that_are_not_ids_are_ignored(client, record, no_id):
    posted = {"action": "export_selected", "_selected_action": [no_id, str(record.pk)]}
    for across in ("0", "", "false", "1"):
        response = client.post(reverse(LIST), {**posted, "select_across": across})
        assert response.context["count"] == 1
    for name in OTHER_LISTS:
        posted = {"action": "delete_selected", "_selected_action": [no_id], "post": "yes"}
        assert client.post(reverse(name), posted).status_code == 200  # the list, as it is
