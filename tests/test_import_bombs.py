"""Files made to exhaust memory, under a limit of 1 GB: refused in time, and nothing is stored."""

import resource
import threading
import time

import pytest

from tests.stores import wait

LIMIT = 1 << 30
MIB = b"x" * (1 << 20)


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


BOMBS = {
    "too_deep": [b"[" * 100_000],
    "entry_too_large": [b'[{"token":"', *[MIB] * 64],
}


@pytest.mark.parametrize("code", ["too_deep", "entry_too_large"])
def test_a_bomb_is_refused_in_time(stores, code):
    store = stores.make()
    begun = time.monotonic()
    process = store.start("import_connections", "-", "--json", stdin=-1, preexec_fn=limited)
    feeder = threading.Thread(target=feed, args=(process.stdin, BOMBS[code]))
    feeder.start()
    feeder.join()
    process.stdin = None
    outcome = wait(process)
    assert outcome.code == 2 and "Traceback" not in outcome.err, outcome.err
    assert outcome.json["error"]["code"] == code
    assert store.count() == 0
    assert time.monotonic() - begun < 30


def feed(pipe, parts):
    try:
        with pipe:
            for part in parts:
                pipe.write(part)
    except BrokenPipeError:
        pass
