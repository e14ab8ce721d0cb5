"""Export in the browser: what is chosen, in which form, and who gets secrets."""

import json
import re
from datetime import timedelta
from itertools import product

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections.encryption.fields import Sealed
from connections.models import AccessEvent, ConnectionAuth, Integration
from tests.support.helpers import (
    FULL_AUTH,
    SECRET,
    cast,
    export_text,
    import_text,
    make,
    prove_present,
    signed_in,
    user_with,
)
from tests.support.module_store import module_store

pytestmark = pytest.mark.django_db
URL = reverse("admin:connections_export")
LIST = reverse("admin:connections_connectionauth_changelist")
FORM = {"shape": "connection", "naming": "camel", "format": "json", "secrets": "include"}


@module_store
def administrator():
    return prove_present(signed_in(User.objects.create_superuser("admin", password="password")))


def download(client, **choices):
    """The response and the text of an export."""
    response = client.post(URL, {**FORM, **choices})
    assert response.status_code == 200
    return response, response.getvalue().decode()


def names(text):
    return sorted(entry["auth"]["name"] for entry in json.loads(text))


@pytest.fixture
def full():
    Integration.objects.create(type="hubspot", name="HubSpot")
    import_text([{"id": "c-1", "integrationType": "hubspot", "auth": {**FULL_AUTH, "newKey": 1}}])
    return ConnectionAuth.objects.get()


# What is chosen


def test_everything(client):
    cast()
    page = client.get(URL)
    assert "Export 7 connections" in page.content.decode()
    assert len(names(download(client)[1])) == 7


def test_a_selection_of_the_list(client):
    records = cast()
    chosen = [str(records[name].pk) for name in ("day", "week")]
    page = client.post(LIST, {"action": "export_selected", "_selected_action": chosen})
    assert "Export 2 connections" in page.content.decode()
    hidden = dict(
        re.findall(
            r'<input type="hidden" name="(query|ids)" value="([^"]*)"', page.content.decode()
        )
    )
    assert names(download(client, **hidden)[1]) == ["Day Ltd", "Week Ltd"]


def test_all_pages_of_a_filtered_list(client):
    cast()
    ConnectionAuth.objects.bulk_create(
        [ConnectionAuth(name=f"N{n}", environment="Sandbox") for n in range(120)]
    )
    page = client.post(
        LIST + "?environment=Sandbox&p=2&o=2",
        {
            "action": "export_selected",
            "select_across": "1",
            "_selected_action": [str(ConnectionAuth.objects.get(name="N1").pk)],
        },
    )
    assert page.context["count"] == 120
    query = page.context["form"].initial["query"]
    assert len(names(download(client, query=query)[1])) == 120


def test_the_filter_of_the_list_through_its_link(client):
    cast()
    link = re.search(
        rf'href="({URL}\?[^"]*)"', client.get(LIST, {"bucket": "week"}).content.decode()
    )[1]
    page = client.get(link.replace("&amp;", "&"))
    assert page.context["count"] == 1
    assert names(download(client, query="bucket=week")[1]) == ["Week Ltd"]


def test_a_filter_is_not_evaluated_again_for_each_part_of_the_file(client):
    """As ids in a subquery it was: 300,000 connections had not begun to come in 5 minutes."""
    cast()
    with CaptureQueriesContext(connection) as queries:
        download(client, query="kind=oauth2")
    asked = [one["sql"] for one in queries if "auth_kind" in one["sql"]]
    assert asked and not any(sql.count("SELECT") > 1 for sql in asked), asked


def test_queries_of_the_list(client):
    cast()
    for query, expected in (
        ("bucket=stale", ["Stale Ltd"]),
        ("q=endless", ["Endless Ltd"]),
        ("bucket=day&q=day&kind=oauth2&paused=0&p=7", ["Day Ltd"]),
        ("p=999", None),
        ("p=x&o=9.9", None),
        ("integration=none-such", []),
    ):
        assert client.get(f"{URL}?{query}").status_code == 200, query
        text = download(client, query=query)[1]
        assert expected is None or names(text) == expected, query


def test_lookups_that_are_not_allowed_do_not_filter(client):
    cast()
    for query in ("access_token__startswith=s", "content_digest=1", "ids=1", "_to_field=key"):
        assert client.get(f"{URL}?{query}").context["count"] == 7, query
        assert len(names(download(client, query=query)[1])) == 7, query


def test_bad_ids_are_not_found(client):
    cast()
    for ids in ("x", ",", "1,2", "\x00", "' OR 1=1 --", "0" * 5000):
        response = client.post(URL, {**FORM, "ids": ids})
        assert response.status_code in (200, 404), ids
        if response.status_code == 200:
            assert "form" in response.context  # asked again: nothing is sent


def test_unknown_ids_export_nothing(client):
    cast()
    assert download(client, ids="00000000-0000-0000-0000-000000000000")[1] == "[]\n"


def test_records_in_the_bin_are_not_exported(client):
    record = make(name="A", binned_at="2026-01-01T00:00:00Z")
    make(name="B")
    assert names(download(client)[1]) == ["B"]
    assert download(client, ids=str(record.pk))[1] == "[]\n"


# In which form


