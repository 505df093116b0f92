"""The fixture `gateway` on a bench: a whole gateway on the rig's ports, in a loop of its own beside the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.app import Gateway
from gateway.runtime.means import MACHINE
from gateway.spelling import did_you_mean
from hil.rigs.base import RigError
from hil.rigs.bench.bridge import Bridge, CanBridge, UartBridge
from hil.rigs.bench.canbus import BenchCan
from hil.rigs.bench.ports import PREFIX, BenchDriver
from hil.rigs.bench.uart import BenchUart
from hil.rigs.gateway import MOST_WAIT_S, RigGateway

if TYPE_CHECKING:
    from hil.rigs.bench.rig import BenchRig

READY_S: Final = 20.0
LOOK_NS: Final = 10_000_000

T = TypeVar("T")


def make(rig: BenchRig) -> BenchGateway:
    """Return a gateway without devices; it starts with the first."""
    return BenchGateway(rig)


class BenchGateway(RigGateway):
    """A gateway whose loop runs in a thread; the rig reads the ports, records, and hands on to it."""

    def __init__(self, rig: BenchRig) -> None:
        super().__init__(rig)
        self._bridges: dict[str, Bridge] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hil gateway", daemon=True)
        self._thread.start()
        self._stop: asyncio.Event | None = None
        self._running: Any = None

    def close(self) -> None:
        """End it, and give its ports back."""
        if self._loop.is_closed():
            return
        if self._running is not None and not self._running.done():
            self._note_coverage()
        self._end()
        for bridge in self._bridges.values():
            bridge.close()
        self._bridges.clear()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(READY_S)
        self._loop.close()

    def _port_text(self, port: str) -> str:
        resources = [each for each, protocol in self._rig.resources.items() if protocol != "power"]
        name, _, _ = port.partition("/")
        if name not in resources:
            raise ValueError(f"{self._rig.target} has no resource {port!r}{did_you_mean(name, resources)}")
        handle = self._rig.get(name)
        if name in self._bridges:
            return self._bridges[name].port
        if isinstance(handle, BenchUart):
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._bridges[name] = UartBridge(handle, self.data_dir / f"{name}.port")
        elif isinstance(handle, BenchCan):
            self._bridges[name] = CanBridge(handle, f"{self._rig.target}-{name}")
        else:
            return PREFIX + port
        return self._bridges[name].port

    def _begin(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        means = MACHINE._replace(driver_for=BenchDriver(self._rig, self.data_dir).driver_for)
        gateway = Gateway(self._site, self.data_dir, file=self._write_site(), means=means)
        stop, ready = asyncio.Event(), threading.Event()
        self._stop, self._gateway = stop, gateway
        self._running = asyncio.run_coroutine_threadsafe(gateway.run(stop, ready.set), self._loop)
        self._running.add_done_callback(lambda _: ready.set())
        if not ready.wait(READY_S):
            raise RigError(f"the gateway was not ready in {READY_S:g} s")
        self._check_alive()

    def _end(self) -> None:
        running, self._running, self._gateway = self._running, None, None
        if running is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            running.result(READY_S)

    def _do(self, work: Callable[[], T]) -> T:
        async def done() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(READY_S)

    def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the rig hand on what it reads meanwhile: a command needs its answer."""
        waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        until_ns = self._world.now_ns + round((MOST_WAIT_S + READY_S) * 1e9)
        while not waiting.done() and self._world.now_ns < until_ns:
            self._world.run_until(self._world.now_ns + LOOK_NS)
        return waiting.result(0)

    def _wait_for(self, look: Callable[[], T | None], until_ns: int) -> T | None:
        while True:
            found = self._do(look)
            self._check_alive()
            if found is not None or self._world.now_ns >= until_ns:
                return found
            self._world.run_until(min(until_ns, self._world.now_ns + LOOK_NS))

    def _check_alive(self) -> None:
        if self._running is not None and self._running.done():
            self._running.result()
