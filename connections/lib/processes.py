"""The same work on all cores: results in the order of the items, few of them waiting at a time."""

import ctypes
import gc
import multiprocessing
import os
import pickle
import queue
import signal
import socket
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from django.db import connection, connections

from connections.lib.database import is_in_memory

# What is allocated here is short-lived, and lives in lists of thousands: look for garbage seldom.
GC_THRESHOLDS = 50_000, 20, 100
MIN_PARALLEL_RECORDS = 2000  # records; below, starting processes takes longer than the work
PREFETCH_ITEMS = 18  # items that are computed while others wait to be used
WORKER_NICENESS = (
    10  # what is computed waits for the process that uses it, not the other way round
)
PR_SET_PDEATHSIG = 1


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def worker_count(jobs, records):
    """How many processes to use for so many records; 1 where others can't or needn't help.

    Processes are forked, which a process with threads must not do; and what is in an open
    transaction or in a database in memory, they can't see.
    """
    can_fork = threading.active_count() == 1 and not connection.in_atomic_block
    return jobs if can_fork and not is_in_memory() and records >= MIN_PARALLEL_RECORDS else 1


class ProcessDied(Exception):
    """One of the processes was killed, as the kernel does where memory runs out."""


@contextmanager
def workers(function, jobs):
    """Give a function `in_order(items)` that yields `function(item)` for each item.

    `jobs` processes compute it; 1 means this one. `function` and what it refers to reach them by
    fork, items and results by pickle. Enter it outside any transaction. Raises ProcessDied.
    """
    if jobs == 1:
        with _infrequent_garbage_collection():
            yield lambda items: map(function, items)
        return
    connections.close_all()  # a forked process must not go on with this one's
    # Before there are threads; and deaf to Ctrl-C from the first moment on: we answer to that.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        started = [_start_worker(function) for _ in range(jobs)]
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    free = queue.SimpleQueue()
    for _, pipe in started:
        free.put(pipe)
    # One thread more than processes: it gives out work while another reads a result.
    threads = ThreadPoolExecutor(jobs + 1)
    try:
        with _infrequent_garbage_collection():
            yield lambda items: _results_in_order(threads, free, items, PREFETCH_ITEMS + jobs)
    finally:
        for process, _ in started:
            process.kill()  # it holds nothing; and whoever waits for it sees its pipe end
            process.join()
        threads.shutdown(cancel_futures=True)
        for _, pipe in started:
            pipe.close()


@contextmanager
def _infrequent_garbage_collection():
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _start_worker(function):
    """A process that computes `function`, and our end of the pipe to it.

    Each has a pipe of its own: one that is killed in the middle of a word leaves the others, and
    us, with no lock that nobody opens and no half message that nobody ends.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(function, theirs, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _results_in_order(threads, free, items, most_waiting):
    waiting = deque()
    for item in items:
        waiting.append(threads.submit(_call_worker, free, item))
        if len(waiting) > most_waiting:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _call_worker(free, item):
    pipe = free.get()
    try:
        pipe.send(item)
        answer = pipe.recv_bytes()
    except (EOFError, OSError):
        raise ProcessDied from None
    finally:
        free.put(pipe)
    result, error = pickle.loads(answer)  # noqa: S301 (from a process that we have forked)
    if error:
        raise error
    return result


def _serve(function, pipe, parent):
    """What a forked process does until its parent ends it."""
    gc.freeze()  # what is there already is never garbage: leave its memory shared
    gc.set_threshold(*GC_THRESHOLDS)
    os.nice(WORKER_NICENESS)
    # A parent that is killed takes its processes along.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    while True:
        item = pipe.recv()
        try:
            answer = function(item), None
        except Exception as error:
            answer = None, error
        pipe.send(answer)


def current_process_name():
    """A name for this process: its machine, its number, and when it began.

    The last tells it from another one that got the same number later.
    """
    return f"{socket.gethostname()} {os.getpid()} {_start_time(os.getpid())}"


def is_alive(process):
    """Whether the process of that name lives; False where it is on another machine."""
    host, number, began = process.split(" ") if process else ("", "", "")
    return host == socket.gethostname() and _start_time(number) == began


def _start_time(number):
    """When a process began, in ticks since the start of the machine; None where there is none."""
    try:
        status = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if status[0] in ("Z", "X") else status[19]
