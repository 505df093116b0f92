"""An agent in a thread of its own, with ports that a test plays."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

from gateway.errors import PortClosedError, PortLostError, PortNotFoundError, PortTimeoutError
from gateway.frame import Batch, PortName
from hil.agent.server import Agent
from hil.agent.wire import Wire
from tests.waiting import WITHIN_S


class PlayedPort:
    """A port that gives what the test feeds and keeps what was written. All but its methods of a Port: any thread."""

    is_stream = True

    def __init__(self, name="port"):
        self.name = PortName(name)
        self.writes = []
        self.opened = 0
        self.is_missing = False
        self.takes_nothing = False
        self._queue = None
        self._loop = None

    async def open(self):
        if self.is_missing:
            raise PortNotFoundError(self.name, "not plugged in")
        self._loop, self._queue = asyncio.get_running_loop(), asyncio.Queue()
        self.opened += 1

    async def read(self):
        item = await self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def write(self, data, address=None):
        if self.takes_nothing:
            raise PortTimeoutError(self.name, "stuck")
        self.writes.append((data, address))

    async def ask(self, request, address=None):
        self.writes.append((request, address))
        self.feed(request[::-1], address=request)

    async def close(self):
        if self._queue is not None:
            self._queue.put_nowait(PortClosedError(self.name, "by us"))

    def feed(self, *payloads, address=None, dropped=0, stamp_ns=None, ages_ns=None):
        addresses = [address] * len(payloads) if address is not None else None
        stamp_ns = time.monotonic_ns() if stamp_ns is None else stamp_ns
        wall_ns = time.time_ns()
        stamps_ns = [wall_ns - age_ns for age_ns in ages_ns] if ages_ns is not None else None
        self._put(Batch(list(payloads), stamp_ns, wall_ns, addresses, stamps_ns, dropped))

    def vanish(self):
        self._put(PortLostError(self.name, "unplugged"))

    def _put(self, item):
        self._loop.call_soon_threadsafe(self._queue.put_nowait, item)


@contextlib.contextmanager
def serving(*ports, tls=None, linger_s=10.0, kept_bytes=1 << 20, host="127.0.0.1", port=0, **options):
    """An agent of target `a` with resources `uart0`, `uart1`, ...; gives it and its address."""
    ready = threading.Event()
    where = []

    def make(port):
        return lambda: port

    async def main():
        wires = [
            Wire(f"uart{index}", "uart", make(port), linger_s=linger_s, kept_bytes=kept_bytes)
            for index, port in enumerate(ports)
        ]
        agent = Agent("a", wires, **options)
        loop = asyncio.get_running_loop()

        def on_ready(at_host, at_port):
            where.extend([agent, f"{at_host}:{at_port}", loop, task])
            ready.set()

        task = asyncio.current_task()
        with contextlib.suppress(asyncio.CancelledError):
            await agent.listen(host, port, tls, on_ready)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(WITHIN_S)
    agent, address, loop, task = where
    try:
        yield agent, address
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def payloads(stream, count):
    """The next `count` payloads of a stream."""
    found = []
    deadline_s = time.monotonic() + WITHIN_S
    while len(found) < count:
        left_s = deadline_s - time.monotonic()
        assert left_s > 0, found
        found += [payload for _, payload, _ in stream.read(left_s)]
    return found
