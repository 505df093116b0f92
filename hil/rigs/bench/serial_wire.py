"""A serial port of a bench: bytes as they come, what the kernel counts of line errors, and writes that end."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Callable
from typing import Any, Final

from drivers._serial import is_url, open_tty, port_error, set_line
from gateway.profile.model import LinkSpec
from gateway.registry import require
from hil.rigs.base import RigError
from hil.rigs.bench.wire import POLL_S, GoneError, Wire, leased
from hil.uart_bits import Format

CHUNK_BYTES: Final = 65536
STALL_S: Final = 1.0  # beyond the time on the line: it takes nothing
_TIOCGICOUNT: Final = 0x545D  # linux/tty.h, asm-generic/ioctls.h
_COUNTS: Final = struct.Struct("20i")  # struct serial_icounter_struct, linux/serial.h
_FLAGS: Final = {"framing": 6, "overrun": 7, "parity": 8, "break": 9}  # places in it

Receive = Callable[[bytes, int, tuple[str, ...]], None]  # bytes, monotonic stamp, flags of line errors since the last


class SerialWire(Wire):
    """One tty, or one serial port behind a URL."""

    def __init__(self, name: str, identity: str, link: LinkSpec, receive: Receive) -> None:
        super().__init__(name, identity)
        self._link = link
        self._receive = receive
        self._serial: Any = None
        self._fd = -1
        self._node = ""
        self._counts: dict[str, int] = {}

    @property
    def node(self) -> str:
        """What the identity means now: `/dev/ttyUSB3`."""
        return self._node

    @leased
    def write(self, data: bytes, sending: Callable[[int], None] = lambda _at_ns: None) -> None:
        """Send all of it; `sending` hears when. Raises: RigLostError, RigError where the line takes nothing."""
        self.check()
        sending(time.monotonic_ns())
        rest = memoryview(data)
        give_up_s = time.monotonic() + STALL_S + 12 * len(data) / self._link.baud
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                self.lose(os.strerror(error.errno or errno.EIO))
                self.check()
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                sent = len(data) - len(rest)
                raise RigError(
                    f"{self.name} ({self.identity}) took {sent} of {len(data)} bytes; is its flow control wired?"
                )
            select.select([], [self._fd], [], min(left_s, POLL_S))

    @leased
    def configure(self, link: LinkSpec) -> None:
        """Send and read characters otherwise from now on. Raises: RigError for what the port cannot."""
        try:
            if self._serial is not None:
                set_line(self._serial, link)
        except (OSError, ValueError) as error:
            raise RigError(f"{self.name} ({self.identity}) does not take {format_of(link)}: {error}") from error
        self._link = link

    @leased
    def send_break(self) -> None:
        """Hold the line low for a quarter of a second. Raises: RigLostError."""
        self.check()
        try:
            termios.tcsendbreak(self._fd, 0)
        except (termios.error, OSError) as error:
            self.lose(str(error))
            self.check()

    def forget(self) -> None:
        """Drop what the system holds of received bytes."""
        if self.is_open:
            try:
                termios.tcflush(self._fd, termios.TCIFLUSH)
            except (termios.error, OSError):
                return  # a socket has no such buffer; what is gone shows when it is read

    def _open(self) -> None:
        if is_url(self.identity):
            self._serial, self._node = self._open_url(), self.identity
        else:
            self._serial, self._node = open_tty(self.identity, self._link)
        self._fd = self._serial.fileno()
        os.set_blocking(self._fd, False)
        self._counts = self._count()

    def _open_url(self) -> Any:
        serial = require("serial", "uart")
        try:
            opened = serial.serial_for_url(self.identity, baudrate=self._link.baud, timeout=0)
            opened.fileno()
        except (OSError, ValueError) as error:  # pyserial's own errors are OSErrors
            raise port_error(self.identity, error) from error
        return opened

    def _read_some(self) -> None:
        ready, _, _ = select.select([self._fd], [], [], POLL_S)
        if not ready:
            return
        try:
            data = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise GoneError(os.strerror(error.errno or errno.EIO)) from error
        now_ns = time.monotonic_ns()
        if not data:
            raise GoneError("hung up")
        counts = self._count()
        errors = [flag for flag in counts for _ in range(counts[flag] - self._counts.get(flag, 0))]
        self._counts = counts
        self._receive(data, now_ns, tuple(errors))

    def _count(self) -> dict[str, int]:
        """Return what the driver counted of line errors so far; nothing where it counts none, as a pty."""
        try:
            told = fcntl.ioctl(self._fd, _TIOCGICOUNT, bytes(_COUNTS.size))
        except OSError:
            return {}
        counts = _COUNTS.unpack(told)
        return {flag: counts[place] for flag, place in _FLAGS.items()}

    def _close(self) -> None:
        opened, self._serial, self._fd, self._node = self._serial, None, -1, ""
        if opened is not None:
            opened.close()


def format_of(link: LinkSpec) -> Format:
    """Return how a port reads characters."""
    return Format.parse(f"{link.baud}-{link.data_bits}{link.parity[0]}{link.stop_bits:g}")
