"""What stands around the form of a connection: its time line, its JSON, its history."""

import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone as django_timezone

from connections.audit import log
from connections.console.records import timeline
from connections.console.records.page import build_header
from connections.console.records.timeline import build_timeline
from connections.models import AccessEvent, ConnectionAuth, ImportRun
from connections.records import history
from tests.support.helpers import FULL_AUTH, NOW, SECRET, export_text, import_text, make
from tests.support.record_form import LIST, page

pytestmark = pytest.mark.django_db


def text_of(response):
    return re.sub(r"\s+", " ", response.content.decode())


def unsaved(**fields):
    """A record that only has what the time line asks for."""
    fields = {"received_at": NOW - timedelta(days=2), **fields}
    made = ConnectionAuth(**fields)
    made.derive({name: value for name, value in fields.items() if name != "received_at"})
    return made


def number(place):
    return float(place.removesuffix("%"))


# The time line


def test_ticks_are_in_order_with_now_between_past_and_future():
    line = build_timeline(unsaved(expiry_date=NOW), NOW)
    places = [number(tick["x"]) for tick in line["ticks"]]
    assert places == sorted(places)
    assert places[2] < number(line["now_x"]) < places[3]
    assert places[-1] == 100
    ends = [number(span["x"]) + number(span["width"]) for span in line["bucket_spans"]]
    assert ends == pytest.approx(places[3:], abs=0.002)  # rounded both


def test_both_clocks_and_the_renewal_window():
    line = build_timeline(
        unsaved(
            refresh_token=SECRET,
            expiry_date=NOW - timedelta(hours=2),
            refresh_token_expires_date=NOW + timedelta(days=3),
        ),
        NOW,
    )
    access, refresh = line["clocks"]
    assert (access["is_over"], refresh["is_over"]) == (True, False)
    end_of_access = number(access["x"]) + number(access["width"])
    assert number(line["renewal_window"]["x"]) == pytest.approx(end_of_access, abs=0.001)
    end_of_machine = number(line["renewal_window"]["x"]) + number(line["renewal_window"]["width"])
    assert number(line["break_mark"]["x"]) == pytest.approx(end_of_machine, abs=0.001)
    assert "2 hours ago" in line["text"]
    assert "only the customer can help" in line["text"]


def test_no_text_crosses_the_line_of_now():
    for hours in (-900, -30, -1, 1, 6, 30, 100, 700, 5000):
        access = NOW + timedelta(hours=min(hours, 0) - 1)
        line = build_timeline(
            unsaved(
                refresh_token=SECRET,
                expiry_date=access,
                refresh_token_expires_date=NOW + timedelta(hours=hours),
            ),
            NOW,
        )
        now, breaks = number(line["now_x"]), line["break_mark"]
        if line["renewal_window"]["has_room"]:
            assert number(line["renewal_window"]["middle"]) - timeline.MIN_LABEL_WIDTH / 2 >= now
        before = {
            "start": 0,
            "middle": timeline.BREAK_LABEL_WIDTH / 2,
            "end": timeline.BREAK_LABEL_WIDTH,
        }
        begins = number(breaks["x"]) - before[breaks["anchor"]]
        assert breaks["has_room"] != (begins < now < begins + timeline.BREAK_LABEL_WIDTH), hours


def test_a_record_that_is_not_renewable_has_one_clock_and_no_renewal_window():
    line = build_timeline(unsaved(access_token=SECRET, expiry_date=NOW + timedelta(hours=5)), NOW)
    assert len(line["clocks"]) == 1
    assert line["renewal_window"] is None
    assert "no machine can renew it" in line["text"]


def test_a_renewal_without_a_known_end_goes_on_to_the_end_of_the_line():
    line = build_timeline(unsaved(refresh_token=SECRET, expiry_date=NOW), NOW)
    assert line["break_mark"] is None
    bar = line["clocks"][1]
    assert bar["ends"] is None
    assert number(bar["x"]) + number(bar["width"]) == 100
    assert "no known end" in line["text"]


