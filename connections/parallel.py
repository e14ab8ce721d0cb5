"""The same work on all cores: results in the order of the items, few of them waiting at a time."""

import ctypes
import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from django.db import connection, connections

WORTH_IT = 2000  # records; below, starting processes takes longer than the work
AHEAD = 10  # items that are computed while others wait to be used
PR_SET_PDEATHSIG = 1


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def processes(jobs, records):
    """How many processes to use for so many records; 1 where others can't or needn't help.

    Processes are forked, which a process with threads must not do; and what is in an open
    transaction or in a database in memory, they can't see.
    """
    can_fork = threading.active_count() == 1 and not connection.in_atomic_block
    is_shared = connection.vendor != "sqlite" or not connection.is_in_memory_db()
    return jobs if can_fork and is_shared and records >= WORTH_IT else 1


class ProcessDied(Exception):
    """One of the processes was killed, as the kernel does where memory runs out."""


@contextmanager
def workers(function, jobs):
    """Give a function `in_order(items)` that yields `function(item)` for each item.

    `jobs` processes compute it; 1 means this one. `function` and what it refers to reach them by
    fork, items and results by pickle. Enter it outside any transaction.
    """
    if jobs == 1:
        yield lambda items: map(function, items)
        return
    connections.close_all()  # a forked process must not go on with this one's
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(jobs, context, _begin, (function, os.getpid()))
    try:
        pool.submit(os.getpid).result()  # fork now, and not within a transaction
        yield lambda items: _in_order(pool, items, AHEAD + jobs)
    except BrokenProcessPool:
        raise ProcessDied from None
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(pool, items, most_waiting):
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(_call, item))
        if len(waiting) > most_waiting:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_function = None  # what a forked process computes


def _begin(function, parent):
    global _function
    _function = function
    # What is there already is never garbage: leave its memory shared. What comes is short-lived.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers to Ctrl-C
    # A parent that is killed takes its processes along.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _call(item):
    return _function(item)
