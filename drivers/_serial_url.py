"""Serial ports behind a URL (`socket://host:port`, `rfc2217://host:port`, `loop://`): pyserial in a reader thread.

The hand-over is lossless: a slow reader stops the thread, and TCP then stops the sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import threading
from functools import partial
from typing import Any, Final

from drivers._blocking import HandOver, join_reader, open_in_thread, start_reader
from drivers._serial import port_error, settings
from gateway.clock import Clock
from gateway.errors import PortClosedError, PortLostError, PortNotFoundError, PortTimeoutError
from gateway.frame import Address, Batch, PortName
from gateway.profile.model import LinkSpec
from gateway.registry import require

CHUNK_BYTES: Final = 65536
MAX_CHUNKS: Final = 64
POLL_S: Final = 0.2  # how soon the thread sees that it should stop
OPEN_TIMEOUT_S: Final = 10.0
WRITE_TIMEOUT_S: Final = 1.0

_GONE: Final = (OSError, ValueError, TypeError, AttributeError)  # pyserial's ways to say that it was closed or cut


class SerialUrlPort:
    """One URL. The thread owns reading, the loop owns everything else."""

    is_stream = True

    def __init__(self, target: str, link: LinkSpec, clock: Clock) -> None:
        self.name = PortName(target)
        self._link = link
        self._clock = clock
        self._serial: Any = None
        self._chunks: HandOver[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Connect and configure. Raises: see `gateway.port.Port.open`."""
        await self.close()
        try:
            self._serial = await open_in_thread(self._connect, OPEN_TIMEOUT_S, _close_quietly)
        except TimeoutError as error:
            raise PortNotFoundError(self.name, str(error) or f"no answer in {OPEN_TIMEOUT_S:g} s") from error
        except (OSError, ValueError, TypeError, OverflowError) as error:
            raise port_error(self.name, error) from error
        self._chunks = HandOver(asyncio.get_running_loop(), MAX_CHUNKS, lossless=True)
        self._thread = start_reader(f"read {self.name}", partial(_work, self.name, self._serial, self._chunks))

    def _connect(self) -> Any:
        serial = require("serial", "uart")
        write_timeout = None if self.name.startswith("rfc2217:") else WRITE_TIMEOUT_S  # pyserial knows none there
        options = {"timeout": POLL_S, "write_timeout": write_timeout, **settings(self._link)}
        opened = serial.serial_for_url(self.name, do_not_open=True, **options)
        if self.name.startswith("socket://"):
            opened.reset_input_buffer = _keep  # called while opening: what the far end says at once is no stale input
        opened.open()
        return opened

    async def read(self) -> Batch:
        """Return the chunks that are there, waiting for the first. Raises: PortLostError, PortClosedError."""
        if self._chunks is None:
            raise PortClosedError(self.name, "by us")
        chunks, _ = await self._chunks.take(MAX_CHUNKS)
        return Batch(chunks, self._clock.monotonic_ns(), self._clock.wall_ns())

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send `data` whole. Raises: PortTimeoutError, PortLostError, PortClosedError."""
        del address
        async with self._writing:
            if self._serial is None or self._chunks is None:
                raise PortClosedError(self.name, "by us")
            if self._chunks.has_ended:
                raise PortLostError(self.name, "the connection ended")
            piece = max(self._link.baud // 20, 64)  # about half a second of line each: progress is what is timed
            for start in range(0, len(data), piece):
                await self._write_piece(data[start : start + piece])

    async def _write_piece(self, data: bytes) -> None:
        serial = require("serial", "uart")
        try:
            async with asyncio.timeout(2 * WRITE_TIMEOUT_S):
                await asyncio.to_thread(self._serial.write, data)
        except (serial.SerialTimeoutException, TimeoutError) as error:
            raise PortTimeoutError(self.name, f"{len(data)} bytes in {WRITE_TIMEOUT_S:g} s") from error
        except _GONE as error:
            raise PortLostError(self.name, str(error)) from error

    async def close(self) -> None:
        """Release the connection; a waiting read raises PortClosedError."""
        opened, self._serial = self._serial, None
        if opened is None:
            return
        assert self._chunks is not None
        assert self._thread is not None
        self._chunks.discard()
        self._chunks.fail(PortClosedError(self.name, "by us"))
        self._chunks = None
        await join_reader(self._thread)
        await asyncio.to_thread(_close_quietly, opened)


def _work(name: str, opened: Any, chunks: HandOver[bytes]) -> None:
    try:
        while not chunks.has_ended:
            chunk = _read_some(name, opened)
            if chunk and not chunks.put([chunk]):
                return
    except _GONE as error:
        chunks.fail(PortLostError(name, str(error)))


def _read_some(name: str, opened: Any) -> bytes:
    """Wait up to `POLL_S` for bytes and return all that came with the first."""
    if name.startswith("socket://"):  # its in_waiting tells only whether, not how much
        readable, _, _ = select.select([opened.fileno()], [], [], POLL_S)
        if not readable:
            return b""
        opened.timeout = 0
        return bytes(opened.read(CHUNK_BYTES))
    first: bytes = opened.read(1)
    waiting = min(opened.in_waiting, CHUNK_BYTES) if first else 0
    return first + opened.read(waiting) if waiting else first


def _keep() -> None:
    """Throw nothing away, in place of pyserial's `reset_input_buffer`."""


def _close_quietly(opened: Any) -> None:
    with contextlib.suppress(*_GONE):
        opened.close()
