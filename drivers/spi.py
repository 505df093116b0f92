"""SPI: `/dev/spidev0.0`, `spidev0.0`, or a link to such a node. The gateway is the master: nothing comes unasked.

`ask` and `sample` make whole transfers whose answers come by `read`, addressed by what was sent; `write` sends and
reads nothing. Payloads are bytes in the order of the wire, also with words of more than eight bits. All devices of one
bus share one thread (`drivers/_spi_bus.py`); no call here blocks, however stuck the bus is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from drivers._blocking import HandOver, join_reader
from drivers._spi_bus import Buses, SpiBus
from drivers._spi_device import (
    ChipSelect,
    SpiDev,
    node_of,
    open_chip_select,
    path_of,
    py_spidev,
    transfer_limit_bytes,
    word_bytes,
)
from drivers._spi_schedule import Point, Tally
from gateway.clock import Clock
from gateway.errors import PortClosedError, PortError, PortLostError, PortOptionError, PortTimeoutError
from gateway.frame import Address, Batch, PortName
from gateway.port import Port, Sample
from gateway.profile.model import LinkSpec

T = TypeVar("T")

HAND_OVER_ANSWERS: Final = 4096  # 4 s of sampling at 1 kHz that nobody reads
MAX_ANSWERS_PER_READ: Final = 1024
STALL_S: Final = 1.0  # beyond the time on the wire: the bus is stuck
OPEN_TIMEOUT_S: Final = 2.0  # opening waits for the transfer that the bus is in
SHUT_S: Final = 0.4  # of the second that closing may take
NODE_CHECK_S: Final = 0.25  # unplugging shows within half a second even where nothing is transferred

HANGS_S: Final = 5.0  # a transfer that takes so long does not end by itself

log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """One transfer."""

    tx: bytes
    rx: bytes
    wall_ns: int  # when it began


class _Order:
    """Whether somebody still waits for a transfer."""

    is_wanted = True


class SpiPort:
    """One chip select."""

    is_stream = False

    def __init__(
        self,
        target: str,
        link: LinkSpec,
        clock: Clock,
        buses: Buses,
        new_device: Callable[[], SpiDev] = py_spidev,
    ) -> None:
        """Take `buses` that all ports of one machine share; `new_device` makes an unopened py-spidev device."""
        self.name = PortName(target)
        self._path = path_of(target)
        self._link = link
        self._clock = clock
        self._buses = buses
        self._new_device = new_device
        self._node = ""
        self._bus: SpiBus | None = None
        self._device: ChipSelect | None = None
        self._answers: HandOver[Answer] | None = None
        self._ended: asyncio.Future[None] | None = None  # done when this opening is over: closed or lost
        self._lost: str | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._tally = Tally()
        self._errors = 0
        self._late = 0
        self._last_error: str | None = None

    async def open(self) -> None:
        """Open the node and set it up. Raises: see `gateway.port.Port.open`; PortTimeoutError on a stuck bus."""
        await self.close()
        self._node, number = node_of(self.name, self._path)
        bus = self._buses.lease(number, self._clock)
        opening = bus.submit(self._open_device)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                self._device = await asyncio.wrap_future(opening)
        except BaseException as error:
            opening.add_done_callback(_shut_late)
            bus.release()
            if isinstance(error, TimeoutError):
                raise PortTimeoutError(self.name, "an earlier transfer on its bus hangs") from error
            raise
        loop = asyncio.get_running_loop()
        self._bus, self._lost = bus, None
        self._answers = HandOver(loop, HAND_OVER_ANSWERS)
        self._ended = loop.create_future()
        self._look_at_node()

    def _open_device(self) -> ChipSelect:
        return open_chip_select(self.name, self._node, self._link, self._new_device())

    async def read(self) -> Batch:
        """Return the answers that are there, waiting for the first. Raises: PortLostError, PortClosedError."""
        if self._answers is None:
            raise PortClosedError(self.name, "by us")
        taken, dropped = await self._answers.take(MAX_ANSWERS_PER_READ)
        addresses: list[Address] = [answer.tx for answer in taken]
        return Batch(
            [answer.rx for answer in taken],
            self._clock.monotonic_ns(),
            self._clock.wall_ns(),
            addresses,
            [answer.wall_ns for answer in taken],
            dropped,
        )

    async def ask(self, request: bytes, address: Address = None) -> None:
        """Make one transfer; its answer has been handed over when this returns.

        Raises: PortTimeoutError when it fails or the bus is stuck, PortOptionError, PortLostError, PortClosedError.
        """
        del address
        self._check(request)
        await self._carry_out(request, partial(self._exchange, self._device, request))

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send `data`; what is read meanwhile is nobody's. Raises: see `ask`.

        Beyond the kernel's buffer (4,096 bytes unless set otherwise) it goes in pieces, each with its chip select.
        """
        del address
        self._check_words(data)
        await self._carry_out(data, partial(self._send, self._device, data))

    def sample(self, plan: Sequence[Sample]) -> None:
        """Repeat these requests, each on its own grid. Raises: PortOptionError, PortLostError, PortClosedError."""
        bus = self._opened()
        for sample in plan:
            self._check(sample.request)
            if sample.every_ns <= 0:
                raise PortOptionError(self.name, f"a sample every {sample.every_ns} ns is none")
        bus.sample(self, plan, self._tally)

    async def close(self) -> None:
        """Release the device. A transfer that hangs keeps it until it ends; nobody waits for that."""
        bus, self._bus, device, self._device = self._bus, None, self._device, None
        answers, self._answers, ended, self._ended = self._answers, None, self._ended, None
        if bus is None or device is None or answers is None or ended is None:
            return
        bus.sample(self, (), self._tally)
        _finish(ended)
        answers.discard()
        answers.fail(PortClosedError(self.name, "by us"))
        if self._watch is not None:
            self._watch.cancel()
        shut = bus.submit(partial(_shut, device))
        is_shut = ended.get_loop().create_future()
        shut.add_done_callback(lambda _: _finish_soon(is_shut))
        thread = bus.release()
        await asyncio.wait({is_shut}, timeout=SHUT_S)
        if thread is not None and is_shut.done():
            await join_reader(thread)

    def health(self) -> dict[str, Any]:
        """Return what came of the samples, and how the bus is doing."""
        bus = self._bus
        return {
            "samples": self._tally.served,
            "missed": self._tally.missed,
            "held_back": self._tally.held_back,
            "errors": self._errors,
            "last_error": self._last_error,
            "late_answers": self._late,
            "jitter_us": self._tally.jitter_us(),
            "bus_busy_share": round(bus.busy_share(), 4) if bus else 0.0,
            "transfer_takes_s": round(bus.busy_for_s(), 3) if bus else 0.0,
        }

    # What the bus's thread calls.

    def serve(self, point: Point) -> bool:
        """Make one sampled transfer."""
        try:
            self._exchange(self._device, point.request, _Order())
        except PortError as error:
            if point.failures == 0 and not isinstance(error, PortLostError | PortClosedError):
                log.warning("sampling fails, asked ever more rarely until it works: %s", error)
            return False
        if point.failures:
            log.info("sampling works again: port=%s failures=%d", self.name, point.failures)
        return True

    def _exchange(self, device: ChipSelect | None, request: bytes, order: _Order) -> None:
        answers = self._answers
        wall_ns = self._clock.wall_ns()  # of the beginning: a value is never younger than its device made it
        rx = self._attempt(device, lambda opened: opened.exchange(request))
        if not order.is_wanted:
            self._late += 1
        elif answers is not None:
            answers.put([Answer(request, rx, wall_ns)])

    def _send(self, device: ChipSelect | None, data: bytes, _: _Order) -> None:
        self._attempt(device, lambda opened: opened.write(data))

    def _attempt(self, device: ChipSelect | None, transfer: Callable[[ChipSelect], T]) -> T:
        """Count what fails. Raises: PortError."""
        if device is None:
            raise PortClosedError(self.name, "by us")
        if self._lost is not None:
            raise PortLostError(self.name, self._lost)
        try:
            return transfer(device)
        except PortLostError as error:
            if device is self._device:
                self._lose(error.cause)
            raise
        except PortError as error:
            self._errors += 1
            self._last_error = error.cause
            raise

    # The loop's side.

    async def _carry_out(self, data: bytes, call: Callable[[_Order], None]) -> None:
        """Have a transfer made. When its time is up it is not begun any more, and what it still brings is dropped."""
        bus, ended, order = self._opened(), self._ended, _Order()
        assert ended is not None
        answer = asyncio.wrap_future(bus.submit(partial(call, order)))
        limit_s = STALL_S + 2 * 8 * len(data) / self._link.speed_hz
        try:
            await asyncio.wait({answer, ended}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                answer.result()
                return
            self._opened()  # raises where that is what ended it
            raise PortTimeoutError(self.name, f"the bus is stuck: {len(data)} bytes in {limit_s:.3g} s")
        finally:
            order.is_wanted = False
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # seen, also where nobody waits for it any more

    def _opened(self) -> SpiBus:
        if self._bus is None:
            raise PortClosedError(self.name, "by us")
        if self._lost is not None:
            raise PortLostError(self.name, self._lost)
        return self._bus

    def _check(self, request: bytes) -> None:
        limit = transfer_limit_bytes()
        if not 0 < len(request) <= limit:
            raise PortOptionError(
                self.name,
                f"a transfer of {len(request)} bytes; the kernel takes 1 to {limit} at once "
                "(spidev.bufsiz=N on the kernel's command line raises that)",
            )
        self._check_words(request)

    def _check_words(self, data: bytes) -> None:
        size = word_bytes(self._link.bits)
        if len(data) % size:
            raise PortOptionError(
                self.name, f"{len(data)} bytes are no whole number of words of {size} (bits = {self._link.bits})"
            )

    def _look_at_node(self) -> None:
        if not os.path.exists(self._node):  # noqa: PTH110 - one stat
            self._lose("its device node is gone")
            return
        if self._bus is not None and self._bus.busy_for_s() > HANGS_S:
            self._lose(f"a transfer has been hanging for {HANGS_S:g} s; check the controller and its wiring")
            return
        self._watch = asyncio.get_running_loop().call_later(NODE_CHECK_S, self._look_at_node)

    def _lose(self, cause: str) -> None:
        """End this opening, from any thread: what was answered is still read, then reads raise."""
        bus, answers, ended = self._bus, self._answers, self._ended
        self._lost = cause
        if bus is not None:
            bus.sample(self, (), self._tally)
        if answers is not None:
            answers.fail(PortLostError(self.name, cause))
        if ended is not None:
            _finish_soon(ended)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _finish_soon(future: asyncio.Future[None]) -> None:
    with contextlib.suppress(RuntimeError):  # its loop is closed
        future.get_loop().call_soon_threadsafe(_finish, future)


def _shut(device: ChipSelect) -> None:
    with contextlib.suppress(OSError):  # gone already
        device.close()


def _shut_late(opening: Future[ChipSelect]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        _shut(opening.result())


class SpiDriver:
    """Entry point `spi`."""

    name = "spi"

    def __init__(self) -> None:
        self._buses = Buses()

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        """Return an unopened port. Raises: PortOptionError for text that can never be one."""
        return SpiPort(target, link, clock, self._buses)

    def claims(self, target: str, bus: str) -> bool:
        """Whether the device is on an SPI bus."""
        return bus == "spi" and not target.startswith("replay:")


DRIVER: Final = SpiDriver()
