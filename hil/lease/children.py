"""The processes below this one: found, ended, collected."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 2.0  # for the kernel to end what was killed; what hangs in a driver may take longer
_RETRY_S: Final = 0.005


def reap() -> dict[int, int]:
    """Collect the children that have ended; return their wait statuses."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = status
    return ended


def kill_all() -> set[int]:
    """End every process below this one by SIGKILL, those they start meanwhile too; return what is left after 2 s.

    Whatever one leaves as an orphan comes to the nearest subreaper above, so that with one nothing gets away.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        reap()
        alive = descendants(os.getpid())
        if not alive or time.monotonic() >= deadline_s:
            return alive
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_RETRY_S)


def descendants(root: int) -> set[int]:
    """Return the processes below one, zombies of others left out."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                state, parent = (entry / "stat").read_bytes().rpartition(b") ")[2].split(None, 2)[:2]
                if state not in {b"Z", b"X"} or int(parent) == root:
                    children.setdefault(int(parent), []).append(int(entry.name))
    found: set[int] = set()
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), ()):
            if pid not in found:
                found.add(pid)
                todo.append(pid)
    return found
