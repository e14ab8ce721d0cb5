"""Previous and next on the page of a connection: the rows beside it in the list that led there."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from connections.console.filters import narrow
from connections.console.records import neighbours
from connections.models import ConnectionAuth, Integration, UserScope
from tests.support.helpers import FULL_AUTH, SECRET, cast, import_text, make

pytestmark = pytest.mark.django_db
LIST = reverse("admin:connections_connectionauth_changelist")


def url(pk, query=""):
    way_back = "?" + urlencode({"_changelist_filters": query}) if query else ""
    return reverse("admin:connections_connectionauth_change", args=[pk]) + way_back


def listed(client, query=""):
    """The ids that the list shows, in its order."""
    content = client.get(f"{LIST}?{query}").content.decode()
    return re.findall(r'name="_selected_action" value="([^"]+)"', content)


def beside(client, pk, query=""):
    """What the page of a record links to: (previous, next), as addresses or None."""
    content = client.get(url(pk, query)).content.decode()
    found = {}
    for rel in ("prev", "next"):
        link = re.search(rf'rel="{rel}" href="([^"]+)"', content)
        found[rel] = link and link[1].replace("&amp;", "&")
    return found["prev"], found["next"]


def walk(client, query=""):
    """Follow "next" from the first of the list to the end: the ids met."""
    met, following = [], url(listed(client, query)[0], query)
    while following:
        content = client.get(following).content.decode()
        met.append(following.split("/connectionauth/")[1].split("/")[0])
        link = re.search(r'rel="next" href="([^"]+)"', content)
        following = link and link[1].replace("&amp;", "&")
        assert len(met) < 50
    return met


@pytest.fixture
def many():
    """Records with equal and absent values in what a list can be sorted by."""
    for kind in ("xero", "hubspot"):
        Integration.objects.create(type=kind, name=kind.title())
    cast()
    for number, name in enumerate(["Twin", "Twin", None, "A", None]):
        make(
            name=name,
            key=SECRET,
            integration_id=[None, "xero", "hubspot"][number % 3],
            environment=[None, "Sandbox"][number % 2],
        )


ORDERS = ["", "o=1", "o=-1", "o=2", "o=-2", "o=3.2", "o=-3.2", "o=4", "o=-5.2", "o=-7.3"]


@pytest.mark.parametrize("query", ORDERS)
def test_previous_and_next_follow_the_order_of_the_list(client, many, query):
    ids = listed(client, query)
    assert len(ids) == 12
    if query in ("", "o=-5.2"):
        assert beside(client, ids[6], query) == (url(ids[5], query), url(ids[7], query))
    rows = narrow(ConnectionAuth.objects.all(), QueryDict(query))
    records = list(rows)
    assert [str(record.pk) for record in records] == ids
    places = [neighbours.find(rows, record) for record in records]
    pks = [record.pk for record in records]
    assert [place.before for place in places] == [None, *pks[:-1]]
    assert [place.after for place in places] == [*pks[1:], None]
    assert [(place.position, place.total) for place in places] == [(n, 12) for n in range(1, 13)]


def test_next_walks_through_the_list(client, many):
    query = "o=-7.3&integration=-&kind=api_key"
    ids = listed(client, query)
    assert len(ids) > 3
    assert walk(client, query) == ids
    assert beside(client, ids[0], query) == (None, url(ids[1], query))


def test_neighbours_pass_the_filter_and_the_search(client, many):
    query = "kind=api_key&q=Twin"
    ids = listed(client, query)
    assert len(ids) == 2
    assert walk(client, query) == ids
    content = client.get(url(ids[0], query)).content.decode()
    assert "1 of 2 in" in content
    assert "search: Twin" in content
    assert f'href="{LIST}?kind=api_key&amp;q=Twin"' in content


def test_a_record_that_left_the_list_keeps_its_neighbours(client):
    first, gone, last = (
        make(name=name, access_token=SECRET, ends_in=timedelta(days=days))
        for name, days in (("A", 2), ("B", 40), ("C", 3))
    )
    query = "bucket=week"
    before, after = beside(client, gone.pk, query)
    assert (str(last.pk) in before, after) == (True, None)
    assert "1 of" not in client.get(url(gone.pk, query)).content.decode()
    assert str(first.pk) in listed(client, query)


def test_neighbours_cross_the_pages_of_the_list(client, many):
    ids = listed(client)
    previous, following = beside(client, ids[5], "p=2")
    assert ids[4] in previous
    assert ids[6] in following


def test_without_a_filter_it_is_the_list_of_all(client, many):
    ids = listed(client)
    assert beside(client, ids[0]) == (None, url(ids[1]))
    assert "all connections" in client.get(url(ids[0])).content.decode()


def test_parameters_that_no_list_takes_are_ignored(client, many):
    ids = listed(client)
    for query in ("access_token__startswith=x", "o=99", "bucket=none", "p=x", "breaks=x..y"):
        assert ids[1] in beside(client, ids[0], query)[1]


def test_saving_keeps_the_list(client):
    made = make(name="A", access_token=SECRET, ends_in=timedelta(days=2))
    data = {"name": "B", "version": "1", "_continue": "1"}
    response = client.post(url(made.pk, "bucket=week"), data)
    assert response.url == url(made.pk, "bucket=week")
    response = client.post(url(made.pk, "bucket=week"), {**data, "version": "2"} | {"name": "C"})
    assert response.status_code == 302


def limited_to(kind):
    """A client of somebody who may look at one integration."""
    user = User.objects.create_user("somebody", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_connectionauth"))
    UserScope.objects.create(user=user, integrations=[kind])
    client = Client()
    client.force_login(user)
    return client


def test_neighbours_are_inside_the_scope():
    for kind in ("xero", "hubspot"):
        Integration.objects.create(type=kind, name=kind.title())
    mine, other, also_mine = (
        make(name=name, key=SECRET, integration_id=kind)
        for name, kind in (("A", "xero"), ("B", "hubspot"), ("C", "xero"))
    )
    client = limited_to("xero")
    ids = listed(client)
    assert str(other.pk) not in ids
    assert walk(client) == ids
    assert {str(mine.pk), str(also_mine.pk)} == {*ids}


def test_a_long_list_is_not_counted(client, many, monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_COUNTED", 11)
    ids = listed(client)
    content = client.get(url(ids[3])).content.decode()
    assert " of 12" not in content
    assert ids[4] in beside(client, ids[3])[1]


def test_the_number_of_queries(client, many, django_assert_max_num_queries):
    import_text([{"id": "c1", "integrationType": "xero", "auth": FULL_AUTH}])
    made = ConnectionAuth.objects.get(connection_id="c1")
    query = "integration=xero&environment=Production&q=Bramblewood"
    client.get(url(made.pk, query))
    with django_assert_max_num_queries(12):
        assert "1 of 1" in client.get(url(made.pk, query)).content.decode()


def test_the_number_of_queries_of_users_with_a_scope(many, django_assert_max_num_queries):
    client = limited_to("xero")
    query = "integration=xero&kind=api_key&old_key=0&o=3.2"
    pk = listed(client, query)[0]
    client.get(url(pk, query))
    with django_assert_max_num_queries(12):
        client.get(url(pk, query))