def test_without_a_clock_there_is_no_line():
    assert build_timeline(unsaved(dev_api_key=SECRET), NOW) is None


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_the_years_1_and_9999_are_at_the_ends_of_the_line(client, moment):
    moment = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc)
    made = make(access_token=SECRET, expiry_date=moment, refresh_token_expires_date=moment)
    line = build_timeline(made, NOW)
    assert line["break_mark"]["x"] == ("0%" if moment.year == 1 else "100%")
    assert client.get(page(made)).status_code == 200


def test_the_line_is_read_out_and_there_as_a_table(client):
    made = make(access_token=SECRET, ends_in=timedelta(days=3, hours=1))
    content = text_of(client.get(page(made)))
    label = re.search(r'<svg[^>]*role="img" aria-label="([^"]*)"', content)[1]
    assert label.startswith("Access ends")
    assert "in 3 days" in label
    assert '<th scope="row">Access</th>' in content


# The record as JSON


def texts_of(client, made):
    response = client.get(page(made))
    shown = re.findall(r'<pre class="in-(\w+)"[^>]*>(.*?)</pre>', response.content.decode(), re.S)
    assert dict(response.context["api_json"]).keys() == {naming for naming, _ in shown}
    return dict(response.context["api_json"])


@pytest.mark.parametrize("naming", ["camel", "snake"])
def test_the_json_is_that_of_a_masked_export(client, naming):
    one_item = {"emails": ["a@example.com"], "otherAuthInfo": [SECRET]}
    import_text(
        [{"id": "c1", "integrationType": "xero", "isPaused": True, "auth": FULL_AUTH | one_item}]
    )
    exported = export_text(shape="connection", naming=naming, secrets="mask")
    shown = texts_of(client, ConnectionAuth.objects.get())[naming]
    assert json.loads(shown) == json.loads(exported)[0]
    assert list(json.loads(shown)) == list(json.loads(exported)[0])


def test_nothing_is_opened_and_odd_text_is_the_same_json(client, nothing_opens):
    name = "A \u202e </pre><script>\u0007 \u00fc"
    made = make(name=name, key=SECRET, meta={"k": SECRET}, emails=["a@example.com"])
    nothing_opens()
    text = texts_of(client, made)["camel"]
    assert json.loads(text)["auth"] == {
        "emails": ["********"],
        "key": "********",
        "meta": {"********": True},
        "name": name,
    }
    assert "\u202e" not in text
    assert "</pre><script>" not in client.get(page(made)).content.decode()


def test_this_one_can_be_exported_from_there(client):
    made, other = make(name="This"), make(name="Other")
    content = client.get(page(made)).content.decode()
    form = content.split('value="export_selected"')[1].split("</form>")[0]
    chosen = re.search(r'name="_selected_action" value="([^"]+)"', form)[1]
    url = reverse("admin:connections_connectionauth_changelist")
    response = client.post(url, {"action": "export_selected", "_selected_action": chosen})
    assert str(made.pk) in response.content.decode()
    assert str(other.pk) not in response.content.decode()


# The history


def an_import(*entries, user=None):
    run = ImportRun.objects.create(
        user=user, file_name="customers.json", size=1, sha256="", status="done"
    )
    import_text(list(entries), run_id=run.pk, user_id=user and user.pk)
    return run


def test_the_history_has_user_action_fields_and_reason(client, admin_user):
    entry = {"id": "c1", "auth": {"name": "A", "key": SECRET}}
    an_import(entry, user=admin_user)
    made = ConnectionAuth.objects.get()
    log.log_event("reveal", record=made, user="jonas", fields=["key"], reason="OPS-2291: asked")
    log.log_event("reveal", record=made, user="jonas", fields=["pem"], result="failed")
    entry["auth"]["clientId"] = "client-2"
    an_import(entry, user=admin_user)
    found = history.entries(history.queryset(made))
    assert [(e.title, e.user, e.fields, e.reason, e.result) for e in found] == [
        ("Changed by an import", "admin", ["clientId"], "File: customers.json", ""),
        ("Revealed", "jonas", ["pem"], "", "Failed"),
        ("Revealed", "jonas", ["key"], "OPS-2291: asked", ""),
        ("Added by an import", "admin", [], "File: customers.json", ""),
    ]
    for content in (text_of(client.get(page(made))), text_of(client.get(page(made, "history")))):
        for said in ("clientId", "OPS-2291: asked", "customers.json", "jonas", "(failed)"):
            assert said in content


