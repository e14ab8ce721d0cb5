"""Which process does a piece of work, and whether it still lives."""

import os
import socket
from pathlib import Path


def this_process():
    """A name for this process: its machine, its number, and when it began.

    The last tells it from another one that got the same number later.
    """
    return f"{socket.gethostname()} {os.getpid()} {_began(os.getpid())}"


def is_alive(process):
    """Whether the process of that name lives; False where it is on another machine."""
    host, number, began = process.split(" ") if process else ("", "", "")
    return host == socket.gethostname() and _began(number) == began


def _began(number):
    """When a process began, in ticks since the start of the machine; None where there is none."""
    try:
        status = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if status[0] in ("Z", "X") else status[19]
