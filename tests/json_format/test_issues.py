"""Messages: each renders with its params, and what a run stores is read again. No database."""

import json
import re

import pytest

from connections.json_format import issues
from connections.json_format.issues import FileRefused, Issue

PARAMS = {"count": 3, "limit": 255}


@pytest.mark.parametrize("key", issues.MESSAGES)
def test_every_message_renders_with_its_params(key):
    names = re.findall(r"%\((\w+)\)s", issues.MESSAGES[key])
    issue = Issue(key, "auth.token", {name: PARAMS[name] for name in names}, 4, 5, "a.json")
    assert not re.search(r"[%{}]", issue.message)
    assert all(str(PARAMS[name]) in issue.message for name in names)
    assert issue.code in {**issues.FILE_ERRORS, **issues.RECORD_ERRORS, **issues.WARNINGS} or (
        issue.code in issues.COMMAND_ERRORS
    )
    assert Issue.from_stored(json.loads(json.dumps(issue.as_stored()))) == issue


@pytest.mark.parametrize("name", ["5{a}.json", "%(x)s {} {0}.json", "100%.json"])
def test_the_name_of_a_file_is_not_a_template(name):
    refusal = FileRefused("truncated", name, line=3, column=4)
    sentence = f"{name}: The file ends in the middle of a value. (line 3, column 4)"
    assert str(refusal) == refusal.issue.message == sentence
    params = {**refusal.issue.params, "outcome": "nothing_stored"}
    stopped = Issue(refusal.issue.code, params=params)
    assert stopped.message == f"{sentence} Nothing was stored."


def test_the_reason_of_the_operating_system_is_named():
    refusal = FileRefused("unreadable_file", "a.json", reason="Permission denied")
    assert str(refusal) == "a.json: The file can't be read. (Permission denied)"
    assert str(FileRefused("unreadable_file", reason="")) == "The file can't be read."
