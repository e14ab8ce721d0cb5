"""Work in several processes: results in order, and an error if a worker is killed."""

import os
import signal
import time

import pytest

from connections.lib.processes import ProcessDied, workers

pytestmark = pytest.mark.crash

LARGE = 64 << 20  # bytes: far more than a pipe holds


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(jobs):
    with workers(lambda item: (item, item**2), jobs) as in_order:
        assert list(in_order(range(100))) == [(item, item**2) for item in range(100)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_reaches_the_caller(jobs):
    with pytest.raises(ZeroDivisionError), workers(lambda item: 1 // item, jobs) as in_order:
        list(in_order([1, 0, 1]))


def killed_while_sending(seconds):
    """Return a large result, and die of a signal while it is made or sent."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return b"x" * LARGE


@pytest.mark.parametrize("milliseconds", [1, 10, 40, 150, 300])
def test_the_work_ends_when_a_worker_is_killed_while_it_sends_a_result(milliseconds):
    begun = time.monotonic()
    with pytest.raises(ProcessDied), workers(killed_while_sending, 2) as in_order:
        list(in_order([milliseconds / 1000] * 20))
    assert time.monotonic() - begun < 10


def test_no_worker_is_left():
    with workers(lambda item: os.getpid(), 2) as in_order:
        processes = set(in_order(range(50)))
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
