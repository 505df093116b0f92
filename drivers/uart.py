"""Serial ports: pyserial opens and configures, then bytes are read in large chunks off the descriptor.

Port texts: a path (links resolved at every open), `usb:VID:PID[:serial]`, or a pyserial URL (`drivers/_serial_url.py`).
No framing here: a payload is a chunk as it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import termios
from collections.abc import Callable
from typing import Any, Final

from drivers._plug import PlugEvent, plug_watch, plugged
from drivers._readiness import Fairness, Readiness, finish
from drivers._serial import check_target, is_url, open_tty, warning_for
from drivers._serial_url import SerialUrlPort
from gateway.clock import Clock
from gateway.errors import PortClosedError, PortError, PortLostError, PortTimeoutError
from gateway.frame import Address, Batch, PortName
from gateway.port import Port
from gateway.profile.model import LinkSpec
from gateway.registry import require

CHUNK_BYTES: Final = 65536  # asked of the kernel at once; a tty gives at most 4,095
MAX_CHUNKS_PER_READ: Final = 64  # bounds a batch: 256 KiB of a tty, about a millisecond of work
SMALL_CHUNK_BYTES: Final = 512
WRITE_STALL_S: Final = 1.0  # no byte taken for so long: the wire is stuck
DRAIN_S: Final = 0.7  # of the second that closing may take
NODE_CHECK_S: Final = 0.25  # unplugging shows within half a second even where nobody tells it

log = logging.getLogger(__name__)


class SerialPort:
    """One tty. A read arms the loop only when there is nothing to read, so a busy line costs no extra wakes."""

    is_stream = True

    def __init__(self, target: str, link: LinkSpec, clock: Clock) -> None:
        self.name = PortName(target)
        self._link = link
        self._clock = clock
        self._serial: Any = None
        self._fd = -1
        self._node = ""
        self._lost: PortError | None = None
        self._readiness: Readiness | None = None
        self._writable: asyncio.Future[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._unlisten: Callable[[], None] | None = None
        self._gone: str | None = None  # why there is nothing behind the descriptor but what it still holds
        self._fairness = Fairness(clock)
        self._writing = asyncio.Lock()
        self._has_warned = False

    async def open(self) -> None:
        """Open exclusively and configure. Raises: see `gateway.port.Port.open`."""
        await self.close()
        self._warn_once()
        await asyncio.to_thread(require, "serial", "uart")  # the first import takes longer than a turn may
        watch = await plug_watch()
        self._serial, self._node = open_tty(self.name, self._link)
        self._fd = self._serial.fd
        self._lost = self._gone = None
        self._readiness = Readiness(self._fd)
        self._unlisten = watch.listen(self._on_plug_event)
        self._look_at_node()

    async def plugged(self) -> None:
        """Return when a serial port was plugged in, whichever; wait for ever where the system does not tell."""
        await plugged("tty")

    async def read(self) -> Batch:
        """Return the chunks that are there, waiting for the first. Raises: PortLostError, PortClosedError."""
        await self._fairness.give_way()
        waited = False
        while not (chunks := self._read_now()):
            assert self._readiness is not None
            if self._gone is not None:
                raise self._lose(self._gone)
            await self._readiness.wait()
            waited = True
        now_ns = self._clock.monotonic_ns()
        self._fairness.read_at(now_ns, waited=waited)
        return Batch(chunks, now_ns, self._clock.wall_ns())

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send `data` whole. Raises: PortTimeoutError when nothing was taken for a second, PortLostError ..."""
        del address
        async with self._writing:
            rest = memoryview(data)
            while rest:
                try:
                    rest = rest[os.write(self._open_fd(), rest) :]
                except BlockingIOError:
                    await self._wait_writable(len(data) - len(rest), len(data))
                except OSError as error:
                    raise self._lose(os.strerror(error.errno or errno.EIO)) from error

    async def close(self) -> None:
        """Release the port. What was written has a moment to leave; a stuck line does not hold the close."""
        opened, self._serial, fd, self._fd = self._serial, None, self._fd, -1
        if opened is None:
            return
        asyncio.get_running_loop().remove_writer(fd)
        finish(self._writable)
        if self._readiness is not None:
            self._readiness.close()
        if self._watch is not None:
            self._watch.cancel()
        if self._unlisten is not None:
            self._unlisten()
        try:
            await self._drain(opened)
        finally:
            with contextlib.suppress(OSError):
                opened.close()

    async def _drain(self, opened: Any) -> None:
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + DRAIN_S
        with contextlib.suppress(OSError, termios.error):  # gone already
            while self._lost is None and opened.out_waiting:
                if loop.time() > give_up_s:
                    termios.tcflush(opened.fd, termios.TCOFLUSH)  # else the kernel would wait for 30 s
                    return
                await asyncio.sleep(0.005)

    def _read_now(self) -> list[bytes]:
        fd = self._open_fd()
        chunks: list[bytes] = []
        try:
            while len(chunks) < MAX_CHUNKS_PER_READ:
                chunk = os.read(fd, CHUNK_BYTES)
                if not chunk:
                    if chunks:
                        break  # deliver first; the next read meets the hang-up again
                    raise self._lose("hung up")
                chunks.append(chunk)
                if len(chunk) < SMALL_CHUNK_BYTES:
                    break  # that was all; asking again would cost as much as the read
        except BlockingIOError:
            pass
        except OSError as error:
            if not chunks:
                raise self._lose(os.strerror(error.errno or errno.EIO)) from error
        return chunks

    def _look_at_node(self) -> None:
        """See now and then whether the node of a port that is waited for is still there."""
        ready = self._readiness
        if ready is not None and ready.is_waited_for and not os.path.exists(self._node):  # noqa: PTH110 - one stat
            self._vanish("its device node is gone")
        self._watch = asyncio.get_running_loop().call_later(NODE_CHECK_S, self._look_at_node)

    def _on_plug_event(self, event: PlugEvent) -> None:
        if event.action == "remove" and event.subsystem == "tty" and self._node == f"/dev/{event.name}":
            self._vanish("unplugged")

    def _vanish(self, cause: str) -> None:
        """Let who waits see that nothing more will come; what came before is still read."""
        self._gone = cause
        finish(self._writable)
        if self._readiness is not None:
            self._readiness.wake()

    async def _wait_writable(self, sent: int, total: int) -> None:
        if self._gone is not None:
            raise self._lose(self._gone)
        loop = asyncio.get_running_loop()
        fd = self._fd
        self._writable = future = loop.create_future()
        loop.add_writer(fd, finish, future)
        try:
            async with asyncio.timeout(WRITE_STALL_S):
                await future
        except TimeoutError as error:
            with contextlib.suppress(OSError, termios.error):
                termios.tcflush(fd, termios.TCOFLUSH)  # half a frame must not go out later
            raise PortTimeoutError(self.name, f"{sent} of {total} bytes in {WRITE_STALL_S:g} s") from error
        finally:
            self._writable = None
            if self._fd == fd:
                loop.remove_writer(fd)

    def _open_fd(self) -> int:
        if self._serial is None:
            raise PortClosedError(self.name, "by us")
        if self._lost is not None:
            raise self._lose(self._lost.cause)
        return self._fd

    def _lose(self, cause: str) -> PortError:
        self._lost = PortLostError(self.name, cause)
        return self._lost

    def _warn_once(self) -> None:
        warning = None if self._has_warned else warning_for(self.name)
        if warning:
            self._has_warned = True
            log.warning("%s", warning)


class SerialDriver:
    """Entry point `uart`."""

    name = "uart"

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        """Return an unopened serial port. Raises: PortOptionError for text that can never be one."""
        check_target(target)
        return SerialUrlPort(target, link, clock) if is_url(target) else SerialPort(target, link, clock)

    def claims(self, target: str, bus: str) -> bool:
        """Whether the device is on a uart."""
        return bus == "uart" and not target.startswith("replay:")


DRIVER: Final = SerialDriver()
