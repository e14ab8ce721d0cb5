"""An import takes no more memory for more records, and an export neither."""

import json
import subprocess
import sys

import pytest

from tests.stores import ROOT, write

pytestmark = pytest.mark.crash

# The largest of a command and of all processes that it started, in KB.
PEAK = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "manage.py", *sys.argv[1:]], stdout=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(store, *arguments):
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=store.environment(), capture_output=True, text=True, check=True
    )
    code, kilobytes = map(int, done.stdout.split())
    assert code == 0, done.stderr
    return kilobytes


def entry(number):
    auth = {
        "accessToken": "synth" * 400,
        "meta": {"note": "x" * 2000},
        "name": f"Company {number}",
    }
    return {"id": f"conn-{number:06}", "integration_type": "hubspot", "auth": auth}


@pytest.mark.parametrize(("suffix", "is_preview"), [("json", False), ("ndjson", True)])
def test_memory_does_not_grow_with_the_records(stores, tmp_path, suffix, is_preview):
    options = ["--jobs", "2", *(["--dry-run"] if is_preview else [])]
    peaks = {"import": [], "export": []}
    for count in (12_000, 36_000):  # what is on its way at a time is less than the first
        store = stores.make()
        file = write(tmp_path / f"{count}.{suffix}", map(entry, range(count)))
        peaks["import"].append(peak(store, "import_connections", file, *options))
        out = tmp_path / f"out-{count}"
        peaks["export"].append(peak(store, "export_connections", "-o", out))
    for small, large in peaks.values():
        assert large <= 1.3 * small, json.dumps(peaks)
