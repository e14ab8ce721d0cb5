"""dumpdata writes sealed values as they are; loaddata restores a whole database that opens."""

import json
import re

import pytest

from project.settings import BASE_DIR
from tests.support.helpers import FULL_AUTH, SECRET
from tests.support.stores import VENDORS, write

(DUMP,) = re.findall(
    r"manage\.py (dumpdata .*?) -o \S+$", (BASE_DIR / "docs/security.md").read_text(), re.M
)

# Everything that is sealed: values in use, in the bin, of former versions, a waiting upload.
FILL = """
from django.contrib.auth.models import Group, Permission, User
from connections.encryption import keyring
from connections.import_export import importer
from connections.jobs import chunks
from connections.records import recycle_bin
from connections.models import ConnectionAuth, UserScope
from connections.json_format.stream.sources import SpooledSource
user = User.objects.create_user("ada")
user.groups.add(Group.objects.get(name="Operator"))
user.user_permissions.add(Permission.objects.get(codename="reveal_secrets"))
UserScope.objects.create(user=user, environments=["Production"])
recycle_bin.move(ConnectionAuth.objects.filter(connection_id="c-1"), user)
source = SpooledSource("file.json", keyring.seal_bytes, keyring.unseal_bytes)
source.write(b'[{"token": "SECRET-upload"}]')
chunks.store_upload(source, user)
"""
OPEN = """
import json
from django.contrib.auth.models import User
from connections.jobs import chunks
from connections.models import ConnectionAuth, ImportRun, FormerVersion
user = User.objects.get()
(run,) = ImportRun.objects.filter(status="uploaded")
print(json.dumps({
    "auth": {r.connection_id: r.open_auth() for r in ConnectionAuth.all_objects.all()},
    "binned": [r.connection_id for r in ConnectionAuth.all_objects.binned()],
    "former": [held.content.reveal()["auth"]["token"] for held in FormerVersion.objects.all()],
    "upload": b"".join(chunks.ChunkSource(run).chunks()).decode(),
    "may": sorted(user.get_all_permissions()),
    "scope": user.scope.environments,
}, default=str))
"""


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_whole_database_is_restored_and_opens(stores, vendor, tmp_path):
    first, second = stores.make(vendor), stores.empty(vendor)
    for token in (f"{SECRET}-old", f"{SECRET}-new"):
        auth = {**FULL_AUTH, "token": token}
        given = [{"id": f"c-{n}", "auth": {**auth, "userId": str(n)}} for n in range(3)]
        assert first.imports(write(tmp_path / "given.json", given)).code == 0
    script = FILL.replace("SECRET", SECRET)
    assert (done := first.run("shell", "-v", "0", "-c", script)).code == 0, done.err

    file = tmp_path / "dump.json"
    assert (done := first.run(*DUMP.split(), "-o", file)).code == 0, done.err
    assert SECRET not in file.read_text() + done.out + done.err
    assert (done := second.run("migrate", "-v", "0")).code == 0, done.err
    assert (done := second.run("loaddata", file)).code == 0, done.err

    opened = [store.run("shell", "-v", "0", "-c", OPEN).json for store in (first, second)]
    assert opened[0] == opened[1]
    assert opened[1]["binned"] == ["c-1"]
    assert opened[1]["former"] == [f"{SECRET}-old"] * 3
    assert f"{SECRET}-upload" in opened[1]["upload"]
    assert opened[1]["auth"]["c-0"][0]["pem"] == FULL_AUTH["pem"]
    assert "connections.reveal_secrets" in opened[1]["may"]
    for command in (("verify_audit", "--json"), ("verify_records", "--json")):
        was, came = first.run(*command), second.run(*command)
        assert came.code == 0, came.out
        assert {**was.json, "seconds": 0} == {**came.json, "seconds": 0}
    assert first.export() == second.export()
    found = second.run("find_secret", "--json", stdin=f"{SECRET}-new".encode())
    assert [place["connection_id"] for place in found.json["found"]] == ["c-0", "c-2"]
    again = second.imports(tmp_path / "given.json")
    assert again.verdicts["unchanged"] == 2


def test_loading_into_another_store_does_not_open_values(stores, tmp_path):
    """Values loaded into a store with other keys stay closed."""
    first, second = stores.make(), stores.empty()
    path = write(tmp_path / "given.json", [{"id": "c-1", "auth": {"token": SECRET}}])
    assert first.imports(path).code == 0
    file = tmp_path / "dump.json"
    assert first.run(*DUMP.split(), "-o", file).code == 0
    second.keys = json.loads(first.run("generate_key", "--json").out)["key"]
    assert second.run("migrate", "-v", "0").code == 0
    assert second.run("loaddata", file).code == 0
    refused = second.run("export_connections")
    assert refused.code == 2
    assert "None of the keys" in refused.err
    assert SECRET not in refused.out + refused.err
