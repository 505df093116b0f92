"""Layer 9: long work of a command beside a gateway: it takes only the processor time that nobody else wants."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

T = TypeVar("T")
NICE: Final = 19


def gently(work: Callable[[], T]) -> T:
    """Do something at the lowest priority, and return or raise what it does.

    In a thread, whose priority is its own on Linux: the process could lower its own, but never raise it again. An
    interrupt ends the wait at once, and the process with it.
    """
    done: Future[T] = Future()

    def run() -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is the caller's, in the other thread
            done.set_exception(error)

    threading.Thread(target=run, name="gently", daemon=True).start()
    return done.result()
