"""A port on another machine, for tests: opened, read, written and closed like one that is here, without `await`.

    with connect("pi.local:4716", "uart0", target="a") as stream:
        stream.write(b"version")
        for stamp_ns, payload, address in stream.read(timeout_s=1.0): ...

One thread does all that touches the connection, and renews that when it breaks: what came meanwhile follows if the
agent still has it, and is told as a gap if not. A write is never repeated.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec

from gateway import errors as gateway_errors
from gateway.environment import variable
from gateway.errors import GatewayError, PortError, PortLostError, PortTimeoutError
from gateway.frame import Address
from hil.agent.clocks import ClockOffset, OtherClock
from hil.agent.dialling import Keys, Line, dial
from hil.agent.errors import AgentBusyError, AgentLostError, AgentProtocolError, AgentRefusedError
from hil.agent.link import Link
from hil.agent.messages import (
    BEAT_S,
    MOST_WRITE_BYTES,
    SILENCE_S,
    VERSION,
    Beat,
    Data,
    Failed,
    FromRunner,
    Gap,
    Hello,
    Message,
    No,
    Welcome,
    Write,
    Wrote,
)
from hil.agent.tls import secret_of
from hil.lease.errors import LeaseLostError

OPEN_S: Final = 75.0  # whatever is slow on the way has given up by then
WRITE_S: Final = 5.0
PATIENCE_S: Final = 30.0  # for an agent that went away
MOST_UNREAD: Final = 100_000  # records; the oldest of more are dropped, and told
MOST_GAPS: Final = 1000
MOST_WAITING: Final = 1000  # writes of threads at once


class Received(NamedTuple):
    """One record of the port."""

    stamp_ns: int  # the agent's monotonic clock, when it came
    payload: bytes
    address: Address


class Lack(NamedTuple):
    """Records that never came, behind the one of that stamp."""

    after_ns: int
    records: int  # 0: nobody knows how many
    why: str


Taken = Callable[[int], None]  # hears the agent's stamp of a write, in the link's thread, before what came after it


class _Pending:
    """A write that somebody waits for."""

    def __init__(self, message: Write, taken: Taken | None) -> None:
        self.message = message
        self.is_sent = False
        self.is_done = False
        self.error: GatewayError | None = None
        self._taken = taken

    def end(self, error: GatewayError | None, stamp_ns: int = 0) -> None:
        """Come to an end: with an error, or taken at a time of the agent's."""
        self.error, self.is_done = error, True
        if error is None and self._taken is not None:
            self._taken(stamp_ns)


