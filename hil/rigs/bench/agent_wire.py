"""Ports of a bench that hang on another machine, behind `tidegate hil agent`. Used as the wires of this machine are.

Stamps are the agent's, on this machine's clock. What an interruption lost is noted in the trace.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Final

from gateway.errors import GatewayError, PortLostError, PortOptionError
from gateway.profile.model import LinkSpec
from hil.agent.client import Received, Stream, connect
from hil.agent.messages import MOST_WRITE_BYTES
from hil.lease.errors import LeaseLostError
from hil.rigs.base import RigError
from hil.rigs.bench.serial_wire import Receive
from hil.rigs.bench.wire import POLL_S, GoneError, Wire, leased

ANSWER_S: Final = 5.0  # for what a port that was asked has answered already
_KNOWN_GAPS: Final = 100  # told of one interruption


class AgentWire(Wire):
    """One resource of an agent's target."""

    def __init__(self, name: str, agent: str) -> None:
        """Take `target.resource`, which the agent calls the same, and its address."""
        super().__init__(name, agent)
        self.stream: Stream | None = None
        self._displaced: LeaseLostError | None = None
        self._stamping = threading.Lock()
        self._last_ns = 0
        self._is_away = False

    @property
    def node(self) -> str:
        """Where it is."""
        return self.identity

    def check(self) -> None:
        """Raise RigLostError where it is gone, RigError where it was not opened, LeaseLostError."""
        if self._displaced is not None:
            raise self._displaced
        super().check()

    @contextlib.contextmanager
    def asking(self) -> Iterator[Stream]:
        """Give the stream, for one thing that is asked of it.

        Raises: RigLostError, LeaseLostError; RigError where the port is there and does not do it.
        """
        self.check()
        assert self.stream is not None
        try:
            yield self.stream
        except RigError:
            raise
        except TimeoutError as error:
            raise RigError(f"{self.name} ({self.identity}) took nothing: {error}") from error
        except PortOptionError as error:
            raise RigError(f"{self.name} ({self.identity}): {error}") from error
        except GatewayError as error:
            self._gone(error)
            self.check()
            raise RigError(f"{self.name} ({self.identity}): {error}") from error  # we are closing it

    def stamp_ns(self, agent_ns: int) -> int:
        """Return a stamp of the agent's on this machine's monotonic clock.

        None is of the future, and none before that of what the agent told earlier, however well its clock is known.
        """
        stream, now_ns = self.stream, time.monotonic_ns()
        at_ns = now_ns if stream is None else min(now_ns, stream.local_ns(agent_ns))
        with self._stamping:  # beneath the stream's own lock, which its thread may hold
            self._last_ns = max(self._last_ns, at_ns)
            return self._last_ns

    @abstractmethod
    def _take(self, record: Received, stamp_ns: int) -> None:
        """Take what came."""

    def _open(self) -> None:
        target, _, resource = self.name.rpartition(".")
        self._displaced, self._is_away = None, False
        self.stream = connect(self.identity, resource, target=target)

    def _read_some(self) -> None:
        assert self.stream is not None
        try:
            records = self.stream.read(POLL_S)
        except GatewayError as error:
            self._note_gaps(self.stream)
            self._gone(error)
            raise GoneError(str(error)) from error
        for record in records:
            self._take(record, self.stamp_ns(record.stamp_ns))
        self._note_absence(self.stream)
        self._note_gaps(self.stream)

    def _note_absence(self, stream: Stream) -> None:
        is_away = bool(away := stream.away)
        if is_away != self._is_away:
            self._is_away = is_away
            self._note(f"its agent is away: {away}" if is_away else "its agent is back")

    def _note_gaps(self, stream: Stream) -> None:
        for _ in range(min(len(stream.gaps), _KNOWN_GAPS)):
            lack = stream.gaps.popleft()
            self._note(f"{lack.records or 'an unknown number of'} reads are missing: {lack.why}")

    def _note(self, text: str) -> None:
        if self.world is not None:
            self.world.record(self.name.rpartition(".")[2], "note", "note", text=f"{self.name}: {text}")

    def _gone(self, error: GatewayError) -> None:
        if isinstance(error, LeaseLostError):
            self._displaced = error
        self.lose(str(error))

    def _close(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()


class AgentUartWire(AgentWire):
    """A serial line, as `SerialWire` is one."""

    def __init__(self, name: str, agent: str, receive: Receive) -> None:
        """Take who gets what comes, too."""
        super().__init__(name, agent)
        self._receive = receive

    @leased
    def write(self, data: bytes, sending: Callable[[int], None]) -> None:
        """Send all of it; `sending` hears when. Raises: LeaseLostError, RigLostError, RigError."""
        with self.asking() as stream:
            for start in range(0, len(data) or 1, MOST_WRITE_BYTES):
                part = data[start : start + MOST_WRITE_BYTES]
                stream.write(part, taken=None if start else lambda agent_ns: sending(self.stamp_ns(agent_ns)))

    def configure(self, link: LinkSpec) -> None:
        """Refuse: how the line is set is the agent's. Raises: RigError."""
        del link
        raise RigError(f"{self.name} ({self.identity}) is set by its agent; correct its rig file over there")

    def send_break(self) -> None:
        """Refuse: an agent passes bytes on. Raises: RigError."""
        raise RigError(
            f"{self.name} ({self.identity}) is behind an agent, which sends no break; wire it to this machine"
        )

    def forget(self) -> None:
        """Drop what was received and not taken yet: nothing is kept here, the reading thread takes all at once."""

    def _take(self, record: Received, stamp_ns: int) -> None:
        self._receive(record.payload, stamp_ns, ())


class AgentSpiWire(AgentWire):
    """A chip select, as `SpiWire` is one."""

    most_bytes = MOST_WRITE_BYTES  # what the kernel there takes at once only the agent knows

    def __init__(self, name: str, agent: str) -> None:
        super().__init__(name, agent)
        self._one = threading.Lock()
        self._answers: queue.SimpleQueue[tuple[Received, int]] = queue.SimpleQueue()

    def configure(self, link: LinkSpec) -> None:
        """Refuse: how the bus is set is the agent's. Raises: RigError."""
        del link
        raise RigError(f"{self.name} ({self.identity}) is set by its agent; correct its rig file over there")

    @leased
    def transfer(self, tx: bytes) -> tuple[int, bytes]:
        """Return when it began and what was read meanwhile. Raises: LeaseLostError, RigLostError, RigError."""
        with self._one, self.asking() as stream:
            try:
                stream.ask(tx)
            except TimeoutError as error:  # its answer may come yet, and would be taken for that of the next
                raise PortLostError(self.name, f"a transfer of {len(tx)} bytes hangs: {error}") from error
            return self._answer(tx)
        raise AssertionError("nothing is swallowed above")

    def _answer(self, tx: bytes) -> tuple[int, bytes]:
        """Return the answer of a transfer that was made; it is on its way. Raises: PortLostError."""
        give_up_s = time.monotonic() + ANSWER_S
        while time.monotonic() < give_up_s:
            self.check()
            with contextlib.suppress(queue.Empty):
                record, stamp_ns = self._answers.get(timeout=POLL_S)
                if record.address == tx:
                    return stamp_ns, record.payload
        raise PortLostError(self.name, f"the answer of a transfer of {len(tx)} bytes did not come")

    def _open(self) -> None:
        self._answers = queue.SimpleQueue()
        super()._open()

    def _take(self, record: Received, stamp_ns: int) -> None:
        self._answers.put((record, stamp_ns))
