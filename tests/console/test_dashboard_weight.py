"""The dashboard is light: few queries whoever looks, and a small page however much there is."""

import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.audit import log
from connections.models import ConnectionAuth, DailyCount, ImportRun, Integration, UserScope
from connections.records import counts
from tests.support.module_store import module_store

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("dashboard_weight")]

QUERIES, BYTES = 12, 60 * 1024
SCOPE = {"environments": ["Production", "Staging"], "integrations": []}


@module_store
def store():
    """Something behind every number: 2,000 records in 14 integrations."""
    chance, now = random.Random(3), timezone.now()
    kinds = [f"integration-{number}" for number in range(14)]
    Integration.objects.bulk_create(Integration(type=kind, name=kind.title()) for kind in kinds)
    moments = [*(now + timedelta(days=chance.uniform(-9, 31)) for _ in range(60))]
    ConnectionAuth.objects.bulk_create(
        ConnectionAuth(
            name="Bramblewood Care Homes and Partners",
            auth_kind=chance.choice(["oauth2", "certificate", "api_key"]),
            integration_id=chance.choice(kinds),
            environment=chance.choice(["Production", "Staging", None]),
            renewable=chance.random() < 0.5,
            access_expires_at=now + timedelta(days=chance.uniform(-5, 5)),
            sealed_under=chance.choice([None, "deadbeef"]),
            unreadable_fields=chance.choice([None, None, ["token"]]),
            breaks_at=chance.choice(
                [None, chance.choice(moments), now + timedelta(days=chance.uniform(0, 500))]
            ),
        )
        for _ in range(2000)
    )
    runs = {"size": 1, "file_name": "a.json", "started_at": now, "heartbeat_at": now}
    ImportRun.objects.create(**runs, status="done", finished_at=now)
    ImportRun.objects.create(**runs, status="running", done=1, total=2)
    log.log_event("export", count=1, reason="secrets: mask")


def look(client):
    """The queries of a look at the dashboard."""
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/admin/")
    assert page.context["dashboard"].total > 500
    return [query["sql"] for query in queries.captured_queries]


@pytest.mark.parametrize("scope", [None, SCOPE], ids=["everything", "limited"])
@pytest.mark.parametrize("groups", [["Viewer"], ["Custodian", "Auditor"]], ids=" and ".join)
def test_the_first_request_of_a_day_takes_few_queries_too(store, client, groups, scope):
    user = User.objects.create_user("ada", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    if scope:
        UserScope.objects.create(user=user, **scope)
    client.force_login(user)
    for is_first in (True, False):
        queries = look(client)
        assert len(queries) <= QUERIES, "\n".join(queries)
        assert any("INSERT" in query for query in queries) == is_first
    assert DailyCount.objects.count() == 1


@pytest.mark.parametrize(
    "place",
    [{}, {"environment": "Production"}, {"integration": "integration-3"}],
    ids=["everywhere", "environment", "integration"],
)
def test_the_page_is_small(store, client, place):
    client.get("/admin/")
    DailyCount.objects.update(day=timezone.now().date() - timedelta(days=1))  # to compare with
    page = client.get("/admin/", place)
    assert "than yesterday" in page.content.decode()
    assert 30_000 < len(page.content) <= BYTES


def test_counts_are_read_from_an_index_alone(store):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL decides by what it knows of a table")
    with CaptureQueriesContext(connection) as queries:
        counts.count_groups(ConnectionAuth.objects.all(), timezone.now())
    (query,) = queries.captured_queries
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}".replace("%", "%%"))
        plan = " ".join(row[3] for row in cursor.fetchall())
    assert "COVERING INDEX connection_breaks" in plan
