"""A link as a test uses it, on whatever rig: every call lets time pass until its answer is there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from hil.durations import Timeout, timeout_ns
from hil.rigs.radio import BleTimeoutError, Uuid, uuid_of

__tracebackhide__ = True  # pytest shows the line of the test instead

ANSWER_S: Final = 5.0
SETTLE_NS: Final = 1_000_000_000
MOST_RECEIVED: Final = 65_536  # notifications that are remembered

T = TypeVar("T")


class Time(Protocol):
    """The rig's."""

    @property
    def now_ns(self) -> int:
        """On the trace's time."""

    def wait_for(self, condition: Callable[[], T | None], until_ns: int) -> T | None:
        """Let time pass until `condition` returns something true; return that, or what it returns at `until_ns`."""


class Link(Protocol):
    """What carries out what a test asks. What it begins it ends by itself, whether somebody waits or not."""

    @property
    def address(self) -> str:
        """The device's."""

    @property
    def mtu(self) -> int:
        """The greatest packet that both sides take."""

    @property
    def uuids(self) -> list[str]:
        """The characteristics that the host sees."""

    @property
    def is_up(self) -> bool:
        """Whether it can be used, as far as the host knows."""

    @property
    def in_flight(self) -> int:
        """How many notifications are known to be on their way."""

    def wait(self, condition: Callable[[], T | None], until_ns: int) -> T | None:
        """Wait as the rig's time does. Raises: LeaseLostError where what comes is not for us any more."""

    def read(self, uuid: Uuid) -> Future[bytes]:
        """Read a characteristic. It fails with a BleError or a BleLinkLostError. Raises: ValueError."""

    def write(self, uuid: Uuid, data: bytes, *, response: bool = True) -> Future[None]:
        """Write a characteristic. As `read`."""

    def subscribe(self, uuid: Uuid, heard: Callable[[bytes], None]) -> Future[None]:
        """Call `heard` with each notification from now on. As `read`."""

    def unsubscribe(self, uuid: Uuid, heard: Callable[[bytes], None]) -> None:
        """Call `heard` no more."""

    def close(self) -> None:
        """End it; once more does nothing."""


class Connection:
    """What `ble.connect(address)` gives. It ends with its `with`, or with `close`."""

    def __init__(self, link: Link, world: Time) -> None:
        self._link = link
        self._world = world

    def __enter__(self) -> Self:
        """Give itself; it is connected already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self.close()

    @property
    def address(self) -> str:
        """The device's."""
        return self._link.address

    @property
    def mtu(self) -> int:
        """The greatest packet that both sides take; three bytes less are in a notification."""
        return self._link.mtu

    @property
    def is_connected(self) -> bool:
        """Whether it can be used, as far as the host knows."""
        return self._link.is_up

    @property
    def characteristics(self) -> list[str]:
        """The UUIDs of those that the host sees."""
        return self._link.uuids

    def read(self, uuid: Uuid, timeout: Timeout = ANSWER_S) -> bytes:
        """Return a characteristic's value.

        Raises: BleLinkLostError when the link ends meanwhile or has ended, BleRefusedError, BleAuthenticationError,
        BleTimeoutError, ValueError for what is no UUID.
        """
        return waited(self._world, self._link.read(uuid), timeout, f"read {uuid}")

    def write(self, uuid: Uuid, data: bytes, timeout: Timeout = ANSWER_S, *, response: bool = True) -> None:
        """Write a characteristic, and wait for the device's response if it is to give one. Raises: as `read`."""
        waited(self._world, self._link.write(uuid, data, response=response), timeout, f"write {uuid}")

    def notifications(self, uuid: Uuid, timeout: Timeout = ANSWER_S) -> Notifications:
        """Subscribe to a characteristic; what comes is in `received` of what this returns. Raises: as `read`."""
        found = Notifications(self._link, self._world, uuid_of(uuid))
        waited(self._world, self._link.subscribe(uuid, found.take), timeout, f"subscribe to {uuid}")
        return found

    def close(self) -> None:
        """Disconnect; once more does nothing."""
        self._link.close()


class Notifications:
    """What a device notified of one characteristic."""

    def __init__(self, link: Link, world: Time, uuid: str) -> None:
        self._link = link
        self._world = world
        self._received: list[bytes] = []
        self._next = 0
        self.uuid = uuid
        self.times_ns: list[int] = []  # when each came

    @property
    def received(self) -> list[bytes]:
        """All values so far, in order; what is on its way arrives first."""
        self._link.wait(lambda: not self._link.in_flight, self._world.now_ns + SETTLE_NS)
        return list(self._received)

    def next(self, timeout: Timeout = ANSWER_S) -> bytes | None:
        """Return the next value that this has not returned yet, or None when none comes in time."""
        until_ns = self._world.now_ns + timeout_ns(timeout)
        self._link.wait(lambda: self._next < len(self._received) or not self._link.is_up, until_ns)
        if self._next >= len(self._received):
            return None
        self._next += 1
        return self._received[self._next - 1]

    def stop(self) -> None:
        """Hear no more of it."""
        self._link.unsubscribe(self.uuid, self.take)

    def take(self, value: bytes) -> None:
        """Take a value, when it arrives."""
        if len(self._received) < MOST_RECEIVED:
            self._received.append(value)
            self.times_ns.append(self._world.now_ns)


def waited(world: Time, pending: Future[T], timeout: Timeout, what: str) -> T:
    """Let time pass until there is an answer; return it. Raises: BleTimeoutError, and what the future fails with."""
    limit_ns = timeout_ns(timeout)
    if not world.wait_for(pending.done, world.now_ns + limit_ns):
        raise BleTimeoutError(f"{what}: no answer in {limit_ns / 1e9:g} s")
    return pending.result(0)
