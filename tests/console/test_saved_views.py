"""Views: filters of the list under a name, for oneself or shared, within everybody's scope."""

import pytest
from django.urls import reverse

from connections.models import AccessEvent, Integration, SavedView
from tests.support.helpers import SECRET, latest_event, make, member_of

pytestmark = pytest.mark.django_db
LIST = reverse("admin:connections_connectionauth_changelist")
URL = reverse("admin:connections_views")


def save(client, query, name, **more):
    return client.post(f"{URL}?{query}", {"name": name, **more})


def tabs(client, query=""):
    """The names over the list, and which of them is the present one."""
    views = client.get(f"{LIST}?{query}").context["cl"].saved_views()
    return [str(view) for view, _, _ in views], [str(v) for v, _, is_it in views if is_it]


def listed(client, view):
    return [str(r) for r in client.get(f"{LIST}?{view.query}").context["cl"].result_list]


def test_it_is_made_from_the_present_filter_and_leads_to_it(operator):
    make(name="Acme", key=SECRET, is_paused=True)
    make(name="Zeta", key=SECRET + "2")
    response = save(operator, "paused=1&q=ac&p=3&content_digest__startswith=a", "Mine")
    view = SavedView.objects.get()
    assert view.query == "paused=1&q=ac"
    assert response.url == f"{LIST}?{view.query}"
    assert listed(operator, view) == ["Acme"]
    assert tabs(operator) == (["Mine"], [])
    assert tabs(operator, "q=ac&paused=1") == (["Mine"], ["Mine"])
    assert tabs(operator, "paused=1&q=ac&kind=empty") == (["Mine"], [])


def test_the_page_describes_each_view(operator):
    content = operator.get(f"{URL}?kind=oauth2&bucket=week&renewable=0&q=acme").content.decode()
    assert "status: 7 days, kind: OAuth 2, renewed by: Person, search: acme" in content


def test_a_view_is_private_unless_it_is_shared(operator, custodian):
    save(operator, "paused=1", "Mine")
    assert tabs(custodian) == ([], [])
    assert "Mine" not in custodian.get(URL).content.decode()


def test_a_custodian_shares_and_an_operator_does_not(operator, custodian):
    save(operator, "paused=1", "Of the operator", is_shared="on")
    save(custodian, "paused=0", "Of the custodian", is_shared="on")
    assert tabs(operator)[0] == ["Of the operator", "Of the custodian"]
    assert tabs(custodian)[0] == ["Of the custodian"]
    assert "is_shared" not in operator.get(f"{URL}?paused=1").content.decode()


def test_a_shared_view_widens_nobodys_scope(custodian):
    make(name="Inside", key=SECRET, environment="Inside", is_paused=True)
    make(name="Outside", key=SECRET + "2", environment="Outside", is_paused=True)
    save(custodian, "paused=1", "Paused", is_shared="on")
    limited = member_of("Operator", "limited", environments=["Inside"])
    assert {*listed(custodian, SavedView.objects.get())} == {"Outside", "Inside"}
    assert listed(limited, SavedView.objects.get()) == ["Inside"]


@pytest.mark.parametrize(
    ("query", "is_offered"),
    [
        ("environment=Outside", False),
        ("integration=outside", False),
        ("integration=-", False),
        ("environment=Inside&integration=outside", False),
        ("other_than=outside", False),
        ("environment=Inside&integration=inside", True),
        ("paused=1", True),
    ],
)
def test_users_with_a_scope_learn_nothing_of_other_connections(custodian, query, is_offered):
    for name in ("inside", "outside"):
        Integration.objects.create(type=name)
    save(custodian, query, "Shared", is_shared="on")
    limited = member_of("Custodian", "limited", environments=["Inside"], integrations=["inside"])
    assert tabs(limited)[0] == (["Shared"] if is_offered else [])
    view = SavedView.objects.get()
    status = limited.post(URL, {"view": view.pk, "delete": "1"}).status_code
    assert status == (302 if is_offered else 404)


def test_it_is_renamed(operator):
    save(operator, "paused=1", "Old")
    view = SavedView.objects.get()
    operator.post(URL, {"view": view.pk, f"{view.pk}-name": "New"})
    assert tabs(operator)[0] == ["New"]
    event = latest_event("change")
    assert (event.record_type, event.record_name, event.fields) == ("view", "New", ["name"])


def test_it_is_deleted(operator):
    save(operator, "paused=1", "Old")
    operator.post(URL, {"view": SavedView.objects.get().pk, "delete": "1"})
    assert not SavedView.objects.exists()
    assert latest_event("delete").record_name == "Old"


@pytest.mark.parametrize("is_shared", [False, True])
def test_only_users_who_may_share_change_the_shared_views_of_others(
    operator, custodian, is_shared
):
    other = member_of("Custodian", "other")
    save(custodian, "paused=1", "Theirs", **({"is_shared": "on"} if is_shared else {}))
    view = SavedView.objects.get()
    for client, expected in ((operator, 404), (other, 302 if is_shared else 404)):
        response = client.post(URL, {"view": view.pk, "delete": "1"})
        assert response.status_code == expected


@pytest.mark.parametrize("key", ["", "x", "999", "\0", "9" * 40])
def test_a_view_that_does_not_exist_cannot_be_changed(operator, key):
    assert operator.post(URL, {"view": key, "delete": "1"}).status_code == 404


@pytest.mark.parametrize(
    ("query", "name", "words"),
    [
        ("", "All", "Choose a filter in the list first"),
        ("p=2", "All", "Choose a filter in the list first"),
        ("paused=1", "", "This field is required"),
        ("paused=1", "x" * 61, "at most 60"),
        ("paused=1", "Taken", "There is a view of that name already"),
        ("q=" + "x" * 2000, "Long", "too long"),
    ],
)
def test_a_refusal_has_a_reason(operator, query, name, words):
    save(operator, "paused=0", "Taken")
    response = save(operator, query, name)
    assert response.status_code == 200
    assert words in response.content.decode()
    assert SavedView.objects.count() == 1


def test_renaming_to_a_taken_name_says_why(operator):
    save(operator, "paused=0", "One")
    save(operator, "paused=1", "Two")
    view = SavedView.objects.get(name="Two")
    response = operator.post(URL, {"view": view.pk, f"{view.pk}-name": "One"})
    assert "There is a view of that name already" in response.content.decode()
    assert SavedView.objects.get(pk=view.pk).name == "Two"


def test_the_views_of_a_user_are_limited(operator):
    for number in range(SavedView.MAX_PER_USER):
        save(operator, "paused=0", f"View {number}")
    assert "as many as fit" in save(operator, "paused=0", "One more").content.decode()
    assert SavedView.objects.count() == SavedView.MAX_PER_USER


def test_viewers_cannot_change(operator):
    operator.get(f"{URL}?paused=1&name=Mine")
    assert not SavedView.objects.exists()
    assert not AccessEvent.objects.filter(record_type="view").exists()


def test_a_hostile_name_is_text(operator):
    save(operator, "paused=1&q=<i>", "<script>alert(1)</script>\u202e")
    for content in (operator.get(LIST).content.decode(), operator.get(URL).content.decode()):
        assert "<script>alert" not in content
        assert "&lt;script&gt;" in content
        assert "<i>" not in content


def test_the_page_of_many_views_takes_few_queries(custodian, django_assert_max_num_queries):
    for number in range(SavedView.MAX_PER_USER):
        save(custodian, f"q={number}", f"View {number}", is_shared="on")
    with django_assert_max_num_queries(12):
        custodian.get(f"{URL}?kind=oauth2")
