"""A recording as a port: `replay:FILE[?speed=2.0][&loop=1]` on any bus; a speed of 0 is as fast as it is taken.

CAN: candump, ASC, BLF, TRC; UART: raw bytes at the line's rate; BLE: advertisements as JSON lines.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from drivers._recordings import Record, check_replayable, records_of
from drivers._serial import port_error
from gateway.clock import Clock
from gateway.errors import PortClosedError, PortOptionError
from gateway.frame import Address, Batch, PortName
from gateway.port import Port
from gateway.profile.model import LinkSpec

PREFIX: Final = "replay:"
MAX_RECORDS_PER_READ: Final = 512
MAX_READ_NS: Final = 2_000_000  # a read never holds the loop longer than about this
MAX_SLEEP_S: Final = 0.5  # a clock that is set forward is seen soon
_YEAR_S: Final = 365 * 86400  # a smaller time counts from the recording's start, not from 1970
_NS: Final = 1_000_000_000


class ReplayPort:
    """One recording. Its time starts at `open`; a cancelled read loses nothing."""

    def __init__(self, target: str, path: Path, link: LinkSpec, clock: Clock, *, speed: float, loops: bool) -> None:
        self.name = PortName(target)
        self.is_stream = link.bus == "uart"
        self._path = path
        self._link = link
        self._clock = clock
        self._speed = speed
        self._loops = loops
        self._records: Iterator[Record] | None = None
        self._next: Record | None = None
        self._start_s = 0.0  # recording time that belongs to `_start_ns`
        self._start_ns = 0
        self._closed: asyncio.Event = asyncio.Event()

    async def open(self) -> None:
        """Start from the beginning. Raises: PortNotFoundError, PortPermissionError, PortOptionError, DriverError."""
        await self.close()
        self._closed = asyncio.Event()
        await asyncio.to_thread(self._start)  # importing python-can takes longer than a turn may
        if self._next is None:
            self._records = None
            raise PortOptionError(self.name, "the recording is empty, or of another format than its name says")

    def _start(self) -> None:
        try:
            self._records = records_of(self._path, self._link)
            self._next = next(self._records, None)
        except OSError as error:
            raise port_error(self.name, error) from error
        self._start_s = self._next.seconds if self._next else 0.0
        self._start_ns = self._clock.monotonic_ns()

    async def read(self) -> Batch:
        """Return what is due, waiting for the first. Raises: EOFError at the end, PortClosedError after `close`."""
        await asyncio.sleep(0)
        while True:
            if self._records is None:
                raise PortClosedError(self.name, "by us")
            if self._next is None:
                if not self._loops:
                    raise EOFError(f"{self.name} has ended")
                self._start()
                if self._next is None:
                    raise EOFError(f"{self.name} has become empty")
            left_ns = self._due_ns(self._next) - self._clock.monotonic_ns()
            if left_ns <= 0:
                return self._take_due()
            await self._pause(left_ns)

    def _due_ns(self, record: Record) -> int:
        if self._speed == 0:
            return self._start_ns
        return self._start_ns + round((record.seconds - self._start_s) / self._speed * _NS)

    def _take_due(self) -> Batch:
        assert self._records is not None
        now_ns = self._clock.monotonic_ns()
        taken: list[Record] = []
        record = self._next
        while record is not None and len(taken) < MAX_RECORDS_PER_READ and self._due_ns(record) <= now_ns:
            taken.append(record)
            record = next(self._records, None)
            if not len(taken) % 16 and self._clock.monotonic_ns() - now_ns > MAX_READ_NS:
                break
        self._next = record
        addresses = None if self.is_stream else [each.address for each in taken]
        has_dates = taken[0].seconds >= _YEAR_S
        stamps = [round(each.seconds * _NS) for each in taken] if has_dates else None
        return Batch([each.payload for each in taken], now_ns, self._clock.wall_ns(), addresses, stamps)

    async def _pause(self, left_ns: int) -> None:
        try:
            async with asyncio.timeout(min(left_ns / _NS, MAX_SLEEP_S)):
                await self._closed.wait()
        except TimeoutError:
            pass

    async def write(self, data: bytes, address: Address = None) -> None:
        """Raise PortOptionError: nothing listens in a recording. PortClosedError when it is not open."""
        del data, address
        if self._records is None:
            raise PortClosedError(self.name, "by us")
        raise PortOptionError(self.name, "a recording takes no writes")

    async def close(self) -> None:
        """Release the file; a waiting read raises PortClosedError."""
        self._records = None
        self._next = None
        self._closed.set()


class ReplayDriver:
    """Entry point `replay`."""

    name = "replay"

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        """Return an unopened recording. Raises: PortOptionError for an option that there is not."""
        text = target.removeprefix(PREFIX)
        file, mark, query = text.rpartition("?")
        if not mark or "=" not in query:
            file, query = text, ""
        options = dict(parse_qsl(query, keep_blank_values=True))
        unknown = sorted(options.keys() - {"speed", "loop"})
        if unknown or not file:
            wrong = f"no option {unknown[0]!r}" if unknown else "no file"
            raise PortOptionError(target, f"{wrong}; write replay:FILE?speed=2.0&loop=1")
        check_replayable(target, link)
        speed = _speed(target, options.get("speed", "1"))
        return ReplayPort(
            target, Path(file), link, clock, speed=speed, loops=options.get("loop", "0") not in ("0", "false")
        )

    def claims(self, target: str, bus: str) -> bool:
        """Whether the text says `replay:`."""
        del bus
        return target.startswith(PREFIX)


def _speed(target: str, text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 <= speed < math.inf:
        raise PortOptionError(target, f"speed {text!r} is no number from 0 (as fast as it is taken); 1 is as recorded")
    return speed


DRIVER: Final = ReplayDriver()
