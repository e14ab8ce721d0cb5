"""What pages weigh: at most 12 queries each, and little script in all."""

import re

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders

from tests.support.crawl import crawl

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("crawl")]
MOST_QUERIES = 12
MOST_SCRIPT = 60 * 1024  # bytes, of all pages together
SCRIPT = re.compile(rf'<script src="{settings.STATIC_URL}([^"?]+)')


def pages():
    return [visit for visit in crawl("superuser").visits if visit.is_page]


def test_no_page_asks_the_database_more_than_twelve_times():
    assert len(pages()) > 40
    heavy = {page.route: page.queries for page in pages() if len(page.queries) > MOST_QUERIES}
    assert heavy == {}, "\n".join(f"{place}:\n" + "\n".join(heavy[place]) for place in heavy)


def test_all_scripts_together_are_small():
    scripts = {name for page in pages() for name in SCRIPT.findall(page.content)}
    sizes = {name: len(open(finders.find(name), "rb").read()) for name in scripts}
    assert "connections/latchkey.js" in sizes
    assert sum(sizes.values()) <= MOST_SCRIPT, sizes
