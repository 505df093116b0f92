"""The one thread on which all of Bluetooth runs: an event loop of its own, beside the gateway's.

bleak needs a loop and may keep it busy; a stuck bluetoothd must not hold the gateway. The thread is started by the
first port that opens and stays: bleak keeps its picture of BlueZ for the loop's whole life.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from drivers._blocking import start_reader

T = TypeVar("T")

log = logging.getLogger(__name__)


class Radio:
    """A loop in a thread. Its coroutines are started from outside (`call`, `start`) and from within (`start`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work` on the radio's loop. Cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    def leave(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin `work` that nobody waits for; how it fails is logged."""
        self.start(work).add_done_callback(_tell)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` gives on the radio's loop; cancelling cancels it there."""
        return await asyncio.wrap_future(self.start(work))

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                start_reader("bluetooth", self._loop.run_forever)
            return self._loop


def _tell(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("work in the background failed: %s", type(error).__name__, exc_info=error)


RADIO = Radio()
