"""An import takes no more memory for more records, and an export neither."""

import subprocess
import sys

import pytest

from benchmarks.harness import ROOT
from tests.support.stores import write

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


def assert_flat(peaks):
    small, large = peaks
    assert large <= 1.3 * small, peaks


def test_memory_does_not_grow_with_the_records(stores, tmp_path):
    imported, exported = [], []
    for count in (20_000, 50_000):  # what is on its way at a time is less than the first
        store = stores.make()
        file = write(tmp_path / f"{count}.json", map(entry, range(count)))
        imported.append(peak(store, "import_connections", file, "--jobs", "2"))
        exported.append(peak(store, "export_connections", "-o", tmp_path / f"out-{count}"))
    assert_flat(imported)
    assert_flat(exported)


def test_memory_of_a_preview_does_not_grow_with_the_records(stores, tmp_path):
    previewed, store = [], stores.make()
    for count in (12_000, 36_000):
        file = write(tmp_path / f"{count}.ndjson", map(entry, range(count)))
        previewed.append(peak(store, "import_connections", file, "--jobs", "2", "--dry-run"))
    assert_flat(previewed)
