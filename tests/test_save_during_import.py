"""While an import runs, a person saves: both go on, and nothing of either is lost."""

import time

import pytest

from tests.stores import VENDORS, wait, wait_for, write

pytestmark = pytest.mark.crash

COUNT = 20_000
SAVES = """
import time
from connections.models import ConnectionAuth
slowest = 0
for number in range(40):
    begun = time.monotonic()
    record = ConnectionAuth.objects.get(connection_id=f"mine-{number % 4}")
    record.name = f"saved {number}"
    record.access_token = f"synth-saved-{number}"
    record.save()
    slowest = max(slowest, time.monotonic() - begun)
print("slowest", slowest)
"""


def entry(connection_id):
    return {"id": connection_id, "integration_type": "hubspot", "auth": {"token": "synth"}}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_person_can_save_during_an_import(stores, tmp_path, vendor):
    store = stores.make(vendor)
    mine = write(tmp_path / "mine.json", [entry(f"mine-{number}") for number in range(4)])
    assert store.imports(mine).code == 0
    large = write(tmp_path / "large.json", [entry(f"conn-{n:06}") for n in range(COUNT)])
    importing = store.start("import_connections", "--json", large)
    assert wait_for(lambda: store.count() > 4)
    begun = time.monotonic()
    saved = store.run("shell", "-c", SAVES)
    assert time.monotonic() - begun < 30
    assert saved.code == 0, saved.err
    outcome = wait(importing)
    assert (outcome.code, outcome.json["created"]) == (0, COUNT), outcome.err
    assert store.count() == COUNT + 4
    names = {one["auth"].get("name") for one in store.exported() if one["id"][:4] == "mine"}
    assert names == {f"saved {number}" for number in range(36, 40)}
    assert float(saved.out.split()[-1]) < 10  # seconds: about a transaction of the import