class Stream:
    """One port of one board behind an agent. Made by `connect`."""

    def __init__(self, agent: str, resource: str, secret: str, lease_token: int, patience_s: float) -> None:
        self.agent = agent
        self.resource = resource
        self.protocol = ""
        self.port = ""  # what the agent calls it
        self.is_stream = True
        self.gaps: deque[Lack] = deque(maxlen=MOST_GAPS)
        self.lost_records = 0  # that are known to be lost
        self._secret = secret
        self._lease_token = lease_token
        self._patience_s = patience_s
        self._session = secrets.token_hex(8)
        self._changed = threading.Condition()
        self._unread: deque[Received] = deque()
        self._last_ns = 0
        self._instance = ""
        self._next = 0
        self._numbers = 0
        self._pending: dict[int, _Pending] = {}
        self._clock = OtherClock()
        self._dead: GatewayError | None = None
        self._is_linked = False
        self._hello_ns = 0
        self._asks_clock = False
        self._away_since_s: float | None = None
        self._why_away: AgentLostError | None = None
        self._link: Link | None = None

    def open(self, line: Callable[[], Line], *, beat_s: float, silence_s: float) -> None:
        """Connect. Raises: AgentError, PortError, LeaseLostError, UsageError."""
        name = f"agent of {self.resource}"
        self._link = Link(line, self, beat_s=beat_s, silence_s=silence_s, name=name)
        self._link.start()
        with self._changed:
            self._changed.wait_for(lambda: self._clock.is_known or self._dead is not None, OPEN_S)
            dead = self._dead
            if dead is None and not self._clock.is_known:
                dead = AgentLostError(f"{self.agent} did not answer within {OPEN_S:g} s")
        if dead is not None:
            self.close()
            raise dead

    def read(self, timeout_s: float | None = None) -> list[Received]:
        """Return what came, waiting for the first of it; [] when nothing came in time.

        Raises: PortLostError and other PortErrors, LeaseLostError, AgentError; what came before is given first, except
        after the loss of a lease.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._unread) or self._dead is not None, timeout_s)
            if self._dead is not None and not self._unread:
                raise self._dead
            found = list(self._unread)
            self._unread.clear()
        return found

    def write(
        self, data: bytes, address: Address = None, *, timeout_s: float = WRITE_S, taken: Taken | None = None
    ) -> None:
        """Return when the port at the agent has taken it. Raises: PortError, LeaseLostError, AgentError.

        After a timeout or a loss nobody knows whether it was written; it will not be written later.
        """
        self._send(Write(0, bytes(data), address), timeout_s, taken)

    def ask(self, request: bytes, address: Address = None, *, timeout_s: float = WRITE_S) -> None:
        """Send a request whose answer comes by `read`: an SPI transfer, a GATT read. Raises as `write` does."""
        self._send(Write(0, bytes(request), address, asks=True), timeout_s, None)

    def close(self) -> None:
        """Give the port back. May be called twice."""
        if self._link is not None:
            self._link.stop()

    @property
    def away(self) -> str:
        """Why the agent is not to be had at the moment, "" where it is."""
        with self._changed:
            return "" if self._is_linked or self._why_away is None else str(self._why_away)

    @property
    def clock_offset(self) -> ClockOffset:
        """What the agent's monotonic clock is ahead of ours, as the quickest of the latest beats told."""
        with self._changed:
            return self._clock.offset

    def local_ns(self, stamp_ns: int) -> int:
        """Return what our monotonic clock showed at a stamp of the agent's, as well as `clock_offset` is known."""
        return stamp_ns - self.clock_offset.offset_ns

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: Write, timeout_s: float, taken: Taken | None) -> None:
        if len(message.data) > MOST_WRITE_BYTES:
            raise ValueError(f"{len(message.data)} bytes in one write; at most {MOST_WRITE_BYTES}")
        with self._changed:
            if self._dead is not None:
                raise self._dead
            if len(self._pending) >= MOST_WAITING:
                raise PortTimeoutError(self._name, f"{MOST_WAITING} writes wait for it already")
            self._numbers += 1
            number = self._numbers
            numbered = msgspec.structs.replace(message, number=number)
            pending = self._pending[number] = _Pending(numbered, taken)
            if self._link is not None:
                self._link.wake()
            self._changed.wait_for(lambda: pending.is_done, timeout_s)
            del self._pending[number]
            away = None if self._is_linked else self._why_away
        if not pending.is_done:
            if away is not None:
                raise PortLostError(self._name, f"no agent for {timeout_s:g} s: {away}")
            raise PortTimeoutError(self._name, f"no answer from its agent within {timeout_s:g} s")
        if pending.error is not None:
            raise pending.error

    @property
    def _name(self) -> str:
        return f"{self.resource} at {self.agent}"

    # What the link's thread calls.

    def hello(self) -> Hello:
        """Return who we are and how far we have got."""
        self._hello_ns = time.monotonic_ns()
        return Hello(VERSION, self.resource, self._session, self._secret, self._lease_token, self._instance, self._next)

    def next_out(self) -> FromRunner | None:
        """Return what is to be said when the agent knows us: how its clock stands, then the next write."""
        with self._changed:
            if not self._is_linked:
                return None
            if self._asks_clock:
                self._asks_clock = False
                return Beat(time.monotonic_ns())
            for pending in self._pending.values():
                if not pending.is_sent:
                    pending.is_sent = True
                    return pending.message
        return None

    def heard(self, message: Message) -> None:
        """Take what the agent says. Raises: GatewayError where that is the end."""
        with self._changed:
            match message:
                case Data():
                    self._take(message)
                case Wrote():
                    self._answer(message.number, None, message.stamp_ns)
                case Failed(number=0):
                    raise _error_of(message)
                case Failed():
                    self._answer(message.number, _error_of(message))
                case Gap():
                    self._lack(message.count, message.why)
                    self._next += message.count
                case Beat():
                    if message.runner_ns:
                        self._clock.answered(message.runner_ns, message.monotonic_ns, time.monotonic_ns())
                case Welcome():
                    self._welcomed(message)
                case No():
                    raise self._refusal(message)
                case _:
                    raise AgentProtocolError(f"a {type(message).__name__} from an agent")
            self._changed.notify_all()

    def interrupted(self, why: AgentLostError) -> bool:
        """Fail the writes that were under way; return whether the agent is worth another try."""
        with self._changed:
            now_s = time.monotonic()
            is_first = not self._instance
            self._is_linked, self._why_away = False, why
            self._away_since_s = self._away_since_s or now_s
            unknown = PortLostError(self._name, f"{why}; whether it was written nobody knows")
            for pending in self._pending.values():
                if pending.is_sent and not pending.is_done:
                    pending.end(unknown)
            self._changed.notify_all()
        if is_first:
            self.ended(AgentLostError(f"{self._name}: {why}"))
        elif now_s - self._away_since_s >= self._patience_s:
            self.ended(PortLostError(self._name, f"no agent for {self._patience_s:g} s: {why}"))
        return self._dead is None

    def ended(self, why: GatewayError) -> None:
        """End everything, for the first reason that is given."""
        with self._changed:
            if self._dead is None:
                self._dead = why
                if isinstance(why, LeaseLostError):
                    self._unread.clear()
            self._is_linked = False
            for pending in self._pending.values():
                if not pending.is_done:
                    pending.end(self._dead)
            self._changed.notify_all()

    def _refusal(self, message: No) -> GatewayError:
        """Return what a refusal means: to one that was let in before, what passes is an interruption that goes on."""
        why = f"{self._name} is refused: {message.why}"
        if not message.is_passing:
            return AgentRefusedError(why)
        return AgentLostError(why) if self._instance else AgentBusyError(why)

    def _welcomed(self, message: Welcome) -> None:
        if message.version != VERSION:
            raise AgentRefusedError(f"{self.agent} speaks version {message.version}, we {VERSION}; update the older")
        if self._instance:  # its machine may have slept or been started anew
            self._clock.forget()
            self._clock.answered(self._hello_ns, message.monotonic_ns, time.monotonic_ns())
        if self._instance not in {"", message.instance}:
            self._lack(0, "the agent or its port was started anew")
        elif self._instance and message.next_sequence > self._next:
            self._lack(message.next_sequence - self._next, "the agent kept them no longer")
        self._instance, self._next = message.instance, message.next_sequence
        self.protocol, self.is_stream, self.port = message.protocol, message.is_stream, message.port
        self._is_linked, self._asks_clock, self._away_since_s = True, True, None

    def _take(self, data: Data) -> None:
        if data.sequence > self._next:
            self._lack(data.sequence - self._next, "they did not come")
        self._next = data.sequence + len(data.payloads)
        count = len(data.payloads)
        addresses, stamps = data.addresses or [None] * count, data.stamps_ns or [data.stamp_ns] * count
        if not len(addresses) == len(stamps) == count:
            raise AgentProtocolError(f"{count} records with {len(addresses)} addresses and {len(stamps)} stamps")
        self._unread.extend(map(Received, stamps, data.payloads, addresses))
        self._last_ns = data.stamp_ns
        too_many = len(self._unread) - MOST_UNREAD
        if too_many > 0:
            for _ in range(too_many):
                self._unread.popleft()
            self._lack(too_many, "they were not read in time")

    def _lack(self, count: int, why: str) -> None:
        self.lost_records += count
        self.gaps.append(Lack(self._last_ns, count, why))

    def _answer(self, number: int, error: GatewayError | None, stamp_ns: int = 0) -> None:
        pending = self._pending.get(number)  # None: it was not waited for any longer
        if pending is not None:
            pending.end(error, stamp_ns)


