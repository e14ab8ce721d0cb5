"""No message of an import holds a value, whatever is wrong with it."""

import json

import pytest
from django.core.management import call_command

from tests.support.helpers import FULL_AUTH, SECRET

pytestmark = pytest.mark.django_db
FAULTS = [
    SECRET,
    5,
    [SECRET],
    {SECRET: SECRET},
    f"{SECRET}\0",
    f"{SECRET}\ud800",
    SECRET * 10_000,
    f" {SECRET}\n",
    f"ftp://{SECRET}",
    f"https://{SECRET}:{SECRET}@localhost/{{{SECRET}}}",
    [SECRET, 5],
    [f"{SECRET}\0"],
    {"a": {SECRET: f"{SECRET}\0"}},
    {"a": {f"{SECRET}\0": 1}},
]


def everything_wrong():
    """Entries with a recognisable secret in every place and with every fault."""
    entries = []
    for fault in FAULTS:
        for name in (*FULL_AUTH, "new"):
            entries.append({"token": SECRET, name: fault})
            entries.append({"id": f"c{len(entries)}", "auth": {"key": SECRET, name: fault}})
        if not isinstance(fault, dict):  # the names of unknown keys are named
            entries.append({"integration_type": "hubspot", "auth": fault, "new": fault})
            entries.append(fault)
    texts = [json.dumps(entry) for entry in entries]
    texts += [
        f'{{"token":"{SECRET}","token":"{SECRET}2"}}',
        f'{{"meta":{{"{SECRET}":1,"{SECRET}":2}}}}',
        f'{{"accessToken":"{SECRET}","access_token":"{SECRET}2"}}',
        f'{{"key":"{SECRET}", oops}}',
        f'{{"key":"{SECRET}"',
        f"{SECRET}",
    ]
    return "\n".join(texts)


@pytest.mark.parametrize("on_conflict", ["update", "replace", "fail"])
def test_no_value_is_ever_printed_reported_or_logged(tmp_path, capfd, caplog, on_conflict):
    path, report = tmp_path / "odd.ndjson", tmp_path / "report.ndjson"
    path.write_text(everything_wrong())
    arguments = [str(path), "--report", str(report), "--json", "--on-conflict", on_conflict]
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            call_command("import_connections", *arguments)
        assert ended.value.code == 1
        out, err = capfd.readouterr()
        everything = out + err + caplog.text + report.read_text()
        assert len(everything) > 10_000
        assert "SECRET" not in everything and "6f1d2c" not in everything
    counted = json.loads(out)
    assert counted["rejected"] > 100
    assert counted["warnings"] == report.read_text().count('"level": "warning"')
