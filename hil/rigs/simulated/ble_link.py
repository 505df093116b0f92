"""A link between the simulated host and its device: ATT requests one after the other, notifications, its end.

Both sides talk at connection events, every 30 ms: a request goes out at the next one, and its answer comes at the one
after. A value that does not fit into one answer takes one more for each further part. Everything here lets no time
pass: answers are futures of the world, and who waits for them lets its time pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from gateway.spelling import did_you_mean
from hil.data import bytes_of
from hil.faults.faults import Faults
from hil.peers.ble import Characteristic, Table
from hil.rigs import radio
from hil.rigs.radio import MOST_VALUE_BYTES, BleAuthenticationError, BleLinkLostError, BleRefusedError, Uuid, uuid_of
from hil.rigs.simulated.world import World
from hil.trace.record import Record

INTERVAL_NS: Final = 30_000_000  # of connection events: the shortest that Linux asks for
SUPERVISION_NS: Final = 420_000_000  # without an answer, and the link is taken for lost: what Linux asks for
MOST_WAITING: Final = 1024  # requests
LINK_KINDS: Final = frozenset({"disconnect", "key_change", "mtu_shrink", "stale_cache", "unplug"})
_NOTIFYING: Final = LINK_KINDS | {"notify_gap"}
_CONFIGURATION: Final = "2902"  # the descriptor by which a host subscribes
_SUBSCRIBE: Final = b"\x01\x00"

T = TypeVar("T")


class Radio(Protocol):
    """What a link needs of the host's radio."""

    name: str

    @property
    def world(self) -> World:
        """Where it is."""

    @property
    def faults(self) -> Faults:
        """Of the round."""

    @property
    def mtu(self) -> int:
        """The greatest packet that both sides take."""

    @property
    def live(self) -> Table:
        """What the device has."""

    def written(self, address: str, uuid: str, data: bytes) -> None:
        """Let the device take note of what the host wrote."""

    def is_played(self, kind: str, data: bytes = b"", **facts: Any) -> bool:
        """Take what the host does; return whether a trace answers it."""

    @property
    def seen(self) -> Table:
        """What the host believes that it has: the same, unless its cache is stale."""


@dataclass(eq=False, slots=True)
class _Request:
    """One request to the device."""

    doing: str
    uuid: str
    data: bytes
    facts: dict[str, Any]  # for the trace
    answer: Callable[[], bytes]  # what the device answers; raises BleRefusedError
    pending: Future[Any]
    result: Callable[[bytes], Any]
    is_answered: bool = True
    subscriber: Callable[[bytes], None] | None = None
    is_awaited: bool = False
    """It was sent, and a trace will answer it."""


