"""A real link to a real device, by BlueZ: requests one after the other, notifications, its end.

All but what begins with a test's call runs on the radio's thread. Its records are those of the simulated link.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

from drivers._ble_bluez import library_errors
from drivers._ble_faults import Fault, fault_of, words_of
from gateway.errors import PortError, PortNotFoundError, PortTimeoutError
from gateway.frame import short_uuid
from gateway.spelling import did_you_mean
from hil.data import bytes_of
from hil.faults.faults import Faults
from hil.rigs import radio
from hil.rigs.base import RigError
from hil.rigs.bench.ble_wire import OPEN_S, BleWire
from hil.rigs.bench.leased import deed, need, waited
from hil.rigs.radio import (
    BleAuthenticationError,
    BleError,
    BleLinkLostError,
    BleRefusedError,
    BleTimeoutError,
    Uuid,
    uuid_of,
)

__tracebackhide__ = True  # pytest shows the line of the test instead

ATT_S: Final = 30.0  # without an answer, and an ATT transaction has failed (Core specification, Vol 3 Part F, 3.3.3)
ECHO_NS: Final = 500_000_000  # in which BlueZ tells a value that was read as a notification too
LEAST_MTU: Final = 23  # Core specification, Vol 3 Part G, 5.2.1
WRITE_HEADER_BYTES: Final = 3  # of an ATT packet that writes
CONFIGURATION: Final = "2902"  # the descriptor by which a host subscribes
SUBSCRIBE: Final = b"\x01\x00"
LINK_KINDS: Final = frozenset({"disconnect", "unplug"})
NOTIFY_KINDS: Final = LINK_KINDS | {"notify_gap"}
_NEEDS_KEYS: Final = frozenset(
    {0x05, 0x08, 0x0C, 0x0F}
)  # ATT errors: authentication, authorization, key size, encryption

T = TypeVar("T")
Heard = Callable[[bytes], None]


class BenchLink:
    """One link, once `begin` is through: `hil.rigs.ble_connection.Link`."""

    def __init__(self, bus: str, wire: BleWire, address: str, faults: Faults) -> None:
        self.address = address
        self.is_up = False
        self.end = "it was not made"  # why it is not up
        self._bus = bus
        self._wire = wire
        self._faults = faults
        self._link: Any = None
        self._turn = asyncio.Lock()  # one request at a time, as ATT has it
        self._characteristics: dict[str, Any] = {}
        self._subscribers: defaultdict[str, list[Heard]] = defaultdict(list)
        self._subscribed: set[str] = set()  # in BlueZ, where it stays
        self._echoes = Echoes()

    @property
    def mtu(self) -> int:
        """Bytes of one ATT packet."""
        sizes = [int(each.max_write_without_response_size) for each in self._characteristics.values()]
        return max(sizes, default=LEAST_MTU - WRITE_HEADER_BYTES) + WRITE_HEADER_BYTES

    @property
    def uuids(self) -> list[str]:
        """The characteristics that the device has."""
        return sorted(self._characteristics)

    @property
    def in_flight(self) -> int:
        """None that anybody could know of."""
        return 0

    def wait(self, condition: Callable[[], T | None], until_ns: int) -> T | None:
        """Wait, as long as the board is ours. Raises: LeaseLostError."""
        world = self._wire.world
        assert world is not None, "a test has begun"
        return waited(world, self._wire.lease, condition, until_ns)

    def read(self, uuid: Uuid) -> Future[bytes]:
        """Read a characteristic. It fails with a BleError or a BleLinkLostError. Raises: ValueError."""
        short = uuid_of(uuid)

        async def ask(found: Any) -> bytes:
            if short not in self._subscribed:
                return bytes(await self._link.client.read_gatt_char(found))
            with self._echoes.reading(short, partial(self._take, short)) as answered:
                value = bytes(await self._link.client.read_gatt_char(found))
                answered(value)
                return value

        return self._ask("read", short, b"", ask)

    def write(self, uuid: Uuid, data: bytes, *, response: bool = True) -> Future[None]:
        """Write a characteristic; the future is done with the device's response, or when it was sent. As `read`."""
        short, sent = uuid_of(uuid), bytes_of(data, most=radio.MOST_VALUE_BYTES)

        async def ask(found: Any) -> bytes:
            if not response and len(sent) > self.mtu - WRITE_HEADER_BYTES:
                raise BleRefusedError(f"{len(sent)} bytes do not go in one packet of {self.mtu}", radio.BAD_LENGTH)
            await self._link.client.write_gatt_char(found, sent, response=response)
            return b""

        facts = {} if response else {"response": False}
        return self._ask("write", short, sent, ask, facts, is_answered=response)

    def subscribe(self, uuid: Uuid, heard: Heard) -> Future[None]:
        """Call `heard` with each notification from now on, on the radio's thread. As `read`."""
        short = uuid_of(uuid)

        async def ask(found: Any) -> bytes:
            if short not in self._subscribed:
                await self._link.client.start_notify(found, partial(self._notified, short))
                self._subscribed.add(short)
            self._subscribers[short].append(heard)
            return b""

        return self._ask("write", short, SUBSCRIBE, ask, {"descriptor": CONFIGURATION})

    def unsubscribe(self, uuid: Uuid, heard: Heard) -> None:
        """Call `heard` no more."""
        subscribers = self._subscribers[uuid_of(uuid)]
        if heard in subscribers:
            subscribers.remove(heard)

    def close(self) -> None:
        """End it; once more does nothing."""
        if self.is_up:
            self._record("tx", "disconnect", reason="closed by the host")
            self.is_up, self.end = False, "it was closed"
            self._disconnect()

    def drop(self, reason: str) -> None:
        """Have it end, for real, as if by itself; from any thread. It is gone at once."""
        self.lose(reason)
        adapter, link = self._wire.adapter, self._link
        if adapter is not None and link is not None and link.is_up:
            self._wire.start(adapter.links.disconnect(link))

    # ---- on the radio's thread

    async def begin(self, limit_s: float) -> BenchLink:
        """Find the device and connect. Raises: BleError, RigLostError, LeaseLostError."""
        adapter = self._wire.adapter
        assert adapter is not None
        self._record("tx", "connect")
        try:
            with deed(self._wire.lease):
                async with asyncio.timeout(limit_s):
                    device = await adapter.find(self._wire.identity, lambda address, _: address == self.address)
                    try:
                        self._link = await adapter.connect(self._wire.identity, device, self.lose)
                    except BaseException:
                        adapter.taken.discard(self.address)
                        raise
        except (PortError, TimeoutError) as error:
            self._record("rx", "disconnect", reason=str(error) or f"no answer in {limit_s:g} s")
            self._wire.check()
            if isinstance(error, PortNotFoundError | PortTimeoutError | TimeoutError):
                raise BleTimeoutError(f"{self.address} does not answer, in {limit_s:g} s ({error})") from error
            raise BleError(f"{self._wire.name}: {error}") from error
        found = list(self._link.client.services.characteristics.values())
        self._characteristics = {short_uuid(each.uuid): each for each in reversed(found)}  # of two, the first is meant
        self.is_up, self.end = True, ""
        self._faults.passing(self._bus, b"", LINK_KINDS, "connect")
        if not self.is_up:
            raise self.lost_error()
        self._record("rx", "connect", mtu=self.mtu)
        return self

    def lose(self, reason: str) -> None:
        """Learn that it ended by itself."""
        if self.is_up:
            self._record("rx", "disconnect", reason=reason)
            self.is_up, self.end = False, reason
            world = self._wire.world
            if world is not None:
                world.wake()

    def lost_error(self) -> BleLinkLostError:
        """Return the error of what this link cannot do any more."""
        return BleLinkLostError(f"the link to {self.address} is gone: {self.end}; connect again")

    def _ask(
        self,
        doing: str,
        uuid: str,
        data: bytes,
        ask: Callable[[Any], Coroutine[Any, Any, bytes]],
        facts: dict[str, Any] | None = None,
        *,
        is_answered: bool = True,
    ) -> Future[Any]:
        self._wire.need_lease()
        if not self.is_up:
            return _failed(self.lost_error())
        if uuid not in self._characteristics:
            known = self.uuids
            near = did_you_mean(uuid, known) if known else "; it has none at all"
            return _failed(BleRefusedError(f"{self.address} has no characteristic {uuid}{near}", radio.NOT_FOUND))
        told = {"uuid": uuid, **(facts or {})}
        return self._wire.start(self._asked(doing, data, ask, told, is_answered=is_answered))

    async def _asked(
        self,
        doing: str,
        data: bytes,
        ask: Callable[[Any], Coroutine[Any, Any, bytes]],
        told: dict[str, Any],
        *,
        is_answered: bool,
    ) -> bytes:
        async with self._turn:
            with deed(self._wire.lease):
                if not self.is_up:
                    raise self.lost_error()
                self._record("tx", doing, data, **told)
                try:
                    async with asyncio.timeout(ATT_S):
                        answer = await ask(self._characteristics[told["uuid"]])
                except BleRefusedError:
                    raise  # nobody was asked
                except TimeoutError as error:
                    raise BleTimeoutError(f"{doing} {told['uuid']}: no answer in {ATT_S:g} s") from error
                except library_errors() as error:
                    await asyncio.sleep(0)  # let the radio tell of a loss first
                    failure = self._failure(doing, told, error)
                    if isinstance(failure, BleRefusedError):
                        self._record("rx", doing, **told, error=failure.code)
                    raise failure from error
                need(self._wire.lease)
                self._faults.passing(self._bus, answer or data, LINK_KINDS, doing)
                if not self.is_up:
                    raise self.lost_error()
                if is_answered:
                    self._record("rx", doing, answer, **told)
                return answer

    def _failure(self, doing: str, told: dict[str, Any], error: Exception) -> RigError:
        """Return what an error of BlueZ means."""
        if not self.is_up or fault_of(error) is Fault.NOT_THERE:
            self.lose("the device disconnected")
            return self.lost_error()
        words = words_of(error)
        code = _code_of(error)
        if code in _NEEDS_KEYS or "not paired" in words.lower():
            text = f"{self.address} does not know the host's keys; pair it: bluetoothctl pair {self.address}"
            return BleAuthenticationError(text, code or radio.NOT_AUTHENTICATED)
        uuid, kinds = told["uuid"], self._characteristics[told["uuid"]].properties
        if "descriptor" in told and not {"notify", "indicate"} & set(kinds):  # BlueZ says so without asking the device
            return BleRefusedError(f"characteristic {uuid} does not notify", radio.NOT_FOUND)
        if doing == "write" and "descriptor" not in told and "write" not in kinds:
            also = "; give response=False" if "write-without-response" in kinds else ""
            return BleRefusedError(f"characteristic {uuid} cannot be written{also}", radio.WRITE_NOT_PERMITTED)
        if code == radio.READ_NOT_PERMITTED:
            return BleRefusedError(f"characteristic {uuid} cannot be read", code)
        if code is not None:
            return BleRefusedError(f"{self.address} refuses to {doing} {uuid}: {words}", code)
        return BleError(f"{self._wire.name}: {doing} {uuid}: {words}")

    def _notified(self, uuid: str, _characteristic: Any, data: bytearray) -> None:
        value = bytes(data)
        if not self._echoes.holds(uuid, value):
            self._take(uuid, value)

    def _take(self, uuid: str, value: bytes) -> None:
        world = self._wire.hearing()
        if world is None or not self.is_up:
            return
        struck = self._faults.passing(self._bus, value, NOTIFY_KINDS, "notify")
        if struck or not self.is_up:
            return
        self._record("rx", "notify", value, uuid=uuid)
        for heard in tuple(self._subscribers[uuid]):
            heard(value)
        world.wake()

    def _disconnect(self) -> None:
        """End the link for real, from a test's thread."""
        adapter, link = self._wire.adapter, self._link
        if adapter is not None and link is not None:
            with contextlib.suppress(PortError, RigError):  # what ends is ended by BlueZ in the end
                self._wire.call(adapter.links.disconnect(link), OPEN_S, "disconnect")

    def _record(self, direction: str, kind: str, data: bytes = b"", **facts: Any) -> None:
        world = self._wire.hearing()
        if world is not None:
            world.record(self._bus, direction, kind, data, address=self.address, **facts)