def test_the_file_is_the_one_that_the_command_writes(client, full):
    for shape, naming, form, secrets in product(
        ("auth", "connection"), ("camel", "snake"), ("json", "ndjson"), ("include", "mask", "omit")
    ):
        options = {"shape": shape, "naming": naming, "format": form, "secrets": secrets}
        text = download(client, **options)[1]
        assert text == export_text(**options), options
        assert (SECRET in text) == (secrets == "include"), options
        assert ("accessToken" in text) == (naming == "camel" and secrets != "omit"), options


def test_an_export_imports_as_unchanged(client, full):
    result, _ = import_text(download(client)[1])
    assert (result.read, result.unchanged) == (1, 1)


@pytest.mark.parametrize(
    ("form", "kind"), [("json", "application/json"), ("ndjson", "application/x-ndjson")]
)
def test_name_and_type_of_the_file(client, full, form, kind):
    response, _ = download(client, format=form)
    assert response["Content-Type"] == kind
    assert re.fullmatch(
        rf'attachment; filename="connections-\d{{4}}-\d\d-\d\d\.{form}"',
        response["Content-Disposition"],
    )
    assert response["Cache-Control"] == "no-store"
    assert "default-src 'none'" in response["Content-Security-Policy"]


@pytest.mark.parametrize("value", ["", "x", "<script>"])
def test_invalid_choices_show_the_form_again(client, full, value):
    for field in FORM:
        response = client.post(URL, {**FORM, field: value})
        assert response.status_code == 200
        assert response.context["form"].errors, field
        assert SECRET not in response.content.decode()
        assert "<script>" not in response.content.decode()


# Who gets secrets


def test_looking_at_the_page_opens_nothing(client, full, nothing_opens):
    nothing_opens()
    for query in ({}, FORM, {"secrets": "include"}):
        response = client.get(URL, query if query == {} else {})
        assert SECRET not in response.content.decode()
    assert client.get(URL, FORM)["Content-Type"].startswith("text/html")  # a link can't export


def test_an_export_without_secrets_opens_nothing(client, full, nothing_opens):
    nothing_opens()
    assert "Bramblewood" in download(client, secrets="omit")[1]


def test_a_viewer_gets_masks(full):
    client = user_with("view_connectionauth")
    page = client.get(URL).content.decode()
    assert 'value="include"' not in page
    assert 'value="mask"' in page
    text = download(client, secrets="mask")[1]
    assert SECRET not in text
    assert json.loads(text)[0]["auth"]["accessToken"] == "********"
    assert SECRET not in download(client, secrets="omit")[1]


@pytest.mark.parametrize("more", ["reveal_secrets", "change_connectionauth", "import_connections"])
def test_a_post_made_by_hand_gets_no_secret_without_the_permission(full, more):
    client = user_with("view_connectionauth", more)
    for choices in ({"secrets": "include"}, {"secrets": ["mask", "include"]}):
        response = client.post(URL, {**FORM, **choices})
        assert response.status_code == 200
        assert "form" in response.context
        assert SECRET not in response.content.decode()


def test_with_the_permission_secrets_are_there(full):
    client = prove_present(user_with("view_connectionauth", "export_secrets"))
    assert SECRET in download(client)[1]


def test_secrets_ask_for_presence_and_the_choices_come_back(full, admin_client):
    make(name="Other", token=SECRET)
    chosen = {**FORM, "naming": "snake", "format": "ndjson", "ids": str(full.pk)}
    asking = admin_client.post(URL, chosen)
    assert asking.url.startswith("/admin/account/reauthenticate/")
    assert not AccessEvent.objects.filter(action="export").exists()
    back = admin_client.post(asking.url, {"password": "password"}, follow=True)
    assert back.context["count"] == 1
    assert back.context["form"].initial == {**chosen, "query": ""}
    assert SECRET not in back.content.decode()
    assert SECRET in download(admin_client, **chosen)[1]


def test_an_export_without_secrets_needs_no_reauthentication(full, admin_client):
    for secrets in ("mask", "omit"):
        assert "Bramblewood" in download(admin_client, secrets=secrets)[1]


def test_returning_without_a_selection_shows_the_form(full, admin_client):
    assert admin_client.get(f"{URL}?export").context["count"] == 1


def test_without_the_permission_to_look_there_is_no_export(full):
    client = user_with("export_secrets", "import_connections", "view_integration")
    assert client.get(URL).status_code == 403
    assert client.post(URL, FORM).status_code == 403
    data = {"action": "export_selected", "_selected_action": [str(full.pk)]}
    assert client.post(LIST, data).status_code == 403


def test_other_methods_are_refused(client):
    assert client.put(URL).status_code == 405
    assert client.delete(URL).status_code == 405


def test_a_post_needs_the_token_of_its_form(full):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    assert client.post(URL, FORM).status_code == 403


# What does not open


def test_records_that_do_not_open_are_left_out_and_counted(client, full):
    make(name="Fine", key=SECRET, ends_in=timedelta(days=1))
    garbage = Sealed("garbage", "key", str(full.pk))
    ConnectionAuth.objects.filter(pk=full.pk).update(key=garbage, unreadable_fields=["key"])
    assert "does not open" in client.get(URL).content.decode()
    assert names(download(client)[1]) == ["Fine"]
    assert names(download(client, secrets="omit")[1]) == ["Bramblewood Care Homes", "Fine"]
