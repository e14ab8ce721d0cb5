"""The pages of one connection: what they show to whom, what is logged, and that none opens."""

import re
from datetime import datetime, timedelta, timezone

import pytest
import time_machine

from connections.console import wording
from connections.models import SEALED_COLUMNS, AccessEvent, ConnectionAuth, Integration
from tests.support.helpers import NOW, SECRET, make, user_with
from tests.support.record_form import (
    ADD,
    LIST,
    add,
    full_record,
    messages_of,
    page,
    save,
    spoil,
    stored,
)

pytestmark = pytest.mark.django_db


# Looking


def test_looking_opens_nothing_and_shows_no_secret(client, nothing_opens):
    record = full_record()
    nothing_opens()
    content = client.get(page(record)).content.decode()
    assert "synth-SECRET" not in content
    assert "ada@example.com" not in content
    assert "gAAAA" not in content  # nor a token


def test_the_states_of_sealed_fields(client):
    with time_machine.travel(datetime.now(timezone.utc) - timedelta(days=3, hours=1)):
        record = make(name="A", pem="x" * 1234, key=SECRET)
    spoil(record, "key")
    content = re.sub(r"\s+", " ", client.get(page(record)).content.decode())
    assert "<strong>Stored, about 1.2 KB</strong>" in content
    assert "sealed 3 days ago" in content
    assert "Stored, does not open" in content
    assert "Not set" in content


def test_every_sealed_field_can_be_reached(client):
    record = make(name="A")
    content = client.get(page(record)).content.decode()
    for name in SEALED_COLUMNS:
        assert (f'name="{name}"' in content) == (name != "extra")


def test_the_number_of_queries(client, django_assert_max_num_queries):
    record = full_record()
    client.get(page(record))
    with django_assert_max_num_queries(12):
        client.get(page(record))


@pytest.mark.parametrize("pk", ["x", "1", "00000000-0000-0000-0000-000000000000", "a_2Fb"])
@pytest.mark.parametrize("what", ["change", "delete", "history"])
def test_a_record_that_is_not_there(client, pk, what):
    url = LIST + f"{pk}/{what}/"
    for response in (client.get(url), client.post(url, {"post": "yes"})):
        assert response.status_code == 404


def test_a_record_in_the_bin_is_not_there(client):
    record = make(name="A", binned_at=NOW)
    assert client.get(page(record)).status_code == 404


def test_viewers_see_no_inputs_and_change_nothing():
    record = full_record()
    client = user_with("view_connectionauth")
    response = client.get(page(record))
    content = response.content.decode()
    inside = content.split('id="connectionauth_form"')[1].split("</form>")[0]
    assert not re.findall(r"<(?:textarea|select|details|button)", inside)
    assert {*re.findall(r'<input[^>]*type="(\w+)"', inside)} <= {"hidden"}
    assert SECRET not in content
    assert "Bramblewood Care Homes" in content
    assert client.post(page(record), {"name": "Mine", "version": "1"}).status_code == 403
    assert client.post(page(record, "delete"), {"post": "yes"}).status_code == 403
    assert client.get(ADD).status_code == 403
    assert stored(record).name == "Bramblewood Care Homes"


def test_viewers_see_which_fields_are_not_set():
    content = user_with("view_connectionauth").get(page(make(name="A"))).content.decode()
    beside = re.findall(
        r'class="wire">(\w+)</code></span>\s*<div class="control">(.*?)</div>', content
    )
    said = {name: re.sub("<.*?>", "", text) for name, text in beside}
    assert (said["name"], said["expiryDate"]) == ("A", "Not set")