class Link:
    """One link. `when_lost` is told its end, but not that of `close`."""

    def __init__(self, host: Radio, address: str) -> None:
        """Take over a link that stands since now."""
        self._host = host
        self._world = host.world
        self._began_ns = host.world.now_ns
        self._waiting: deque[_Request] = deque()
        self._is_asking = False
        self._subscribers: dict[str, list[Callable[[bytes], None]]] = {}
        self._lost: list[Callable[[str], None]] = []
        self.in_flight = 0  # notifications
        self.address = address
        self.is_up = True
        self.is_heard = True  # by the device; else it will be noticed
        self.end = ""  # why it is not up

    @property
    def mtu(self) -> int:
        """The greatest packet that both sides take."""
        return self._host.mtu

    @property
    def uuids(self) -> list[str]:
        """The characteristics that the host sees."""
        return self._host.seen.uuids(self.address)

    def wait(self, condition: Callable[[], T | None], until_ns: int) -> T | None:
        """Let time pass until `condition` returns something true."""
        return self._world.wait_for(condition, until_ns)

    def when_lost(self, lost: Callable[[str], None]) -> None:
        """Call `lost` with the reason when the link ends by itself."""
        self._lost.append(lost)

    def read(self, uuid: Uuid) -> Future[bytes]:
        """Read a characteristic. It fails with a BleRefusedError or a BleLinkLostError. Raises: ValueError."""
        short = uuid_of(uuid)
        return self._ask("read", short, b"", lambda: self._value(short), bytes)

    def write(self, uuid: Uuid, data: bytes, *, response: bool = True) -> Future[None]:
        """Write a characteristic, whose future is done with the device's response, or when it was sent. As `read`."""
        short, sent = uuid_of(uuid), bytes_of(data, most=MOST_VALUE_BYTES)

        def take() -> bytes:
            if not response and len(sent) > self.mtu - 3:
                raise BleRefusedError(f"{len(sent)} bytes do not go in one packet of {self.mtu}", radio.BAD_LENGTH)
            found = self._permitted(short)
            if not found.writable:
                raise BleRefusedError(f"characteristic {short} cannot be written", radio.WRITE_NOT_PERMITTED)
            found.write(sent)
            self._host.written(self.address, short, sent)
            return b""

        facts = {} if response else {"response": False}
        return self._ask("write", short, sent, take, lambda _: None, facts, is_answered=response)

    def subscribe(self, uuid: Uuid, heard: Callable[[bytes], None]) -> Future[None]:
        """Call `heard` with each notification from now on. As `read`."""
        short = uuid_of(uuid)

        def take() -> bytes:
            if not self._permitted(short).notify:
                raise BleRefusedError(f"characteristic {short} does not notify", radio.NOT_FOUND)
            self._subscribers.setdefault(short, []).append(heard)
            return b""

        facts = {"descriptor": _CONFIGURATION}
        return self._ask("write", short, _SUBSCRIBE, take, lambda _: None, facts, subscriber=heard)

    def unsubscribe(self, uuid: Uuid, heard: Callable[[bytes], None]) -> None:
        """Call `heard` no more."""
        subscribers = self._subscribers.get(uuid_of(uuid), [])
        if heard in subscribers:
            subscribers.remove(heard)

    def close(self) -> None:
        """End it; once more does nothing."""
        if self.is_up:
            self._world.record(self._host.name, "tx", "disconnect", address=self.address, reason="closed by the host")
            self._host.is_played("disconnect", address=self.address)
            self._end("it was closed")

    def lose(self, reason: str) -> None:
        """Have it end by itself."""
        if self.is_up:
            self._world.record(self._host.name, "rx", "disconnect", address=self.address, reason=reason)
            self._end(reason)
            for lost in self._lost:
                lost(reason)

    def fall_silent(self) -> None:
        """Have the device gone: the host hears nothing any more, and notices after a while."""
        if self.is_up and self.is_heard:
            self.is_heard = False
            self._world.after(SUPERVISION_NS, lambda: self.lose("the device does not answer any more"))

    def notify(self, uuid: str, value: bytes) -> None:
        """Bring a value to those that have subscribed, at the next connection event."""
        if not (self.is_up and self.is_heard and self._subscribers.get(uuid)):
            return
        self.in_flight += 1

        def arrive() -> None:
            self.in_flight -= 1
            self._arrive(uuid, value)

        self._world.at(self._next_event_ns(), arrive)

    def answer(self, record: Record) -> None:
        """Bring at once what a record says that the device did: what nobody waits for goes unheard."""
        uuid = record.get("uuid")
        if record.kind == "disconnect":
            self.lose(str(record.get("reason", "the device disconnected")))
        elif record.kind == "notify":
            if isinstance(uuid, str) and self._subscribers.get(uuid):
                self._arrive(uuid, record.payload)
        elif self._waiting and self._waiting[0].is_awaited:
            request = self._waiting[0]
            if (request.doing, request.uuid) == (record.kind, uuid):
                request.is_awaited = False
                self._answered(request, _answer_in(record))

    def _arrive(self, uuid: str, value: bytes) -> None:
        if not (self.is_up and self.is_heard):
            return
        cut = value[: self.mtu - 3]
        struck = self._host.faults.passing(self._host.name, cut, _NOTIFYING, "notify")
        if struck or self.end:
            return
        self._world.record(self._host.name, "rx", "notify", cut, address=self.address, uuid=uuid)
        for heard in tuple(self._subscribers.get(uuid, ())):
            heard(cut)

    # ---- requests

    def _ask(  # noqa: PLR0917 - a request is all of this
        self,
        doing: str,
        uuid: str,
        data: bytes,
        answer: Callable[[], bytes],
        result: Callable[[bytes], T],
        facts: dict[str, Any] | None = None,
        *,
        is_answered: bool = True,
        subscriber: Callable[[bytes], None] | None = None,
    ) -> Future[T]:
        pending: Future[T] = Future()
        request = _Request(doing, uuid, data, facts or {}, answer, pending, result, is_answered, subscriber)
        if not self.is_up:
            pending.set_exception(self.lost_error())
        elif len(self._waiting) >= MOST_WAITING:
            pending.set_exception(radio.BleError(f"{len(self._waiting)} requests to {self.address} wait already"))
        elif uuid not in self.uuids:
            known = self.uuids
            near = did_you_mean(uuid, known) if known else "; it has none at all"
            text = f"{self.address} has no characteristic {uuid}{near}"
            pending.set_exception(BleRefusedError(text, radio.NOT_FOUND))
        else:
            self._waiting.append(request)
            if not self._is_asking:
                self._ask_next()
        return pending

    def _ask_next(self) -> None:
        self._is_asking = bool(self._waiting)
        if self._waiting:
            self._world.at(self._next_event_ns(), self._send)

    def _send(self) -> None:
        if not self.is_up:
            return
        request = self._waiting[0]
        facts = {"address": self.address, "uuid": request.uuid, **request.facts}
        self._world.record(self._host.name, "tx", request.doing, request.data, **facts)
        if not self.is_heard:
            return
        if self._host.is_played(request.doing, request.data, **facts):
            request.is_awaited = request.is_answered
            if request.subscriber is not None:
                self._subscribers.setdefault(request.uuid, []).append(request.subscriber)
            if not request.is_answered:
                self._world.after(0, lambda: self._answered(request, b""))
            return
        try:
            answer: bytes | BleRefusedError = request.answer()
        except BleRefusedError as error:
            answer = error
        rounds = self._rounds(request, answer) if request.is_answered else 0
        self._world.after(rounds * INTERVAL_NS, lambda: self._answered(request, answer))

    def _answered(self, request: _Request, answer: bytes | BleRefusedError) -> None:
        if not (self.is_up and self.is_heard):
            return
        host = self._host
        data = answer if isinstance(answer, bytes) else b""
        host.faults.passing(host.name, data or request.data, LINK_KINDS, request.doing)
        if self.end:
            return  # one that struck has ended it
        if request.is_answered:
            facts = {"address": self.address, "uuid": request.uuid, **request.facts}
            if isinstance(answer, BleRefusedError):
                facts["error"] = answer.code
            self._world.record(host.name, "rx", request.doing, data, **facts)
        self._finish(request, answer)

    def _finish(self, request: _Request, answer: bytes | BleRefusedError) -> None:
        self._waiting.popleft()
        if isinstance(answer, BleRefusedError):
            request.pending.set_exception(answer)
        else:
            request.pending.set_result(request.result(answer))
        self._ask_next()

    def _rounds(self, request: _Request, answer: bytes | BleRefusedError) -> int:
        """Return how many answers it takes: a read gives `mtu` - 1 bytes each time, a long write takes `mtu` - 5."""
        if request.doing == "read" and isinstance(answer, bytes):
            return len(answer) // (self.mtu - 1) + 1
        if len(request.data) > self.mtu - 3:
            return -(-len(request.data) // (self.mtu - 5)) + 1
        return 1

    def _value(self, uuid: str) -> bytes:
        cached = self._host.seen
        if cached is not self._host.live:
            found = cached.find(self.address, uuid)
            if found is not None:
                return found.read()
        found = self._permitted(uuid)
        if not found.readable:
            raise BleRefusedError(f"characteristic {uuid} cannot be read", radio.READ_NOT_PERMITTED)
        return found.read()

    def _permitted(self, uuid: str) -> Characteristic:
        """Return what the device has. Raises: BleRefusedError."""
        found = self._host.live.find(self.address, uuid)
        if found is None:
            raise BleRefusedError(f"{self.address} has no characteristic {uuid} any more", radio.NOT_FOUND)
        if found.encrypted and self._host.faults.in_force(self._host.name, "key_change"):
            text = f"{self.address} does not know the host's keys; pair it again (end the fault key_change)"
            raise BleAuthenticationError(text, radio.NOT_AUTHENTICATED)
        return found

    # ---- its end, its time

    def _end(self, reason: str) -> None:
        self.is_up = False
        self.end = reason
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            request.pending.set_exception(self.lost_error())

    def lost_error(self) -> BleLinkLostError:
        """Return the error of what this link cannot do any more."""
        return BleLinkLostError(f"the link to {self.address} is gone: {self.end}; connect again")

    def _next_event_ns(self) -> int:
        """Return when the next connection event is, after now."""
        return self._began_ns + ((self._world.now_ns - self._began_ns) // INTERVAL_NS + 1) * INTERVAL_NS


def _answer_in(record: Record) -> bytes | BleRefusedError:
    """Return the answer of a record: what was read, or the ATT error."""
    code = record.get("error")
    if type(code) is not int:
        return record.payload
    kind = BleAuthenticationError if code == radio.NOT_AUTHENTICATED else BleRefusedError
    return kind(f"characteristic {record.get('uuid')}: as in the trace", code)
