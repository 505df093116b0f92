"""A Bluetooth adapter of a bench: the gateway's own scanner and links, on the radio's thread."""

from __future__ import annotations

from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, TypeVar

from drivers._ble_adapter import ADAPTERS, Adapter, Listener
from drivers._ble_radio import RADIO
from drivers._ble_target import target_of
from gateway.clock import SystemClock
from hil.rigs.base import RigError
from hil.rigs.bench.wire import Wire

OPEN_S: Final = 15.0

T = TypeVar("T")


class BleWire(Wire):
    """One adapter, or one device behind it."""

    reads = False  # the radio's thread does

    def __init__(self, name: str, identity: str, heard: Listener) -> None:
        super().__init__(name, identity)
        self.where = target_of(identity)
        self.adapter: Adapter | None = None
        self._heard = heard

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work` on the radio's thread; the run is woken when it is done."""
        world = self.world
        pending = RADIO.start(work)
        if world is not None:
            pending.add_done_callback(lambda _: world.wake())
        return pending

    def call(self, work: Coroutine[Any, Any, T], limit_s: float, what: str) -> T:
        """Return what `work` gives on the radio's thread. Raises: PortError, RigError."""
        doing = RADIO.start(work)
        try:
            return doing.result(limit_s)
        except FutureTimeoutError as error:
            doing.cancel()
            raise RigError(f"{self.name} ({self.identity}): {what}: no answer in {limit_s:g} s") from error

    def _open(self) -> None:
        self.adapter = self.call(ADAPTERS.acquire(self.where.adapter, self.identity, SystemClock()), OPEN_S, "open")
        try:
            self.call(self.adapter.listen(self._heard, self.identity), OPEN_S, "scan")
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        adapter, self.adapter = self.adapter, None
        if adapter is None:
            return

        async def release() -> None:
            adapter.unlisten(self._heard)
            await ADAPTERS.release(adapter)

        self.call(release(), OPEN_S, "close")
