"""What was revealed is gone where a person goes back to it (the way there: test_journeys.py)."""

import pytest
from playwright.sync_api import Error, expect

from tests.browser.test_journeys import reveal, to_the_reason
from tests.support.browser import IN_BROWSER
from tests.support.helpers import SECRET, make

pytestmark = IN_BROWSER


@pytest.fixture
def shown(person):
    """The page with the value."""
    to_the_reason(person, make(name="Acorn Ltd", pem=SECRET))
    reveal(person)
    return person


def test_going_back_shows_nothing(shown):
    shown.get_by_role("link", name="Back to the connection").click()
    expect(shown.get_by_role("heading", name="Acorn Ltd")).to_be_visible()
    # Nothing was kept: the browser would have to send the form again, and asks first.
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        shown.go_back()


def test_reloading_asks_again(shown):
    shown.reload()
    expect(shown.get_by_text("A value is shown once.")).to_be_visible()
    assert SECRET not in shown.content()
