"""Several imports at once of files that overlap: none fails, nothing twice, nothing lost."""

import pytest

from benchmarks.harness import wait
from tests.support.stores import VENDORS, write

COUNT = 3000


def entry(number):
    made = {"integration_type": f"system-{number % 5}", "auth": {"token": f"synth-{number}"}}
    return made if number % 10 == 0 else {"id": f"conn-{number:05}", **made}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("options", [[], ["--atomic"]])
def test_imports_at_once_of_overlapping_files(stores, tmp_path, vendor, options):
    ranges = [range(COUNT), range(COUNT - 1, -1, -1), range(1000, COUNT + 500), range(500, 2500)]
    store = stores.make(vendor)
    started = [
        store.start(
            *("import_connections", "--json", "--jobs", "2", *options),
            write(tmp_path / f"{place}.json", map(entry, numbers)),
        )
        for place, numbers in enumerate(ranges)
    ]
    outcomes = [wait(process) for process in started]
    for outcome, numbers in zip(outcomes, ranges, strict=True):
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.json["read"] == len(numbers)
        assert outcome.json["created"] + outcome.json["unchanged"] == len(numbers)
    assert sum(outcome.json["created"] for outcome in outcomes) == COUNT + 500 == store.count()
    assert {one["auth"]["token"] for one in store.exported()} == {
        f"synth-{number}" for number in range(COUNT + 500)
    }
