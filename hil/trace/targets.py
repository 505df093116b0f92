"""Ports as the device's end of a trace that is played: blocking writes, and a thread that hears."""

from __future__ import annotations

import os
import select
import termios
import threading
import time
import tty
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from drivers._can_python import split_target
from drivers._serial import port_error
from gateway.errors import PortError, PortLostError, PortNotFoundError, PortOptionError, PortTimeoutError, UsageError
from gateway.registry import require
from hil.trace.formats.frames import Frame, record_of
from hil.trace.record import Record

WRITE_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.1
STANDARD_BAUD: Final = 115_200


class ReplayLostError(PortLostError):
    """The port went away, and the replay ends with it."""

    template = "{port} went away ({cause}); look at its cable, and start the replay again"


class Heard(NamedTuple):
    """Something that was sent to us, or the error that ended it."""

    now_ns: int
    bus: str
    kind: str
    data: bytes
    facts: dict[str, Any]
    error: PortError | None = None


Put = Callable[[Heard], None]


class Target(Protocol):
    """A port, open until `close`."""

    def listen(self, put: Put) -> None:
        """Have what comes put somewhere, from another thread."""

    def send(self, record: Record) -> bool:
        """Send what a record holds; False: this port cannot send such a thing. Raises: PortError."""

    def close(self) -> None:
        """Release it."""


def open_target(bus: str, facts: Mapping[str, Any], port: str) -> Target:
    """Return a port of the bus's kind, open. Raises: UsageError, PortError, DriverError."""
    protocol = facts.get("protocol")
    if protocol == "uart":
        return (
            PtyTarget(bus, port) if os.path.realpath(port).startswith("/dev/pts/") else SerialTarget(bus, facts, port)
        )
    if protocol == "can":
        return CanTarget(bus, port)
    raise UsageError(f"--to {bus}={port}: {bus} is {protocol or 'of no protocol'}; uart and can are played into ports")


class _Listening(ABC):
    """A target with a thread that hears: `_take` waits a little and puts what came."""

    def __init__(self, bus: str, port: str) -> None:
        self._bus = bus
        self._port = port
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def listen(self, put: Put) -> None:
        """Have what comes put somewhere, from another thread."""
        self._thread = threading.Thread(target=self._work, args=(put,), name=f"hear {self._bus}", daemon=True)
        self._thread.start()

    @abstractmethod
    def _take(self, put: Put) -> None:
        """Wait a little, and put what came."""

    def _end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _put_bytes(self, put: Put, data: bytes) -> None:
        if data:
            put(Heard(time.monotonic_ns(), self._bus, "bytes", data, {}))

    def _work(self, put: Put) -> None:
        try:
            while not self._ended.is_set():
                self._take(put)
        except Exception as error:  # noqa: BLE001 - pyserial and adapters fail in any way when a port goes away
            if not self._ended.is_set():
                lost = ReplayLostError(self._port, str(error))
                put(Heard(time.monotonic_ns(), self._bus, "", b"", {}, lost))


class PtyTarget(_Listening):
    """A pseudo-terminal. What was written into it before it was opened counts, which pyserial would throw away."""

    def __init__(self, bus: str, port: str) -> None:
        """Open it. Raises: PortNotFoundError."""
        super().__init__(bus, port)
        try:
            self._fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            tty.setraw(self._fd, termios.TCSANOW)
        except (OSError, termios.error) as error:
            raise PortNotFoundError(port, getattr(error, "strerror", None) or str(error)) from error

    def send(self, record: Record) -> bool:
        """Send bytes. Raises: PortTimeoutError, PortLostError."""
        left = record.payload
        while left:
            if not select.select([], [self._fd], [], WRITE_TIMEOUT_S)[1]:
                raise PortTimeoutError(self._port, f"{WRITE_TIMEOUT_S:g} s; does anybody read there?")
            try:
                left = left[os.write(self._fd, left) :]
            except OSError as error:
                raise ReplayLostError(self._port, error.strerror or str(error)) from error
        return True

    def close(self) -> None:
        """Close it."""
        self._end()
        os.close(self._fd)

    def _take(self, put: Put) -> None:
        if select.select([self._fd], [], [], _POLL_S)[0]:
            data = os.read(self._fd, 65_536)
            if not data:  # a terminal in raw mode gives nothing only when it was hung up
                raise OSError("its other end was closed")
            self._put_bytes(put, data)


