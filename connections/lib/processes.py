"""The same work on several processes, and processes that are told apart by name.

The pool is not one of `concurrent.futures`: there, a worker that is killed while it writes its
result leaves a lock that nobody opens and half a message that nobody ends, and the work hangs.
"""

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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from django.db import connection, connections

from connections.lib.database import is_in_memory

# Objects made here are short-lived and lie in lists of thousands: collect garbage seldom.
GC_THRESHOLDS = 50_000, 20, 100
MIN_PARALLEL_RECORDS = 2000  # records; below, starting processes takes longer than the work
PREFETCH_ITEMS = 18  # items that are computed while others wait to be used
WORKER_NICENESS = 10  # workers yield to the process that uses their results
PR_SET_PDEATHSIG = 1

Item = TypeVar("Item")
Result = TypeVar("Result")
Pipe: TypeAlias = "Connection[Any, Any]"


class ProcessDied(Exception):
    """A worker was killed, as the kernel does where memory runs out."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def worker_count(jobs: int, records: int) -> int:
    """How many processes to use for so many records: `jobs`, or 1 if more would be of no use.

    Processes are forked, which a process with threads must not do. They see neither what an open
    transaction has written nor a database in memory.
    """
    can_fork = threading.active_count() == 1 and not connection.in_atomic_block
    return jobs if can_fork and not is_in_memory() and records >= MIN_PARALLEL_RECORDS else 1


@contextmanager
def workers(
    function: Callable[[Item], Result], jobs: int
) -> Iterator[Callable[[Iterable[Item]], Iterator[Result]]]:
    """Give a function `in_order(items)` that yields `function(item)` for each item.

    `jobs` processes compute it; 1 means this one. `function` and what it refers to reach them by
    fork, items and results by pickle. Enter it outside any transaction. Raises ProcessDied.
    """
    with ExitStack() as cleanup:
        cleanup.callback(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(*GC_THRESHOLDS)
        if jobs == 1:
            yield lambda items: map(function, items)
            return
        connections.close_all()  # forked processes must not share this one's connections
        # Fork before there are threads, and with Ctrl-C blocked from the start: we answer to that.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            started = [_start_worker(function) for _ in range(jobs)]
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        free: queue.SimpleQueue[Pipe] = queue.SimpleQueue()
        for _, pipe in started:
            free.put(cleanup.enter_context(pipe))
        # One thread more than processes: it sends an item while another one reads a result.
        threads = ThreadPoolExecutor(jobs + 1)
        cleanup.callback(threads.shutdown, cancel_futures=True)
        for process, _ in started:
            cleanup.callback(process.join)
            # It holds nothing, and threads that wait for it see its pipe end.
            cleanup.callback(process.kill)

        def in_order(items: Iterable[Item]) -> Iterator[Result]:
            pending: deque[Future[Result]] = deque()
            for item in items:
                pending.append(threads.submit(_call_worker, free, item))
                if len(pending) > PREFETCH_ITEMS + jobs:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

        yield in_order


def _start_worker(function: Callable[[Any], Any]) -> tuple[BaseProcess, Pipe]:
    """A process that computes `function`, and our end of the pipe to it.

    Each worker has a pipe of its own: if it is killed in the middle of a message, the pipe ends.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(function, theirs, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _call_worker(free: queue.SimpleQueue[Pipe], item: Any) -> Any:
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


def _serve(function: Callable[[Any], Any], pipe: Pipe, parent: int) -> None:
    """Compute results in a forked process until its parent kills it."""
    gc.freeze()  # what exists already is never garbage: keep sharing its memory
    os.nice(WORKER_NICENESS)
    # If the parent is killed, the worker is too.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    while True:
        item = pipe.recv()
        answer: tuple[Any, Exception | None]
        try:
            answer = function(item), None
        except Exception as error:
            answer = None, error
        pipe.send(answer)


def process_name(number: int | None = None) -> str:
    """A name for a process of this machine, by default this one, with the time when it began.

    That tells it from another one that gets the same number later.
    """
    number = number or os.getpid()
    return f"{socket.gethostname()} {number} {_start_time(number)}"


def is_alive(name: str) -> bool:
    """Whether the process of that name lives; False if it is on another machine."""
    host, number, began = name.split(" ") if name else ("", "", "")
    return host == socket.gethostname() and _start_time(number) == began


def _start_time(number: int | str) -> str | None:
    """When a process began, in ticks since the start of the machine; None if there is none."""
    try:
        status = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if status[0] in ("Z", "X") else status[19]
