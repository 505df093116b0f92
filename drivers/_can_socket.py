"""CAN frames off a socket that speaks the kernel's records, many per wake, and what is known of the bus.

`SocketCanPort` works on any message socket: AF_CAN here, one end of a SEQPACKET pair in the bench and in tests.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from drivers._can_filters import EVERYTHING, kernel_filters
from drivers._can_frames import pack
from drivers._can_raw import cause_of, listen
from drivers._can_receive import Receiver, Taken
from drivers._can_watch import BusWatch, Controller
from drivers._readiness import Fairness, Readiness, finish
from gateway.clock import Clock
from gateway.errors import (
    PortClosedError,
    PortError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortTimeoutError,
)
from gateway.frame import CAN_ERROR, Address, Batch, Element, PortName
from gateway.port import CanFilter

MAX_FRAMES_PER_READ: Final = 512  # bounds a batch: about half a millisecond
WRITE_STALL_S: Final = 1.0
RETRY_S: Final = 0.002  # a full transmit queue (ENOBUFS) cannot be waited for, only asked again


class SocketCanPort:
    """One CAN interface behind a message socket made anew by `connect` at every open.

    Frames that the kernel or the controller had no room for are counted as dropped. Error frames go into `health`, and
    not out of `read` once somebody said what to listen for: a monitor does not.
    """

    is_stream = False

    def __init__(
        self,
        target: str,
        connect: Callable[[], socket.socket],
        clock: Clock,
        *,
        fd: bool = False,
        bitrate: int | None = None,
        controller: Controller | None = None,
    ) -> None:
        """Take the `controller` behind the socket where there is one; `bitrate`: what the bus should have."""
        self.name = PortName(target)
        self._connect = connect
        self._clock = clock
        self._is_fd = fd
        self._bitrate = bitrate
        self._interface = target if controller is None else controller.name
        self._bus = BusWatch(target, clock, controller)
        self._filters: Sequence[CanFilter] = EVERYTHING
        self._is_told = False  # what to listen for
        self._socket: socket.socket | None = None
        self._receiver: Receiver | None = None
        self._readiness: Readiness | None = None
        self._retries: set[asyncio.Future[None]] = set()  # writes that wait for room
        self._ending: str | None = None  # why the socket gives nothing more, once it is empty
        self._fairness = Fairness(clock)
        self._room_bytes = self._kernel_dropped = self._malformed = self._error_states = self._queue_full = 0
        self._timeouts: dict[str, int] = {}  # of writes, by why

    def listen_for(self, wanted: Sequence[CanFilter | Element]) -> bool:
        """Let the kernel leave out other ids from now on; beyond 512 filters it leaves out nothing.

        Return whether it does, or only from the next `open` on.
        """
        filters = [each for each in wanted if isinstance(each, CanFilter)]
        self._filters = kernel_filters(filters) if filters else EVERYTHING
        self._is_told = True
        if self._socket is None:
            return True
        try:
            listen(self._socket, self._filters)
        except OSError:
            return False
        return True

    async def open(self) -> None:
        """Open the socket. Raises: see `gateway.port.Port.open`."""
        await self.close()
        self._socket = opened = self._connect()
        opened.setblocking(False)
        self._ending = None
        try:
            self._receiver = Receiver(opened, MAX_FRAMES_PER_READ)
            listen(opened, self._filters)
        except OSError as error:
            self._socket = None
            opened.close()
            raise PortNotFoundError(self.name, self._cause_of(error)) from error
        self._room_bytes = opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self._readiness = Readiness(opened.fileno())
        self._bus.begin(self._bitrate)

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
        """Return what is there, None for nothing; what was lost behind the last frame comes as a batch without any."""
        taken = self._take()
        dropped = self._account(taken)
        if not taken.payloads and not dropped:
            if self._ending is not None:
                raise PortLostError(self.name, self._ending)
            return None
        clock = self._clock
        stamps = taken.stamps_ns if taken.payloads else None
        return Batch(taken.payloads, clock.monotonic_ns(), clock.wall_ns(), taken.addresses, stamps, dropped)

    def _take(self) -> Taken:
        """Take what is there. The kernel tells first that the interface went away, then gives what came before."""
        if self._socket is None or self._receiver is None:
            raise PortClosedError(self.name, "by us")
        try:
            taken = self._receiver.take()
        except OSError as error:
            is_news = self._ending is None
            self._ending = self._ending or self._cause_of(error)
            return self._take() if is_news else Taken.nothing()
        if taken is None:
            return Taken.nothing(self._receiver.overflow())
        if taken.has_ended:
            self._ending = "the other end closed"
        return taken

    def _account(self, taken: Taken) -> int:
        """Count what is no data frame, take error frames out where nobody wants them; return how many were lost."""
        dropped = taken.dropped + taken.malformed
        if taken.dropped:
            self._bus.doubt()
        self._kernel_dropped += taken.dropped
        self._malformed += taken.malformed
        self._error_states += taken.error_states
        if taken.seen & CAN_ERROR:
            dropped += self._hear_errors(taken)
        elif self._bus.is_off and taken.payloads:
            self._bus.hear_data()
        return dropped

    def _hear_errors(self, taken: Taken) -> int:
        """Give error frames to the watch, in order; return how many frames the controller lost by its own account."""
        lost, kept, is_back = 0, [], False
        for place, (address, payload) in enumerate(zip(taken.addresses, taken.payloads, strict=True)):
            if isinstance(address, int) and address & CAN_ERROR:
                lost += self._bus.hear(address, payload)
                is_back = False
            else:
                kept.append(place)
                is_back = self._bus.is_off
        if is_back:
            self._bus.hear_data()
        if self._is_told:
            taken.addresses = [taken.addresses[place] for place in kept]
            taken.payloads = [taken.payloads[place] for place in kept]
            taken.stamps_ns = taken.stamps_ns and [taken.stamps_ns[place] for place in kept]
        return lost

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send one frame. Raises: PortTimeoutError, PortLostError, PortClosedError, PortOptionError."""
        record = pack(self.name, data, address, fd=self._is_fd)
        if self._bus.is_listen_only:
            raise PortOptionError(self.name, f"it only listens; see: ip -details link show {self._interface}")
        if self._try_send(record):
            return
        try:
            async with asyncio.timeout(WRITE_STALL_S):
                while not self._try_send(record):
                    await self._pause()
        except TimeoutError as error:
            if isinstance(error, PortError):
                raise
            kind, why = self._bus.why_stuck()
            self._timeouts[kind] = self._timeouts.get(kind, 0) + 1
            raise PortTimeoutError(self.name, f"{why}; waited {WRITE_STALL_S:g} s") from error

    def _try_send(self, record: bytes) -> bool:
        if self._socket is None:
            raise PortClosedError(self.name, "by us")
        if self._ending is not None:
            raise PortLostError(self.name, self._ending)
        if self._bus.is_mute:
            return False
        try:
            self._socket.send(record)
        except BlockingIOError:
            self._queue_full += 1
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self._queue_full += 1
                return False
            if error.errno in {errno.EINVAL, errno.EMSGSIZE}:
                raise PortOptionError(self.name, "the interface takes no such frame (is it set up for FD?)") from error
            self._ending = self._cause_of(error)
            raise PortLostError(self.name, self._ending) from error
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
        self._bus.end()
        if self._receiver is not None:
            self._kernel_dropped += self._receiver.overflow()
            self._receiver = None
        if self._readiness is not None:
            self._readiness.close()
        for future in self._retries:
            finish(future)
        closing.close()

    def health(self) -> dict[str, Any]:
        """Return the state of the bus, what went wrong on it, and what was lost where."""
        return self._bus.health() | {
            "kernel_dropped": self._kernel_dropped,
            "malformed": self._malformed,
            "frames_of_passive_senders": self._error_states,
            "receive_buffer_bytes": self._room_bytes,
            "filters": None if self._filters == EVERYTHING else len(self._filters),
            "queue_full": self._queue_full,
            "write_timeouts": dict(self._timeouts),
        }

    def _cause_of(self, error: OSError) -> str:
        return cause_of(error, self._interface, self._bitrate)
