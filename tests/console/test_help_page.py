"""The page that explains the console's words: all of them, to everybody, and nothing stored."""

import pytest
from django.urls import reverse
from django.utils.html import escape

from connections.console.labels import EXPIRY_SOURCES, STATUS_LABELS
from connections.expiry import deadlines
from tests.support.helpers import SECRET, make, user_with

PAGE = reverse("admin:connections_help")


@pytest.fixture
def newcomer(db):
    """A client of somebody who may sign in, and nothing else yet."""
    return user_with(name="newcomer")


def test_every_status_that_a_connection_can_have_is_explained(newcomer):
    page = newcomer.get(PAGE)
    text = page.content.decode()
    explained = {name for labels, _ in page.context["meanings"] for name, _ in labels}
    assert explained == {*STATUS_LABELS} >= {*deadlines.BUCKETS}
    for name, label in STATUS_LABELS.items():
        assert f'<span class="badge is-{name}">{label}</span>' in text


def test_every_source_of_an_expiry_is_named_in_the_order_in_which_it_counts(newcomer):
    text = newcomer.get(PAGE).content.decode()
    places = [
        text.index(escape(str(source))) for name, (source, _) in EXPIRY_SOURCES.items() if name
    ]
    assert places == sorted(places)


def test_the_page_links_to_no_record(newcomer):
    make(name="Bramblewood Care Homes", token=SECRET)
    text = newcomer.get(PAGE).content.decode()
    assert "Bramblewood" not in text
    assert "signed in as <strong>newcomer</strong>, in no group" in " ".join(text.split())


def test_every_page_leads_there(newcomer):
    assert newcomer.get("/admin/").content.decode().count(f'href="{PAGE}"') == 2


def test_a_superuser_is_not_told_to_ask_for_a_group(newcomer, client):
    asking = "Ask an administrator for the group"
    assert asking in newcomer.get(PAGE).content.decode()
    page = client.get(PAGE).content.decode()
    assert "may do everything" in page
    assert asking not in page
