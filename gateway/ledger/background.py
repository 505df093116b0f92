"""Layer 5: the one thread of an open ledger: it commits what has waited for its window, and does the upkeep."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gateway.errors import GatewayError

log = logging.getLogger(__name__)


class Background:
    """Calls `tick` whenever `idle_s` says that something is due. Starts when it is first woken."""

    def __init__(self, tick: Callable[[], None], idle_s: Callable[[], float | None]) -> None:
        """`idle_s` returns for how long there is nothing to do, in seconds; None: until somebody wakes it."""
        self._tick = tick
        self._idle_s = idle_s
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_woken = False
        self._is_stopped = False

    def wake(self) -> None:
        """Have it look again, now."""
        with self._change:
            if self._is_stopped:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
                self._thread.start()
            if not self._is_woken:
                self._is_woken = True
                self._change.notify()

    def stop(self) -> None:
        """Let it end, and wait for that."""
        with self._change:
            self._is_stopped = True
            self._change.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while True:
            idle_s = self._idle_s()
            with self._change:
                if not self._is_woken and not self._is_stopped:
                    self._change.wait(idle_s)
                self._is_woken = False
                if self._is_stopped:
                    return
            try:
                self._tick()
            except GatewayError as error:
                log.warning("the ledger: %s", error)
