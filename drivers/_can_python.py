"""Any CAN interface of python-can: one thread that receives, one frame at a time that is sent. Needs no Notifier."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

from drivers._blocking import HandOver, join_reader, open_in_thread, start_reader
from drivers._can_filters import test_of
from drivers._can_frames import address_of_message, check_frame, fd_length
from drivers._can_watch import BusWatch
from gateway.clock import Clock
from gateway.errors import (
    PortClosedError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortPermissionError,
    PortTimeoutError,
)
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_ID_MASK, CAN_REMOTE, Address, Batch, Element, PortName
from gateway.port import CanFilter
from gateway.profile.model import LinkSpec
from gateway.registry import require

HAND_OVER_FRAMES: Final = 16384  # 2 s of a full 1 Mbit/s bus
MAX_FRAMES_PER_READ: Final = 1024
POLL_S: Final = 0.2  # how soon the thread sees that it should stop
OPEN_TIMEOUT_S: Final = 10.0
WRITE_TIMEOUT_S: Final = 1.0
MOST_NONSENSE: Final = 100  # damaged lines in a row, after which the adapter is opened anew
MALFORMED: Final = -1  # in the place of an id
KERNEL_ERRORS: Final = frozenset(
    {"virtual", "udp_multicast", "socketcand"}
)  # whose error frames are linux/can/error.h's

_Received = tuple[int, bytes]


class PythonCanPort:
    """One python-can bus. Its thread receives; overflow drops the oldest frames and counts them.

    Error frames go into `health`, and not out of `read` once somebody said what to listen for.
    """

    is_stream = False

    def __init__(self, target: str, link: LinkSpec, clock: Clock) -> None:
        self.name = PortName(target)
        self._link = link
        self._clock = clock
        self._watch = BusWatch(target, clock)
        self._has_kernel_errors = target.partition(":")[0] in KERNEL_ERRORS
        self._wanted: tuple[CanFilter, ...] | None = None  # None: nobody said
        self._bus: Any = None
        self._frames: HandOver[_Received] | None = None
        self._thread: threading.Thread | None = None
        self._sending: asyncio.Future[None] | None = None
        self._overflowed = self._malformed = 0
        self._timeouts: dict[str, int] = {}  # of writes, by why

    def listen_for(self, wanted: Sequence[CanFilter | Element]) -> bool:
        """Leave out other ids from the next `open` on: in the adapter where it can, else in the thread.

        Return whether nothing is open.
        """
        self._wanted = tuple(each for each in wanted if isinstance(each, CanFilter))
        return self._bus is None

    async def open(self) -> None:
        """Open the bus. Raises: see `gateway.port.Port.open`."""
        await self.close()
        try:
            self._bus = await open_in_thread(self._open_bus, OPEN_TIMEOUT_S, _shut_quietly)
        except TimeoutError as error:
            raise PortNotFoundError(self.name, f"no answer in {OPEN_TIMEOUT_S:g} s") from error
        self._frames = HandOver(asyncio.get_running_loop(), HAND_OVER_FRAMES)
        is_wanted = test_of(self._wanted) if self._wanted else None
        work = partial(_work, self.name, self._bus, self._frames, is_wanted)
        self._thread = start_reader(f"read {self.name}", work)
        self._watch.begin()

    def _open_bus(self) -> Any:
        can = require("can", "can")
        interface, channel, options = split_target(self.name)
        known = sorted(can.VALID_INTERFACES)
        if interface not in known:
            near = difflib.get_close_matches(interface, known, 1)
            hint = f"; did you mean {near[0]}:{channel}?" if near else f"; one of {', '.join(known)}"
            raise PortOptionError(self.name, f"python-can has no interface {interface!r}{hint}")
        if self._link.bitrate is not None:
            options.setdefault("bitrate", self._link.bitrate)
        if self._link.fd:
            options.setdefault("fd", True)
        if self._link.data_bitrate is not None:
            options.setdefault("data_bitrate", self._link.data_bitrate)
        return _typed(
            self.name, can, lambda: self._filtered(can.Bus(channel, interface, ignore_config=True, **options))
        )

    def _filtered(self, bus: Any) -> Any:
        if self._wanted and "_apply_filters" in vars(type(bus)):  # python-can's own would swallow error frames
            bus.set_filters([filter_of_python_can(each) for each in self._wanted])
        return bus

    async def read(self) -> Batch:
        """Return the frames that are there, waiting for the first. Raises: PortLostError, PortClosedError."""
        while True:
            if self._frames is None:
                raise PortClosedError(self.name, "by us")
            taken, overflowed = await self._frames.take(MAX_FRAMES_PER_READ)
            self._overflowed += overflowed
            addresses: list[Address] = []
            payloads: list[bytes] = []
            dropped = overflowed
            for can_id, data in taken:
                if can_id == MALFORMED:
                    self._malformed += 1
                    dropped += 1
                elif not can_id & CAN_ERROR or self._hear(can_id, data):
                    addresses.append(can_id)
                    payloads.append(data)
            if self._watch.is_off and payloads and not int(taken[-1][0]) & CAN_ERROR:
                self._watch.hear_data()
            if payloads or dropped:
                return Batch(payloads, self._clock.monotonic_ns(), self._clock.wall_ns(), addresses, None, dropped)

    def _hear(self, can_id: int, data: bytes) -> bool:
        """Take an error frame; return whether it is given on. Most adapters have a code of their own: only counted."""
        self._watch.hear(*((can_id, data) if self._has_kernel_errors else (CAN_ERROR, b"")))
        return self._wanted is None

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send one frame. Raises: PortTimeoutError, PortLostError, PortClosedError, PortOptionError."""
        if self._bus is None or self._frames is None:
            raise PortClosedError(self.name, "by us")
        if self._frames.has_ended:
            raise PortLostError(self.name, "the bus ended")
        can_id, is_fd = check_frame(self.name, data, address, fd=self._link.fd)
        if self._watch.is_mute:
            raise self._stuck()
        can = require("can", "can")
        try:
            async with asyncio.timeout(2 * WRITE_TIMEOUT_S):
                await self._send(_message(can, can_id, data, is_fd=is_fd))
        except TimeoutError as error:
            raise self._stuck() from error
        except (can.CanError, OSError, ValueError) as error:
            if _is_timeout(error):
                raise self._stuck() from error
            raise PortLostError(self.name, str(error)) from error

    async def _send(self, message: Any) -> None:
        """Send in a thread, one frame after the other; an adapter that hangs holds one thread, not one for each."""
        while self._sending is not None and not self._sending.done():
            await asyncio.wait({self._sending})
        if self._bus is None:
            raise PortClosedError(self.name, "by us")
        loop = asyncio.get_running_loop()
        self._sending = loop.run_in_executor(None, self._bus.send, message, WRITE_TIMEOUT_S)
        self._sending.add_done_callback(_forget)
        await asyncio.shield(self._sending)

    def _stuck(self) -> PortTimeoutError:
        kind, why = self._watch.why_stuck()
        self._timeouts[kind] = self._timeouts.get(kind, 0) + 1
        return PortTimeoutError(self.name, why)

    async def close(self) -> None:
        """Shut the bus down; a waiting read raises PortClosedError."""
        closing, self._bus = self._bus, None
        if closing is None:
            return
        assert self._frames is not None
        assert self._thread is not None
        self._watch.end()
        self._frames.discard()
        self._frames.fail(PortClosedError(self.name, "by us"))
        self._frames = None
        await join_reader(self._thread)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await asyncio.to_thread(_shut_quietly, closing)

    def health(self) -> dict[str, Any]:
        """Return the state of the bus as its error frames tell, and what was lost where."""
        return self._watch.health() | {
            "overflowed": self._overflowed,
            "malformed": self._malformed,
            "write_timeouts": dict(self._timeouts),
        }