class Echoes:
    """What BlueZ tells as a notification although it is the answer of a read. All on the radio's thread."""

    def __init__(self) -> None:
        self._held: dict[str, list[bytes]] = {}  # while a read is under way
        self._expected: dict[str, tuple[bytes, int]] = {}  # the echo of an answer, until when it may come

    def holds(self, uuid: str, value: bytes) -> bool:
        """Return whether a notification is kept back: it may be, or is, an echo."""
        if uuid in self._held:
            self._held[uuid].append(value)
            return True
        answer, until_ns = self._expected.pop(uuid, (b"", 0))
        return value == answer and time.monotonic_ns() < until_ns

    @contextlib.contextmanager
    def reading(self, uuid: str, take: Heard) -> Any:
        """Keep notifications back during a read; `take` gets those that were none of its echo."""
        held = self._held[uuid] = []

        def answered(value: bytes) -> None:
            if value in held:
                held.remove(value)
            else:
                self._expected[uuid] = (value, time.monotonic_ns() + ECHO_NS)

        try:
            yield answered
        finally:
            del self._held[uuid]
            for value in held:
                take(value)


def _code_of(error: Exception) -> int | None:
    """Return the ATT error that a library's error is, None where it is none."""
    code = getattr(error, "code", None)
    return int(code) if isinstance(code, int) else None


def _failed(error: Exception) -> Future[Any]:
    pending: Future[Any] = Future()
    pending.set_exception(error)
    return pending
