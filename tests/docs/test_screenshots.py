"""The pictures that tests/docs/screenshots.py takes exist, have a description, and are small."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PICTURES = sorted((ROOT / "docs" / "screenshots").glob("*.png"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = [
    pytest.param(page, text, address, id=f"{page.name} {address}")
    for page in PAGES
    for text, address in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", page.read_text())
]


def width_of(path):
    """The width of a PNG in pixels, from its header."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return int.from_bytes(head[16:20])


def test_readme_shows_the_console():
    assert len([shown for shown in SHOWN if shown.values[0].name == "README.md"]) >= 3


@pytest.mark.parametrize(("page", "text", "address"), SHOWN)
def test_every_picture_on_a_page_exists_and_has_a_description(page, text, address):
    assert (page.parent / address).resolve() in PICTURES
    assert len(text.split()) > 4


def test_all_pictures_together_are_below_3_mb():
    assert len(PICTURES) > 40
    assert sum(path.stat().st_size for path in PICTURES) < 3_000_000


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_every_picture_is_as_wide_as_a_desktop_or_a_phone(path):
    assert width_of(path) == (390 if path.stem.endswith("-phone") else 1360)