def _work(name: str, bus: Any, frames: HandOver[_Received], is_wanted: Callable[[int], bool] | None) -> None:
    """Receive until the hand-over or the bus ends."""
    can = require("can", "can")
    nonsense = 0
    try:
        while not frames.has_ended:
            batch: list[_Received] = []
            ending = ""
            try:
                _receive(bus, is_wanted, batch)
            except (ValueError, TypeError, IndexError, KeyError) as error:  # python-can on a damaged line
                nonsense = 1 if batch else nonsense + 1
                batch.append((MALFORMED, b""))
                if nonsense > MOST_NONSENSE:
                    ending = f"its adapter sends nothing that makes sense: {error}"
            except (can.CanError, OSError) as error:
                ending = str(error)
            if batch and not frames.put(batch):
                return
            if ending:
                frames.fail(PortLostError(name, ending))
    finally:
        frames.fail(PortLostError(name, "its reader ended"))  # whatever happened, nobody waits for ever


def _receive(bus: Any, is_wanted: Callable[[int], bool] | None, batch: list[_Received]) -> None:
    """Add what is there, waiting a little for the first; error frames are always wanted."""
    message = bus.recv(POLL_S)
    for _ in range(MAX_FRAMES_PER_READ):
        if message is None:
            break
        can_id = address_of_message(message)
        if is_wanted is None or can_id & CAN_ERROR or is_wanted(can_id):
            batch.append((can_id, bytes(message.data)))
        message = bus.recv(0)


def split_target(target: str) -> tuple[str, str | None, dict[str, Any]]:
    """Return interface, channel and options of `INTERFACE:CHANNEL?OPTION=VALUE&...`, values as in JSON or text."""
    interface, _, rest = target.partition(":")
    channel, _, query = rest.partition("?")
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return interface, channel or None, options


def filter_of_python_can(wanted: CanFilter) -> dict[str, Any]:
    """Return a filter as python-can takes it; it knows no remote flag."""
    found: dict[str, Any] = {"can_id": wanted.can_id & CAN_ID_MASK, "can_mask": wanted.mask & CAN_ID_MASK}
    if wanted.mask & CAN_EXTENDED:
        found["extended"] = bool(wanted.can_id & CAN_EXTENDED)
    return found


def _is_timeout(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that the adapter took nothing in time."""
    while error is not None:
        text = f"{type(error).__name__} {error}".lower()
        if any(word in text for word in ("full", "timeout", "timed out", "no buffer space")):
            return True
        error = error.__cause__
    return False


def _forget(sending: asyncio.Future[None]) -> None:
    """Look at the outcome of a send that nobody may wait for any more."""
    if not sending.cancelled():
        sending.exception()


def _message(can: Any, can_id: int, data: bytes, *, is_fd: bool) -> Any:
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
