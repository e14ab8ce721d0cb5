"""Every number of the dashboard is a link, and the list that it leads to has as many rows."""

import random
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.http import QueryDict
from django.utils.http import urlencode

from connections.console.dashboard import context as dashboard
from connections.console.filters import narrow
from connections.expiry import deadlines
from connections.models import ConnectionAuth, Integration, UserScope
from connections.records.counts import ConnectionFilter
from tests.support.helpers import NOW
from tests.support.module_store import module_store

pytestmark = pytest.mark.django_db

LIST = "connections/connectionauth/"
PLACES = (
    {},
    {"environment": "Production"},
    {"integration": "-"},
    {"integration": "a,b&c", "environment": "Staging & more"},
)


class Links(HTMLParser):
    """What a page links to: `found` has pairs of an address and the text of the link.

    Of a tile only its figure counts as its text, and of a bar its name.
    """

    def __init__(self, page):
        super().__init__()
        self.found, self.loose, self._inside, self._open = [], [], None, []
        self.feed(page.content.decode())

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self._inside = [dict(attrs).get("href", ""), [], []]
        self._open.append((tag, dict(attrs).get("class", "")))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass
        if tag == "a" and self._inside:
            address, figures, texts = self._inside
            self.found.append((address, " ".join(figures or texts)))
            self._inside = None

    def handle_data(self, text):
        tag, classes = self._open[-1] if self._open else ("", "")
        if self._inside:
            is_figure = tag == "title" or "figure" in classes.split()
            self._inside[1 if is_figure else 2].append(text.strip())
        elif "main" in (name for name, _ in self._open) and tag == "td":
            self.loose.append(text.strip())


def counted(page):
    """`{address of a list: how many rows the page says it has}`, of every link with a number."""
    numbers = {}
    for address, text in Links(page).found:
        if address.startswith(LIST) and (number := re.search(r"\d[\d,]*", text)):
            number = int(number[0].replace(",", ""))
            assert numbers.setdefault(address, number) == number, address
    return numbers


@module_store
def crowd():
    """Records in all buckets, exact edges among them, in eleven integrations or none."""
    chance = random.Random(5)
    kinds = [*(f"kind-{number}" for number in range(10)), "a,b&c"]
    Integration.objects.bulk_create([Integration(type=kind, name=kind.title()) for kind in kinds])
    edges = [*deadlines.bucket_edges(NOW).values(), *(NOW + timedelta(days=n) for n in range(31))]
    moments = [None, *edges, *(edge + timedelta(microseconds=1) for edge in edges)]
    ConnectionAuth.objects.bulk_create(
        ConnectionAuth(
            auth_kind="oauth2",
            integration_id=chance.choice([None, *kinds]),
            environment=chance.choice([None, "", "Production", "Staging & more"]),
            renewable=chance.random() < 0.4,
            access_expires_at=NOW + timedelta(days=chance.uniform(-5, 5)),
            unreadable_fields=chance.choice([None, None, None, ["token"]]),
            sealed_under=chance.choice([None, "deadbeef"]),
            breaks_at=chance.choice([*moments, NOW + timedelta(days=chance.uniform(-20, 500))]),
        )
        for _ in range(200)
    )


@pytest.mark.parametrize("place", PLACES)
def test_every_number_leads_to_a_list_of_as_many_rows(place, crowd, client):
    with time_machine.travel(NOW, tick=False):
        page = client.get("/admin/", place)
        assert_every_number_above_zero_is_a_link_that_keeps(place, page)
        numbers = counted(page)
        assert len(numbers) > 10
        for position, (address, number) in enumerate(numbers.items()):
            listed = narrow(ConnectionAuth.objects.all(), QueryDict(address.partition("?")[2]))
            assert listed.count() == number, address
            if position % 16 == 0:  # a page takes a while; its rows are of the same queryset
                shown = client.get(f"/admin/{address}").context["cl"]
                found = (shown.result_count, len(shown.result_list))
                assert found == (number, min(number, 100)), address


def assert_every_number_above_zero_is_a_link_that_keeps(place, page):
    page = Links(page)
    assert {text for text in page.loose if text.isdigit()} == {"0"}
    lists = [address for address, _ in page.found if address.startswith(LIST + "?")]
    assert len(lists) > 10
    for name, value in place.items():
        assert all(urlencode({name: value}) in address.split("?")[1] for address in lists)


def test_a_limited_user_counts_and_lists_the_same(crowd, client):
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_connectionauth"))
    UserScope.objects.create(user=user, environments=["Production"], integrations=["kind-1"])
    client.force_login(user)
    with time_machine.travel(NOW, tick=False):
        page = client.get("/admin/")
        visible = ConnectionAuth.objects.visible_to(user).count()
        assert page.context["dashboard"].total == visible > 0
        for position, (address, number) in enumerate(counted(page).items()):
            listed = narrow(ConnectionAuth.objects.all(), QueryDict(address.partition("?")[2]))
            assert listed.visible_to(user).count() == number, address
            if position % 8 == 0:
                shown = client.get(f"/admin/{address}").context["cl"]
                assert shown.queryset.count() == number, address


def test_all_integrations_are_as_many_as_their_list_has(crowd, client):
    assert ("/admin/connections/integration/", "See all 11") in Links(client.get("/admin/")).found
    assert client.get("/admin/connections/integration/").context["cl"].result_count == 11


def test_the_filter_choices_are_the_largest_and_the_current_one(monkeypatch):
    monkeypatch.setattr(dashboard, "MAX_FILTER_CHOICES", 4)
    ConnectionAuth.objects.all().delete()
    Integration.objects.all().delete()
    kinds = [f"kind-{number:02}" for number in range(6)]
    Integration.objects.bulk_create([Integration(type=kind) for kind in kinds])
    ConnectionAuth.objects.bulk_create(
        ConnectionAuth(auth_kind="oauth2", integration_id=kind)
        for number, kind in enumerate(kinds)
        for _ in range(number + 1)
    )
    shown = dashboard.get_context(User(is_superuser=True), NOW, ConnectionFilter("kind-00"))
    names = [choice.name for choice in shown.filters.integrations]
    assert names == ["All integrations", "kind-00", *kinds[2:]]
