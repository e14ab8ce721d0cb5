"""A person saves while a long import runs: without an error, soon, and nothing is lost."""

import json

import pytest

from benchmarks.harness import wait
from tests.support.stores import VENDORS, write

pytestmark = pytest.mark.crash

COUNT = 12_000
PATIENCE = 10  # seconds that one save may take at most: about a transaction of the import

# Edits some records, over and over, until the last record of the import is there.
EDIT = f"""
import json, time
from connections.models import ConnectionAuth, VersionConflict
rounds, slowest = 0, 0
ids = list(ConnectionAuth.objects.filter(connection_id__startswith="edited-").values_list("id"))
while not ConnectionAuth.objects.filter(connection_id="conn-{COUNT - 1}").exists():
    rounds += 1
    for pk, in ids:
        is_saved = False
        while not is_saved:
            record = ConnectionAuth.objects.get(pk=pk)
            assert rounds == 1 or record.name == f"Edit {{rounds - 1}}", record.name
            record.name, record.access_token = f"Edit {{rounds}}", f"synth-edit-{{rounds}}"
            begun = time.monotonic()
            try:
                record.save_version()
                is_saved = True
            except VersionConflict:
                pass  # the import has changed it: the console says so, and one edits it again
            slowest = max(slowest, time.monotonic() - begun)
print(json.dumps(dict(rounds=rounds, slowest=slowest)))
"""


def connection(number):
    return {"id": f"conn-{number}", "auth": {"access_token": f"synth-{number}"}}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_person_can_save_during_a_long_import(stores, tmp_path, vendor):
    store = stores.make(vendor)
    before = [{"id": f"edited-{n}", "auth": {"access_token": f"synth-{n}"}} for n in range(3)]
    assert store.imports(write(tmp_path / "before.json", before)).code == 0
    entries = [connection(number) for number in range(COUNT)]
    for number, place in enumerate((0, COUNT // 2, -1)):  # changed by the import as well
        entries.insert(place, {"id": f"edited-{number}", "integration_type": "x"})
    path = write(tmp_path / "in.json", entries)
    editor = store.start("shell", "--no-imports", "-c", EDIT)
    imported = store.imports(path, "--jobs", "2")
    edits = wait(editor)
    assert (imported.code, imported.err, edits.code, edits.err) == (0, "", 0, "")
    assert (imported.json["created"], imported.json["updated"]) == (COUNT, 3)
    edits = json.loads(edits.out)
    assert edits["rounds"] > 1 and edits["slowest"] < PATIENCE, edits
    last = {
        "integrationType": "x",
        "auth": {
            "accessToken": f"synth-edit-{edits['rounds']}",
            "name": f"Edit {edits['rounds']}",
        },
    }
    found = [one for one in store.exported() if one["id"].startswith("edited-")]
    assert found == [{"id": f"edited-{number}", **last} for number in range(3)]
