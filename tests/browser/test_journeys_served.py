"""Journeys that take more than pages: a first start, a command beside the server, and a process
that imports. Each in an installation of its own, served as `make run` does.
"""

import json
import os
import signal

import pytest
from playwright.sync_api import expect

from benchmarks.harness import wait_for
from tests.support.browser import give_password, go, rows, sign_in
from tests.support.helpers import SECRET
from tests.support.installation import Console, Installation

pytestmark = pytest.mark.browser
PATIENCE = 90  # seconds


@pytest.fixture
def console(installed, tmp_path):
    served = Console(Installation(tmp_path / "copy", like=installed))
    yield served
    served.stop()


@pytest.fixture
def person(page, console, complaints):
    """The page, with the administrator of the first start signed in."""
    sign_in(page, console.url, console.password)
    return page


def file_of(path, count):
    entries = (
        f'{{"id":"c{n}","auth":{{"name":"N{n}","token":"{SECRET}-{n}"}}}}' for n in range(count)
    )
    path.write_text(f"[{','.join(entries)}]")
    return path


def choose(page, file):
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("heading", name="Check before it is stored")).to_be_visible(
        timeout=PATIENCE * 1000
    )


def test_first_start(person, tmp_path):
    page = person
    expect(page.get_by_role("heading", name="Nothing is stored yet")).to_be_visible()
    go(page, "Connections")
    expect(page.get_by_role("heading", name="No connections yet")).to_be_visible()
    expect(page.get_by_role("link", name="Add connection").last).to_be_visible()
    choose(page, file_of(tmp_path / "first.json", 2))
    page.get_by_role("button", name="Import 2: create 2, update 0").click()
    expect(page.get_by_role("heading", name="Imported", exact=True)).to_be_visible()
    page.get_by_role("link", name="See what breaks").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("No connection is broken")

    go(page, "Connections")
    expect(rows(page)).to_have_count(2)
    page.get_by_role("link", name="Add connection").click()
    page.locator("#id_name").fill("By hand Ltd")
    page.locator("#id_key").fill(SECRET)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(rows(page)).to_have_count(3)
    assert SECRET not in page.content()


def test_rotate_and_see_it(person, console):
    page, installation = person, console.installation
    console.manage("seed_demo", "--count", "30")
    new = console.manage("generate_key").strip()
    dotenv = installation.path / ".env"
    old = installation.dotenv()["FERNET_KEYS"]

    def serve_with(keys):
        dotenv.write_text(dotenv.read_text().replace(installation.dotenv()["FERNET_KEYS"], keys))
        console.stop()
        console.start()
        page.reload()

    serve_with(f"{new},{old}")
    expect(page.get_by_text("The newest waits for a rotation")).to_be_visible()
    page.get_by_role("link", name="30 still under an old key").click()
    expect(rows(page)).to_have_count(30)
    said = json.loads(console.manage("rotate_keys", "--json"))
    assert said["unreadable"] == 0
    assert said["rotated"] >= 30
    page.reload()
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    go(page, "Dashboard")
    expect(page.get_by_text("Everything is under it")).to_be_visible()

    assert "The old keys can go" in console.manage("rotate_keys", "--verify")
    serve_with(new)
    go(page, "Connections")
    expect(rows(page)).to_have_count(30)
    page.get_by_role("rowheader").get_by_role("link").first.click()
    page.get_by_role("link", name="Reveal").first.click()
    give_password(page, console.password)
    page.get_by_label("Why do you need it?").fill("Does it open?")
    page.get_by_role("button", name="Reveal", exact=True).click()
    expect(page.locator(".revealed")).to_be_visible()


def test_import_50_000_in_the_background(person, console, tmp_path):
    page, run = person, "FROM connections_importrun"
    go(page, "Import")
    choose(page, file_of(tmp_path / "estate.json", 50_000))
    page.get_by_role("button", name="Import 50,000").click()
    assert wait_for(lambda: console.value(f"SELECT done {run}"), PATIENCE)
    pid = int(console.value(f"SELECT process {run}").split(" ")[1])
    os.kill(pid, signal.SIGSTOP)  # half way, until the page was looked at
    try:
        done = console.value(f"SELECT done {run}")
        assert 0 < done < 50_000
        bar = page.get_by_role("progressbar")
        for _ in range(2):
            expect(bar).to_have_js_property("value", done)
            expect(page.get_by_text(f"{done:,} of 50,000 records")).to_be_visible()
            page.reload()
        go(page, "Import")
        page.get_by_role("link", name="See that import").click()
        expect(bar).to_have_js_property("value", done)
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(page.get_by_role("heading", name="Imported", exact=True)).to_be_visible(
        timeout=PATIENCE * 1000
    )
    assert page.locator(".verdicts .figure").all_inner_texts() == ["50,000", "0", "0", "0", "0"]
    page.get_by_role("link", name="See the connections").click()
    expect(page.get_by_text("1 to 100 of 50,000 connections")).to_be_visible()
    go(page, "Import")
    page.get_by_role("link", name="Past imports").click()
    expect(page.get_by_role("link", name="estate.json")).to_be_visible()
