"""Which process does a piece of work, and whether it still lives."""

import os
import socket
from pathlib import Path


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
