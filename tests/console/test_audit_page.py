"""The page of the audit log, its filters, and its rows as CSV."""

import csv
import io
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from connections.audit import log
from connections.models import AccessEvent
from tests.support.helpers import make, member_of

pytestmark = pytest.mark.django_db
PAGE = reverse("admin:connections_audit")
EXPORT = reverse("admin:connections_audit_export")


@pytest.fixture
def auditor():
    return member_of("Auditor", "auditor")


def numbers(response):
    return [entry.pk for entry in response.context["entries"]]


def rows(response):
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_only_readers_of_the_audit_log_get_it():
    client = member_of("Custodian")
    for url in (PAGE, EXPORT):
        assert client.get(url).status_code == 403


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({"user": "alice"}, ["alice-1", "alice-2"]),
        ({"action": "reveal"}, ["alice-2"]),
        ({"result": "refused"}, ["bob-1"]),
        ({"user": "alice", "action": "export"}, ["alice-1"]),
        ({"record": "CRM"}, ["alice-2"]),
        ({"record": "CR"}, []),
        ({"user": "alice", "since": "2026-01-02"}, ["alice-1", "alice-2"]),
        ({"user": "alice", "until": "2026-01-02"}, []),
        ({"since": "1066-10-14"}, []),
        ({"until": "9999-12-31"}, []),
        ({"user": "alice\0"}, []),
        ({"action": "peek"}, []),
        ({"before": "0"}, []),
    ],
)
def test_the_filters(auditor, question, expected):
    record = make(name="CRM", token="t")
    log.log_event("export", user="alice", reason="alice-1")
    log.log_event("reveal", user="alice", reason="alice-2", record=record)
    log.log_event("export", user="bob", reason="bob-1", result="refused")
    response = auditor.get(PAGE, question)
    assert response.status_code == 200
    found = {entry.reason for entry in response.context["entries"]}
    assert found == set(expected)
    assert auditor.get(PAGE, {"record": str(record.pk)}).context["entries"][0].user == "alice"


def test_days_are_whole(auditor):
    entry = log.log_event("export", user="alice")
    today = timezone.localdate(entry.at)
    for since, until, found in ((0, 0, 1), (1, 1, 0), (-1, -1, 0)):
        days = {
            "since": today + timedelta(days=since),
            "until": today + timedelta(days=until),
            "user": "alice",
        }
        assert len(auditor.get(PAGE, days).context["entries"]) == found


def test_pages_go_on_where_the_one_before_ended(auditor):
    for _ in range(70):
        log.log_event("export", user="alice")
    first = auditor.get(PAGE, {"user": "alice"})
    second = auditor.get(f"{PAGE}?{first.context['older_query']}")
    assert (len(numbers(first)), len(numbers(second))) == (50, 20)
    assert numbers(first)[-1] == numbers(second)[0] + 1
    assert not second.context["older_query"]


def test_a_page_takes_few_queries(auditor, django_assert_max_num_queries):
    for number in range(60):
        log.log_event("export", user="alice", reason=str(number))
    auditor.get(PAGE)
    with django_assert_max_num_queries(12):
        auditor.get(PAGE, {"user": "alice", "action": "export", "since": "2026-01-01"})


def test_text_stays_text(auditor):
    log.log_event("export", user="<script>", reason="<img src=x>\u202e")
    page = auditor.get(PAGE).content.decode()
    assert "<script>" not in page.replace("<script src", "")
    assert "&lt;img src=x&gt;\\u202e" in page


def test_the_csv_has_the_filtered_entries_and_is_audited(auditor):
    log.log_event("export", user="alice", fields=["token", "key"], count=3, reason="Ticket 7")
    log.log_event("export", user="bob")
    (row,) = rows(auditor.get(EXPORT, {"user": "alice"}))
    assert (row["user"], row["fields"], row["count"]) == ("alice", "key, token", "3")
    assert row["mac"] == AccessEvent.objects.get(user="alice").mac
    newest = AccessEvent.objects.order_by("-id")[0]
    assert (newest.action, newest.record_type, newest.count) == ("export", "audit log", 1)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_cell_is_a_formula(auditor, begin):
    AccessEvent(
        id=9_999, at=timezone.now(), action="export", user="x", reason=f"{begin}1+1"
    ).save()
    (row,) = rows(auditor.get(EXPORT, {"user": "x"}))
    assert row["reason"] == f"'{begin}1+1"


@pytest.mark.parametrize("part", [";", "; ", ';"'])
def test_no_cell_is_one_where_a_semicolon_parts_them(auditor, part):
    """As it does where a comma is decimal, whatever is quoted around a comma."""
    log.log_event("export", user=f"x{part}=1+1", reason="Ticket")
    text = auditor.get(EXPORT, {"action": "export"}).getvalue().decode()
    for row in csv.reader(io.StringIO(text), delimiter=";"):
        assert not any(cell.lstrip(' "').startswith("=") for cell in row)


def test_the_navigation_links_to_it_for_users_who_may_read_it(auditor):
    assert f'href="{PAGE}"' in auditor.get(PAGE).content.decode()
    content = member_of("Viewer").get(reverse("admin:index")).content.decode()
    assert f'href="{PAGE}"' not in content
