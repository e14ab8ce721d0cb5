"""The catalogue of each language has every text of the console, whole, and compiled as it stands.

`make messages` writes what these tests ask for; the words themselves are a person's.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse
from django.utils import translation

from connections.encryption import keyring
from tests.support.installation import BASE_DIR, Installation

CATALOGUES = sorted((BASE_DIR / "locale").glob("*/LC_MESSAGES/django.po"))
ENTRY = re.compile(r'^msgid "(.+)"\n(?:msgid_plural "(.+)"\n)?((?:msgstr.*\n?)+)', re.MULTILINE)
TRANSLATED = re.compile(r'^msgstr(?:\[\d\])? "(.*)"$', re.MULTILINE)
# What a sentence is filled with, and what marks up a part of it.
SLOT = re.compile(r"%\(\w+\)[a-z]|%[sd]|\{\w*\}|</?\w+>")


@pytest.fixture(scope="module")
def gettext_tools():
    if not shutil.which("msgfmt") or not shutil.which("xgettext"):
        message = "There is no GNU gettext (Debian: apt-get install gettext)."
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


@pytest.fixture(params=CATALOGUES, ids=lambda path: path.parts[-3])
def catalogue(request):
    return request.param


def entries(path):
    """Triples of a catalogue's text, its plural or "", and the translations of each form."""
    return [
        (text, plural, TRANSLATED.findall(translated))
        for text, plural, translated in ENTRY.findall(path.read_text())
    ]


def test_every_language_but_that_of_the_source_has_a_catalogue():
    told = {path.parts[-3] for path in CATALOGUES}
    assert told == {code for code, _ in settings.LANGUAGES} - {settings.LANGUAGE_CODE} != set()


def test_the_catalogue_has_the_texts_of_the_source_and_no_other(
    gettext_tools, catalogue, tmp_path
):
    copy = Installation(tmp_path / "copy")
    shutil.copy(BASE_DIR / "Makefile", copy.path)
    keys = {"SECRET_KEY": "tests only" * 6, "FERNET_KEYS": keyring.generate_key()}
    subprocess.run(
        ["make", "-o", ".venv/dev.stamp", f"venv={sys.executable}", "messages"],
        cwd=copy.path,
        env=copy.environment(**keys),
        check=True,
        capture_output=True,
    )
    gathered = entries(copy.path / catalogue.relative_to(BASE_DIR))
    committed = entries(catalogue)
    assert {e[:2] for e in gathered} == {e[:2] for e in committed}, "run `make messages`"
    assert gathered == committed
    assert len(committed) > 500


def test_nothing_is_left_untranslated_guessed_or_of_the_past(catalogue):
    text = catalogue.read_text()
    assert text.count("\nmsgid ") == len(entries(catalogue)) + 1, "an entry that ENTRY skips"
    assert "#~" not in text and "#, fuzzy" not in text
    for msgid, plural, translated in entries(catalogue):
        assert all(translated) and len(translated) == (2 if plural else 1), msgid


def test_a_translation_has_the_slots_of_its_text(catalogue):
    for msgid, plural, translated in entries(catalogue):
        slots = [Counter(SLOT.findall(text)) for text in (msgid, plural or msgid)]
        for form in translated[:-1]:  # the form for one may say "one" in words
            assert Counter(SLOT.findall(form)) in slots, msgid
        assert Counter(SLOT.findall(translated[-1])) == slots[-1], msgid


def test_what_is_compiled_is_what_is_written(gettext_tools, catalogue, tmp_path):
    again = tmp_path / "again.mo"
    subprocess.run(["msgfmt", "--check-format", "-o", again, catalogue], check=True)
    assert compiled(catalogue.with_suffix(".mo")) == compiled(again), "run `make messages`"


def compiled(path):
    with path.open("rb") as file:
        return GNUTranslations(file)._catalog


def test_the_glossary_is_kept_to(catalogue):
    """Where a term stands alone in the console, its translation is that of the glossary."""
    page = (BASE_DIR / "docs/translating.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)[2:]
    assert len(rows) > 20
    glossary = {english: german.casefold() for english, german in rows}
    used = {
        msgid.casefold(): translated[0].casefold()
        for msgid, _, translated in entries(catalogue)
        if msgid.casefold() in glossary and not translated[0].endswith(".")  # cut short
    }
    assert len(used) > 15
    assert used.items() <= glossary.items(), used.items() - glossary.items()


# The language of a page


@pytest.fixture(autouse=True)
def in_english_again():
    """A request leaves its language to the thread."""
    yield
    translation.activate(settings.LANGUAGE_CODE)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("de", "de"), ("de-AT,de;q=0.9,en;q=0.5", "de"), ("en-GB,de;q=0.5", "en"), ("fr", "en")],
)
def test_the_browser_says_in_which_language(db, accepted, language):
    response = Client(HTTP_ACCEPT_LANGUAGE=accepted).get(reverse("account_login"))
    assert f'<html lang="{language}"' in response.content.decode()
    assert response["Content-Language"] == language
    assert "Accept-Language" in response["Vary"]
    assert ("Anmelden" in response.content.decode()) == (language == "de")


def test_files_are_the_same_in_any_language(settings):
    settings.WHITENOISE_USE_FINDERS = True
    name = "connections/latchkey.css"
    assert Path(finders.find(name)).is_file()
    response = Client(HTTP_ACCEPT_LANGUAGE="de").get(f"{settings.STATIC_URL}{name}")
    assert response.status_code == 200
    assert "Accept-Language" not in response.get("Vary", "")