@pytest.mark.parametrize("kind", ["oauth2", "oauth1", "certificate", "api_key", "other", "empty"])
@pytest.mark.parametrize("ends_in", [timedelta(days=-1), timedelta(hours=3), timedelta(days=99)])
def test_each_kind_has_a_page(client, kind, ends_in):
    fields = {
        "oauth2": {"access_token": "x", "refresh_token": "y"},
        "oauth1": {"consumer_key": "x", "consumer_secret": "y"},
        "certificate": {"pem": "x"},
        "api_key": {"key": "x"},
        "other": {"other_auth_info": ["x"]},
        "empty": {},
    }[kind]
    record = make(name="A", ends_in=ends_in, **fields)
    assert record.auth_kind == kind
    assert client.get(page(record)).status_code == 200


def test_other_credentials_are_shown_beside_their_names(client):
    record = full_record()
    content = re.sub(r"\s+", " ", client.get(page(record)).content.decode())
    section = content.split("field-other_auth_info")[1].split('class="row')[0]
    assert "<dt>1</dt><dd>API key</dd><dt>2</dt><dd>PIN</dd>" in section


HOSTILE = "</textarea><script>alert(1)</script>{{ 7|add:7 }}\"' onfocus=x "


def test_hostile_texts_are_text(client):
    Integration.objects.create(type=HOSTILE, name=HOSTILE, token_names=[HOSTILE])
    names = ("name", "app_id", "client_id", "user_id", "audience", "environment", "external_xref")
    record = make(
        **{name: HOSTILE + "\x1b\u202e" for name in names},
        integration_id=HOSTILE,
        connection_id=HOSTILE,
        workspace_id=HOSTILE,
        last_unhealthy_code=HOSTILE,
        categories=[HOSTILE],
        other_auth_info=[SECRET],
    )
    viewer = user_with("view_connectionauth")
    for content in (
        client.get(page(record)).content.decode(),
        viewer.get(page(record)).content.decode(),
        client.get(page(record, "delete")).content.decode(),
        client.get(page(record, "history")).content.decode(),
    ):
        assert "<script>alert" not in content
        assert "{{ 7|add:7 }}" in content
    save(client, record, key="new")
    assert stored(record).name == HOSTILE + "\x1b\u202e"


# History, log and delete


def test_the_history_names_fields_and_holds_no_value(client):
    record = full_record()
    save(client, record, key="synth-typed", clear_pem="on", app_id="plain-value")
    content = client.get(page(record, "history")).content.decode()
    assert "synth-typed" not in content
    assert "plain-value" not in content
    for name in ("key", "pem", "appId"):
        assert name in content
    assert "Clear the stored" not in content


def test_the_log_holds_no_secret(client):
    add(client, name="A", key="synth-add")
    record = ConnectionAuth.objects.get()
    save(client, record, key="synth-typed", meta='{"synth-k": "synth-v"}')
    client.post(page(record, "delete"), {"post": "yes"})
    entries = list(AccessEvent.objects.about(record).values())
    assert [entry["action"] for entry in entries] == ["add", "change", "delete"]
    assert "synth" not in str(entries)


def test_deleting_asks_first(client):
    record = full_record()
    content = client.get(page(record, "delete")).content.decode()
    assert "Bramblewood Care Homes" in content
    assert SECRET not in content
    assert ConnectionAuth.objects.exists()
    response = client.post(page(record, "delete"), {"post": "yes"}, follow=True)
    assert "Bramblewood Care Homes" in messages_of(response)[-1]
    assert not ConnectionAuth.objects.exists()


@pytest.mark.parametrize("moment", ["0001-01-01", "9999-12-31"])
def test_moments_around_it_at_the_ends_of_the_calendar(client, moment):
    moment = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc)
    record = make(
        name="A",
        key=SECRET,
        last_healthy_at=moment,
        last_unhealthy_at=moment,
        source_created_at=moment,
        source_updated_at=moment,
        received_at=moment,
        locally_changed_at=moment,
        expiry_date=moment,
        refresh_token="r",
        refresh_token_expires_date=moment,
    )
    content = client.get(page(record)).content.decode()
    assert wording.format_datetime(moment) in content