def test_a_record_that_was_added_by_hand_is_listed_once(client):
    client.post(reverse("admin:connections_connectionauth_add"), {"name": "A", "key": SECRET})
    made = ConnectionAuth.objects.get()
    assert [entry.title for entry in history.entries(history.queryset(made))] == ["Added"]


def test_nothing_of_another_record(client):
    made, other = make(name="A"), make(name="B")
    log.log_event("change", record=other, user="jonas", fields=["key"])
    assert "jonas" not in text_of(client.get(page(made, "history")))


def test_a_long_history_is_cut_into_pages(client):
    made = make(name="A")
    for turn in range(30):
        log.log_event("reveal", record=made, user="jonas", fields=["key"], reason=f"Turn {turn}.")
    assert "See all" in text_of(client.get(page(made)))
    first = text_of(client.get(page(made, "history")))
    second = text_of(client.get(page(made, "history") + "?page=2"))
    shown = [re.findall(r"Turn (\d+)\.", content) for content in (first, second)]
    assert [len(turns) for turns in shown] == [25, 5]
    assert [int(turn) for turns in shown for turn in turns] == list(range(29, -1, -1))
    assert text_of(client.get(page(made, "history") + "?page=x")).count("Turn ") == 25
    assert "31 entries" in first


def test_odd_text_in_the_history_is_escaped(client):
    made = make(name="A")
    log.log_event("reveal", record=made, user="<b>j\u202e", fields=["key"], reason="<script>why")
    for what in ("change", "history"):
        content = client.get(page(made, what)).content.decode()
        assert "&lt;script&gt;why" in content
        assert "\u202e" not in content
        assert "<b>j" not in content


def test_users_who_may_not_view_connections_see_no_history():
    made = make(name="A")
    user = User.objects.create_user("somebody", password="x", is_staff=True)
    client = Client()
    client.force_login(user)
    assert client.get(page(made, "history")).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_connectionauth"))
    assert client.get(page(made, "history")).status_code == 200


@pytest.mark.parametrize("what", ["change", "history"])
def test_the_number_of_queries(client, admin_user, what, django_assert_max_num_queries):
    entry = {"id": "c1", "integrationType": "xero", "auth": FULL_AUTH}
    an_import(entry, user=admin_user)
    entry["auth"] = {**FULL_AUTH, "name": "B"}
    an_import(entry, user=admin_user)
    made = ConnectionAuth.objects.get()
    log.log_event("reveal", record=made, user="jonas", fields=["key"])
    client.get(page(made, what))
    with django_assert_max_num_queries(12):
        client.get(page(made, what))


def test_the_answers_of_a_stale_record_name_a_next_step():
    made = make(access_token=SECRET, refresh_token=SECRET, ends_in=timedelta(hours=-2))
    logged = AccessEvent.objects.count()
    header = build_header(made, django_timezone.now())
    assert AccessEvent.objects.count() == logged
    answers = {question: answer for question, answer, *_ in header["answers"]}
    assert "renew" in answers["What next?"]


# The head


def test_it_is_paused_and_resumed_from_its_head(client):
    made = make(name="Acorn Ltd", key=SECRET)
    for name, is_paused in (("pause", True), ("resume", False)):
        content = client.get(page(made)).content.decode()
        assert f'name="action" value="{name}"' in content
        chosen = {"action": name, "_selected_action": made.pk}
        run = client.post(LIST, chosen).url
        made.refresh_from_db()
        assert bool(made.is_paused) != is_paused
        client.post(run, {"confirm": "1"})
        made.refresh_from_db()
        assert bool(made.is_paused) == is_paused


def test_viewers_are_not_offered_to_pause():
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_connectionauth"))
    client = Client()
    client.force_login(user)
    assert 'value="pause"' not in client.get(page(make(key=SECRET))).content.decode()


def test_its_links_lead_to_parts_of_the_page(client):
    content = client.get(page(make(pem=SECRET))).content.decode()
    parts = re.findall(r'href="#([^"]+)"', content.partition('class="panel-foot jump')[2])
    assert len(parts) > 7
    for part in parts:
        assert content.count(f'id="{part}"') == 1, part
