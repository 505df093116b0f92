"""CAN: `can0` is a kernel interface, `INTERFACE:CHANNEL` any interface of python-can, for example `virtual:demo`.

An address is the CAN id with the kernel's flag bits; remote and error frames come with theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from drivers._blocking import HandOver, join_reader, open_in_thread, start_reader
from drivers._can_frames import address_of_message, check_frame, fd_length
from drivers._can_netlink import Interface
from drivers._can_raw import can_socket
from drivers._can_socket import SocketCanPort
from gateway.clock import Clock
from gateway.errors import (
    PortClosedError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortPermissionError,
    PortTimeoutError,
)
from gateway.frame import CAN_EXTENDED, CAN_ID_MASK, CAN_REMOTE, Address, Batch, PortName
from gateway.port import Port
from gateway.profile.model import LinkSpec
from gateway.registry import require

HAND_OVER_FRAMES: Final = 16384  # 2 s of a full 1 Mbit/s bus
MAX_FRAMES_PER_READ: Final = 1024
POLL_S: Final = 0.2  # how soon the thread sees that it should stop
OPEN_TIMEOUT_S: Final = 10.0
WRITE_TIMEOUT_S: Final = 1.0

_Received = tuple[int, bytes]


class PythonCanPort:
    """One python-can bus. Its thread receives; overflow drops the oldest frames and counts them."""

    is_stream = False

    def __init__(self, target: str, link: LinkSpec, clock: Clock) -> None:
        self.name = PortName(target)
        self._link = link
        self._clock = clock
        self._bus: Any = None
        self._frames: HandOver[_Received] | None = None
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """Open the bus. Raises: see `gateway.port.Port.open`."""
        await self.close()
        try:
            self._bus = await open_in_thread(self._open_bus, OPEN_TIMEOUT_S, _shut_quietly)
        except TimeoutError as error:
            raise PortNotFoundError(self.name, f"no answer in {OPEN_TIMEOUT_S:g} s") from error
        self._frames = HandOver(asyncio.get_running_loop(), HAND_OVER_FRAMES)
        self._thread = start_reader(f"read {self.name}", partial(_work, self.name, self._bus, self._frames))

    def _open_bus(self) -> Any:
        can = require("can", "can")
        interface, _, channel = self.name.partition(":")
        known = sorted(can.VALID_INTERFACES)
        if interface not in known:
            near = difflib.get_close_matches(interface, known, 1)
            hint = f"; did you mean {near[0]}:{channel}?" if near else f"; one of {', '.join(known)}"
            raise PortOptionError(self.name, f"python-can has no interface {interface!r}{hint}")
        options: dict[str, Any] = {"interface": interface, "channel": channel or None}
        if self._link.bitrate is not None:
            options["bitrate"] = self._link.bitrate
        if self._link.fd:
            options["fd"] = True
        if self._link.data_bitrate is not None:
            options["data_bitrate"] = self._link.data_bitrate
        return _typed(self.name, can, lambda: can.Bus(ignore_config=True, **options))

    async def read(self) -> Batch:
        """Return the frames that are there, waiting for the first. Raises: PortLostError, PortClosedError."""
        if self._frames is None:
            raise PortClosedError(self.name, "by us")
        taken, dropped = await self._frames.take(MAX_FRAMES_PER_READ)
        addresses: list[Address] = [can_id for can_id, _ in taken]
        payloads = [data for _, data in taken]
        return Batch(payloads, self._clock.monotonic_ns(), self._clock.wall_ns(), addresses, None, dropped)

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send one frame. Raises: PortTimeoutError, PortLostError, PortClosedError, PortOptionError."""
        if self._bus is None or self._frames is None:
            raise PortClosedError(self.name, "by us")
        if self._frames.has_ended:
            raise PortLostError(self.name, "the bus ended")
        can_id = check_frame(self.name, data, address, fd=self._link.fd)
        can = require("can", "can")
        message = _message(can, can_id, data)
        try:
            async with asyncio.timeout(2 * WRITE_TIMEOUT_S):
                await asyncio.to_thread(self._bus.send, message, WRITE_TIMEOUT_S)
        except TimeoutError as error:
            raise PortTimeoutError(self.name, f"not sent in {WRITE_TIMEOUT_S:g} s") from error
        except can.CanError as error:
            kind = (
                PortTimeoutError if "full" in str(error).lower() or "timeout" in str(error).lower() else PortLostError
            )
            raise kind(self.name, str(error)) from error
        except (OSError, ValueError) as error:
            raise PortLostError(self.name, str(error)) from error

    async def close(self) -> None:
        """Shut the bus down; a waiting read raises PortClosedError."""
        closing, self._bus = self._bus, None
        if closing is None:
            return
        assert self._frames is not None
        assert self._thread is not None
        self._frames.discard()
        self._frames.fail(PortClosedError(self.name, "by us"))
        self._frames = None
        await join_reader(self._thread)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await asyncio.to_thread(_shut_quietly, closing)


def _work(name: str, bus: Any, frames: HandOver[_Received]) -> None:
    can = require("can", "can")
    receive = bus.recv
    try:
        while not frames.has_ended:
            message = receive(POLL_S)
            batch: list[_Received] = []
            while message is not None:
                batch.append((address_of_message(message), bytes(message.data)))
                message = receive(0) if len(batch) < MAX_FRAMES_PER_READ else None
            if batch and not frames.put(batch):
                return
    except (can.CanError, OSError, ValueError, TypeError) as error:  # the last two: python-can on damaged adapters
        frames.fail(PortLostError(name, str(error)))


def _message(can: Any, can_id: int, data: bytes) -> Any:
    is_fd = len(data) > 8
    is_remote = bool(can_id & CAN_REMOTE)
    return can.Message(
        arbitration_id=can_id & CAN_ID_MASK,
        is_extended_id=bool(can_id & CAN_EXTENDED),
        is_remote_frame=is_remote,
        is_fd=is_fd,
        bitrate_switch=is_fd,
        dlc=fd_length(len(data)) if is_fd else len(data),
        data=None if is_remote else data.ljust(fd_length(len(data)), b"\0") if is_fd else data,
    )


def _typed(name: str, can: Any, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except PermissionError as error:
        raise PortPermissionError(name, str(error)) from error
    except can.CanInterfaceNotImplementedError as error:
        raise PortOptionError(name, str(error)) from error
    except (can.CanError, OSError) as error:
        raise PortNotFoundError(name, str(error)) from error
    except (ValueError, TypeError, ImportError, AttributeError, NotImplementedError) as error:
        raise PortOptionError(name, str(error)) from error


def _shut_quietly(bus: Any) -> None:
    with contextlib.suppress(Exception):  # an adapter that is gone may fail in any way; it is being left
        bus.shutdown()


class CanDriver:
    """Entry point `can`."""

    name = "can"

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        """Return an unopened CAN port. Raises: PortOptionError for text that can never be one."""
        interface, colon, channel = target.partition(":")
        if colon and interface != "socketcan":
            return PythonCanPort(target, link, clock)
        device = channel if colon else target
        if not 0 < len(device.encode()) < 16 or "/" in device or device.split() != [device]:
            raise PortOptionError(repr(target), "write a network interface such as can0, or INTERFACE:CHANNEL")
        connect = partial(can_socket, device, fd=link.fd, bitrate=link.bitrate)
        return SocketCanPort(target, connect, clock, fd=link.fd, bitrate=link.bitrate, controller=Interface(device))

    def claims(self, target: str, bus: str) -> bool:
        """Whether the device is on a CAN bus."""
        return bus == "can" and not target.startswith("replay:")


DRIVER: Final = CanDriver()
