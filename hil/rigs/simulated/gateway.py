"""The fixture `gateway` of a simulated rig: nothing of it is simulated but what is below its ports.

It runs in the rig's time, from the first `add` on: while a test waits for it, and while it sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeVar

from gateway.app import Gateway
from gateway.runtime.means import MACHINE
from hil.rigs.gateway import MOST_WAIT_S, RigGateway
from hil.rigs.simulated.ledger import LoopCommitter, open_ledger
from hil.rigs.simulated.loop import WorldLoop
from hil.rigs.simulated.ports import RigDriver, port_text

STOP_NS: Final = 10_000_000_000
_NS: Final = 1_000_000_000

T = TypeVar("T")


def make(rig: Any) -> SimulatedGateway:
    """Return a gateway without devices on the ports of a rig."""
    return SimulatedGateway(rig)


class SimulatedGateway(RigGateway):
    """A gateway whose loop the world drives."""

    def __init__(self, rig: Any) -> None:
        super().__init__(rig)
        self._loop: WorldLoop | None = None
        self._stop: asyncio.Event | None = None
        self._running: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Stop the gateway; what it kept stays until the run is over. May be called twice."""
        if self._loop is None:
            return
        self._note_coverage()
        loop, self._loop = self._loop, None
        assert self._stop is not None
        assert self._running is not None
        try:
            self._stop.set()
            with contextlib.suppress(TimeoutError):
                loop.finish(_ended(self._running), self._world.now_ns + STOP_NS)
        finally:
            self._world.step = self._world.step_events
            loop.end()
            self._gateway = None

    def _begin(self) -> None:
        """Start it, as far as that takes no time. Raises: ConfigError, ProfileError, PortError."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        rand = random.Random(self._world.seed).random  # noqa: S311 - waits that are the same each time
        means = MACHINE._replace(
            driver_for=RigDriver(self._rig).driver_for,
            rand=rand,
            quality=lambda: "ntp",
            open_ledger=partial(open_ledger, disk=self._rig.disk),
            committer=partial(LoopCommitter, rand=rand),
        )
        gateway = Gateway(
            self._site, self.data_dir, self._world.clock, coalesce_s=0.0, file=self._write_site(), means=means
        )
        self._gateway = gateway
        self._loop = loop = WorldLoop(self._world)
        self._stop = asyncio.Event()
        self._running = loop.create_task(gateway.run(self._stop), name="gateway")
        self._world.step = loop.step
        loop.settle()
        self._check_alive()

    def _port_text(self, port: str) -> str:
        return port_text(self._rig, port)

    def _do(self, work: Callable[[], T]) -> T:
        self._loop_now.settle()
        self._check_alive()
        return work()

    def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop_now.finish(work, self._world.now_ns + int(MOST_WAIT_S + 10) * _NS)

    def _wait_for(self, look: Callable[[], T | None], until_ns: int) -> T | None:
        found: T | None = self._world.wait_for(look, until_ns)
        return found

    def _check_alive(self) -> None:
        """Raise what ended the gateway, if anything did."""
        if self._running is not None and self._running.done() and not self._running.cancelled():
            error = self._running.exception()
            if error is not None:
                raise error

    @property
    def _loop_now(self) -> WorldLoop:
        if self._loop is None:
            raise ValueError("the gateway is closed")
        return self._loop


async def _ended(running: asyncio.Task[None]) -> None:
    await asyncio.wait([running])
