"""Links within the documentation are not broken."""

import re

import pytest

from project.settings import BASE_DIR

PAGES = sorted([*BASE_DIR.glob("*.md"), *BASE_DIR.glob("docs/*.md")])
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(page):
    """The anchors of a page's headings, as GitHub generates them."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for file, anchor in LINK.findall(page.read_text()):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), file
        if anchor:
            assert anchor in anchors(target.read_text()), f"{file}#{anchor}"
