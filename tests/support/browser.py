"""What a person does on many ways through the console, in a browser."""

import pytest
from playwright.sync_api import expect

IN_BROWSER = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
]


def sign_in(page, origin, password, name="admin"):
    """From the address of the console to its dashboard."""
    page.goto(origin)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{origin}/admin/")


def give_password(page, password="password"):
    """Prove that one is there, where the console asks for that."""
    expect(page.get_by_role("heading", name="Is it you?")).to_be_visible()
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Continue").click()


def go(page, name):
    """To a page of the navigation."""
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()


def rows(page):
    """The rows of the list of connections."""
    return page.locator("#result_list tbody tr")
