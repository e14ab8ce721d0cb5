"""What an import says of one entry between two good ones."""

import json

from connections.json_format.issues import RECORD_ERRORS, WARNINGS
from connections.models import ConnectionAuth
from tests.support.helpers import SECRET, export_text, import_text

NEIGHBOURS = [{"token": "first"}, {"token": "last"}]


def judge(entry):
    """Import one entry (JSON text or a value) between two good ones; its verdict.

    The neighbours are stored whatever happens to it. Begins with an empty store.
    """
    ConnectionAuth.all_objects.all().delete()
    text = entry if isinstance(entry, str) else json.dumps(entry)
    first, last = map(json.dumps, NEIGHBOURS)
    result, verdicts = import_text(f"[{first},{text},{last}]")
    assert result.error is None
    assert result.read == 3
    assert [v.action for v in verdicts if v.record != 1] == ["created", "created"]
    assert ConnectionAuth.objects.count() == result.created
    verdict = verdicts[1]
    for issue in verdict.issues:
        assert (issue.record, issue.file, issue.line) == (1, "test.json", None)
        assert SECRET not in issue.message and SECRET not in issue.path
        assert issue.level == ("error" if issue.code in RECORD_ERRORS else "warning")
    return verdict


def refused(entry):
    """The (code, path) of what an entry is refused for."""
    verdict = judge(entry)
    assert verdict.action == "rejected", verdict.issues
    assert ConnectionAuth.objects.count() == 2
    return [(issue.code, issue.path) for issue in verdict.issues if issue.level == "error"]


def warned(entry):
    """The (code, path) of what is said of an entry that is stored."""
    verdict = judge(entry)
    assert verdict.action == "created", verdict.issues
    assert all(issue.code in WARNINGS for issue in verdict.issues)
    return [(issue.code, issue.path) for issue in verdict.issues]


def stored():
    """The auth object of the record that is not a neighbour, as it is exported."""
    return json.loads(export_text())[1]
