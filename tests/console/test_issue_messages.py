"""Messages of issues and of runs on pages: in the reader's language, whatever a file is called."""

import html
import json
import re

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext

from connections.console import wording
from connections.json_format.issues import MESSAGES, Issue
from connections.models import ImportRun
from tests.support.import_form import check, upload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_once")]
LANGUAGES = [code for code, _ in settings.LANGUAGES]
NAMES = ["5{a}.json", "%(x)s {} {0}.json"]


@pytest.fixture(params=LANGUAGES)
def language(request):
    yield request.param
    translation.activate(settings.LANGUAGE_CODE)  # a request leaves its language to the thread


def test_every_message_renders_in_every_language(language):
    params = {"count": 3, "limit": 255, "line": 7, "column": 8, "file": NAMES[1]}
    with translation.override(language):
        for key, template in MESSAGES.items():
            for outcome in ("changes_kept", "nothing_stored"):
                issue = Issue(key, params={**params, "outcome": outcome})
                sentence = wording.issue_message(issue)
                assert sentence.startswith(f"{NAMES[1]}: {gettext(template) % params} ("), key
        assert wording.issue_message(Issue("too_long.characters", params=params))


@pytest.mark.parametrize("name", NAMES)
def test_pages_of_a_refused_file_name_it(client, language, name):
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    response = upload(client, '[{"token": "a"},\n {"token"}]', name)
    with translation.override(language):
        place = gettext("line %(line)s, column %(column)s") % {"line": 2, "column": 10}
        sentence = f"{name}: {gettext(MESSAGES['not_json'])} ({place})"
    assert sentence in text_of(check(client, response))
    client.post(response.url, {})
    run = ImportRun.objects.get()
    assert run.result["error"]["message"] == (
        f"{name}: {MESSAGES['not_json']} (line 2, column 10)"
    )
    assert sentence in text_of(client.get(response.url))
    assert name in text_of(client.get(reverse("admin:connections_import_history")))


@pytest.mark.parametrize("name", NAMES)
def test_pages_of_refused_records_name_the_file(client, language, name):
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    entries = [{"name": "n" * 256}, {"token": 1}, {"token": "a", "apiUrl": "ftp://x"}]
    response = upload(client, entries, name)
    with translation.override(language):
        expected = [
            gettext(MESSAGES["too_long.characters"]) % {"limit": 255},
            gettext(MESSAGES["wrong_type.text"]),
            gettext(MESSAGES["bad_url"]),
            name,
        ]
    checked = text_of(check(client, response))
    client.post(response.url, {})
    done = text_of(client.get(response.url))
    for page in (checked, done):
        assert [text for text in expected if text not in page] == []
    report = client.get(f"{response.url}report/").getvalue().decode()
    issues = [json.loads(line) for line in report.splitlines()]
    assert [(issue["file"], issue["message"]) for issue in issues] == [
        (name, "Over 255 characters."),
        (name, "Text belongs here."),
        (name, "Not an http or https address."),
    ]
    assert list(issues[0]) == ["file", "record", "line", "path", "level", "code", "message"]


def text_of(response):
    assert response.status_code == 200
    return html.unescape(re.sub(r"<[^>]*>", "", response.content.decode()))
