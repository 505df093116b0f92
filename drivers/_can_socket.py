"""CAN frames off a socket that speaks the kernel's records, many per wake.

`SocketCanPort` works on any message socket: AF_CAN here, one end of a SEQPACKET pair in the bench and in tests.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

from drivers._can_frames import FD_BYTES, HEADER, pack
from drivers._readiness import Fairness, Readiness, finish
from gateway.clock import Clock
from gateway.errors import (
    PortClosedError,
    PortError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortPermissionError,
    PortTimeoutError,
)
from gateway.frame import Address, Batch, PortName

MAX_FRAMES_PER_READ: Final = 512  # bounds a batch: about half a millisecond
WRITE_STALL_S: Final = 1.0
RETRY_S: Final = 0.002  # a full transmit queue (ENOBUFS) cannot be waited for, only asked again
RECEIVE_BUFFER_BYTES: Final = 4 << 20  # the kernel gives what its limit allows
_CAN_RAW_ERR_FILTER: Final = 2  # linux/can/raw.h; Python 3.11 has no name for it
_ALL_ERROR_CLASSES: Final = 0x1FFFFFFF  # CAN_ERR_MASK


class SocketCanPort:
    """One CAN interface behind a message socket made anew by `connect` at every open."""

    is_stream = False

    def __init__(self, target: str, connect: Callable[[], socket.socket], clock: Clock, *, fd: bool = False) -> None:
        self.name = PortName(target)
        self._connect = connect
        self._clock = clock
        self._is_fd = fd
        self._socket: socket.socket | None = None
        self._readiness: Readiness | None = None
        self._retries: set[asyncio.Future[None]] = set()  # writes that wait for room
        self._lost: str | None = None
        self._fairness = Fairness(clock)

    async def open(self) -> None:
        """Open the socket. Raises: see `gateway.port.Port.open`."""
        await self.close()
        self._socket = self._connect()
        self._socket.setblocking(False)
        self._readiness = Readiness(self._socket.fileno())
        self._lost = None

    async def read(self) -> Batch:
        """Return the frames that are there, waiting for the first. Raises: PortLostError, PortClosedError."""
        await self._fairness.give_way()
        waited = False
        while (batch := self._read_now()) is None:
            assert self._readiness is not None
            await self._readiness.wait()
            waited = True
        self._fairness.read_at(batch.received_ns, waited=waited)
        return batch

    def _read_now(self) -> Batch | None:
        receive = self._open_socket().recv
        unpack = HEADER.unpack_from
        payloads: list[bytes] = []
        addresses: list[Address] = []
        add_payload, add_address = payloads.append, addresses.append
        malformed = 0
        try:
            for _ in range(MAX_FRAMES_PER_READ):
                record = receive(FD_BYTES)
                try:
                    can_id, length = unpack(record)
                except struct.error:
                    if not record:
                        if payloads or malformed:
                            break  # deliver first; the next read meets the end again
                        raise self._lose("the other end closed") from None
                    malformed += 1
                    continue
                add_payload(record[8 : 8 + length])
                add_address(can_id)
        except BlockingIOError:
            if not payloads and not malformed:
                return None
        except OSError as error:
            if not payloads:
                raise self._lose(_cause_of(error)) from error
        clock = self._clock
        return Batch(payloads, clock.monotonic_ns(), clock.wall_ns(), addresses, None, malformed)

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send one frame. Raises: PortTimeoutError, PortLostError, PortClosedError, PortOptionError."""
        record = pack(self.name, data, address, fd=self._is_fd)
        if self._try_send(record):
            return
        try:
            async with asyncio.timeout(WRITE_STALL_S):
                while not self._try_send(record):
                    await self._pause()
        except TimeoutError as error:
            if isinstance(error, PortError):
                raise
            raise PortTimeoutError(self.name, f"its queue was full for {WRITE_STALL_S:g} s") from error

    def _try_send(self, record: bytes) -> bool:
        try:
            self._open_socket().send(record)
        except BlockingIOError:
            return False
        except OSError as error:
            if isinstance(error, PortError):
                raise
            if error.errno == errno.ENOBUFS:
                return False
            if error.errno in (errno.EINVAL, errno.EMSGSIZE):
                raise PortOptionError(self.name, "the interface takes no such frame (is it set up for FD?)") from error
            raise self._lose(_cause_of(error)) from error
        return True

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._retries.add(future)
        timer = loop.call_later(RETRY_S, finish, future)
        try:
            await future
        finally:
            self._retries.discard(future)
            timer.cancel()

    async def close(self) -> None:
        """Release the socket; a waiting read raises PortClosedError."""
        closing, self._socket = self._socket, None
        if closing is None:
            return
        if self._readiness is not None:
            self._readiness.close()
        for future in self._retries:
            finish(future)
        closing.close()

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise PortClosedError(self.name, "by us")
        if self._lost is not None:
            raise PortLostError(self.name, self._lost)
        return self._socket

    def _lose(self, cause: str) -> PortError:
        self._lost = cause
        return PortLostError(self.name, cause)


def can_socket(interface: str, *, fd: bool) -> socket.socket:
    """Return a raw socket bound to a network interface of the kernel, FD and error frames enabled where it can.

    Raises: PortNotFoundError, PortPermissionError, PortOptionError.
    """
    try:
        opened = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    except (OSError, AttributeError) as error:
        raise PortNotFoundError(interface, "this kernel has no CAN sockets: sudo modprobe can_raw") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        opened.setsockopt(socket.SOL_CAN_RAW, _CAN_RAW_ERR_FILTER, _ALL_ERROR_CLASSES)
        _enable_fd(opened, interface, needed=fd)
        opened.bind((interface,))
    except OSError as error:
        opened.close()
        if isinstance(error, PortError):
            raise
        if error.errno in (errno.EPERM, errno.EACCES):
            raise PortPermissionError(interface, _cause_of(error)) from error
        raise PortNotFoundError(interface, _cause_of(error)) from error
    return opened


def _enable_fd(opened: socket.socket, interface: str, *, needed: bool) -> None:
    try:
        opened.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    except OSError as error:
        if needed:
            raise PortOptionError(interface, "the kernel has no CAN FD") from error


def _cause_of(error: OSError) -> str:
    if error.errno == errno.ENETDOWN:
        return "the interface is down: sudo ip link set NAME up type can bitrate RATE"
    return os.strerror(error.errno) if error.errno else str(error)