def connect(
    agent: str,
    resource: str,
    *,
    target: str | None = None,
    keys: Keys | None = None,
    lease_token: int | None = None,
    patience_s: float = PATIENCE_S,
    beat_s: float = BEAT_S,
    silence_s: float = SILENCE_S,
    line: Callable[[], Line] | None = None,
) -> Stream:
    """Return the open port `resource` at `agent`: "host:port", "ssh://[user@]host[:port][/rig.toml]".

    `target` is what an agent that ssh starts is to serve. `keys` are by default those of the environment, and so is the
    token of the lease under which this process runs. After an interruption the agent is dialled for `patience_s`.
    `line` is another way to an agent than `agent` says.
    Raises: AgentError, PortError, LeaseLostError, UsageError.
    """
    keys = Keys.of_environment() if keys is None else keys
    secret = "" if keys.token_file is None else secret_of(keys.token_file)
    token = token_of_environment() if lease_token is None else lease_token
    stream = Stream(agent, resource, secret, token, patience_s)
    stream.open(line or (lambda: dial(agent, target, keys, silence_s)), beat_s=beat_s, silence_s=silence_s)
    return stream


def token_of_environment() -> int:
    """Return the token of the lease under which this process runs, 0 for none."""
    text = variable("TIDEGATE_TOKEN") or ""
    return int(text) if variable("TIDEGATE_TARGET") and text.isascii() and text.isdigit() else 0


def _error_of(failed: Failed) -> GatewayError:
    """Return the error that the agent met, as the same class where that is one of ports or leases."""
    if failed.kind == LeaseLostError.__name__:
        return LeaseLostError(failed.about, failed.token, failed.cause)
    kind = getattr(gateway_errors, failed.kind, None)
    if isinstance(kind, type) and issubclass(kind, PortError):
        return kind(failed.about, failed.cause)
    return PortError(failed.about, failed.cause)