class SerialTarget(_Listening):
    """A serial port, or a URL of pyserial."""

    def __init__(self, bus: str, facts: Mapping[str, Any], port: str) -> None:
        """Open it. Raises: PortNotFoundError, PortOptionError."""
        super().__init__(bus, port)
        self._serial: Any = require("serial", "uart")
        baud = facts.get("baud")
        options = {"baudrate": baud if type(baud) is int else STANDARD_BAUD, "timeout": _POLL_S}
        try:
            self._line = self._serial.serial_for_url(port, write_timeout=WRITE_TIMEOUT_S, **options)
        except (ValueError, AttributeError) as error:
            raise PortOptionError(port, str(error)) from error
        except OSError as error:
            raise port_error(port, error) from error

    def send(self, record: Record) -> bool:
        """Send bytes. Raises: PortTimeoutError, PortLostError."""
        try:
            self._line.write(record.payload)
        except self._serial.SerialTimeoutException as error:
            raise PortTimeoutError(self._port, f"{WRITE_TIMEOUT_S:g} s; does anybody read there?") from error
        except OSError as error:
            raise ReplayLostError(self._port, error.strerror or str(error)) from error
        return True

    def close(self) -> None:
        """Close it."""
        self._end()
        with suppress(OSError):
            self._line.close()

    def _take(self, put: Put) -> None:
        data = self._line.read(1)
        self._put_bytes(put, data + self._line.read(self._line.in_waiting) if data else b"")


class CanTarget(_Listening):
    """A network interface (`can0`, `vcan0`), or `INTERFACE:CHANNEL` of python-can (`virtual:demo`, `slcan:/dev/..`)."""

    def __init__(self, bus: str, port: str) -> None:
        """Open it. Raises: PortNotFoundError, PortOptionError, DriverError."""
        super().__init__(bus, port)
        self._can: Any = require("can", "can")
        text = port if ":" in port else f"socketcan:{port}"
        interface, channel, options = split_target(text)
        if interface not in self._can.VALID_INTERFACES:
            raise PortOptionError(port, f"python-can has no interface {interface!r}")
        if interface == "socketcan":
            if not Path("/sys/class/net", channel or "").exists():
                raise PortNotFoundError(port, "there is no such network interface")
            options.setdefault("fd", True)
        try:
            self._line = self._can.Bus(interface=interface, channel=channel, **options)
        except Exception as error:
            raise PortNotFoundError(port, str(error)) from error

    def send(self, record: Record) -> bool:
        """Send a frame; an error frame cannot be sent. Raises: PortTimeoutError, PortLostError."""
        if record.kind == "error":
            return False
        try:
            frame = Frame(record, 0)
        except ValueError:
            return False
        message = self._can.Message(
            arbitration_id=frame.id,
            is_extended_id=frame.is_extended,
            is_remote_frame=frame.is_remote,
            is_fd=frame.is_fd and not frame.is_remote,
            bitrate_switch=frame.brs and not frame.is_remote,
            error_state_indicator=frame.esi and not frame.is_remote,
            dlc=frame.dlc if frame.is_remote else len(frame.data),
            data=frame.data,
        )
        try:
            self._line.send(message, timeout=WRITE_TIMEOUT_S)
        except self._can.CanTimeoutError as error:
            raise PortTimeoutError(self._port, str(error)) from error
        except (self._can.CanError, OSError) as error:
            raise ReplayLostError(self._port, str(error)) from error
        return True

    def close(self) -> None:
        """Close it."""
        self._end()
        self._line.shutdown()

    def _take(self, put: Put) -> None:
        message = self._line.recv(_POLL_S)
        if message is not None and not message.is_error_frame:
            record = record_of(0, 0, message)
            put(Heard(time.monotonic_ns(), self._bus, record.kind, record.payload, dict(record.extra)))
