"""A serial port of a bench that hangs on another machine, behind `tidegate hil agent`."""

from __future__ import annotations

from typing import Final

from gateway.errors import GatewayError
from hil.agent.client import Stream, connect
from hil.rigs.base import RigError
from hil.rigs.bench.serial_wire import Receive
from hil.rigs.bench.wire import POLL_S, GoneError, Wire

_KNOWN_GAPS: Final = 100  # told of one interruption


class AgentWire(Wire):
    """One resource of an agent's target, used as a `SerialWire` is; stamps are the agent's, on this machine's clock."""

    def __init__(self, name: str, agent: str, receive: Receive) -> None:
        """Take `target.resource`, which the agent calls the same, its address, and who gets what comes."""
        super().__init__(name, agent)
        self._receive = receive
        self._stream: Stream | None = None

    @property
    def node(self) -> str:
        """Where it is."""
        return self.identity

    def write(self, data: bytes) -> None:
        """Send all of it. Raises: RigLostError where the lease or the port is lost, RigError."""
        self.check()
        assert self._stream is not None
        try:
            self._stream.write(data)
        except TimeoutError as error:
            raise RigError(f"{self.name} ({self.identity}) took nothing: {error}") from error
        except GatewayError as error:
            self.lose(str(error))
            self.check()

    def send_break(self) -> None:
        """Refuse: an agent passes bytes on. Raises: RigError."""
        raise RigError(
            f"{self.name} ({self.identity}) is behind an agent, which sends no break; wire it to this machine"
        )

    def forget(self) -> None:
        """Drop what was received and not taken yet: nothing is kept here, the reading thread takes all at once."""

    def _open(self) -> None:
        target, _, resource = self.name.rpartition(".")
        self._stream = connect(self.identity, resource, target=target)

    def _read_some(self) -> None:
        assert self._stream is not None
        try:
            records = self._stream.read(POLL_S)
        except GatewayError as error:
            raise GoneError(str(error)) from error
        for record in records:
            self._receive(record.payload, self._stream.local_ns(record.stamp_ns), ())
        for _ in range(min(len(self._stream.gaps), _KNOWN_GAPS)):
            lack = self._stream.gaps.popleft()
            if self.world is not None:
                count = lack.records or "an unknown number of"
                text = f"{self.name}: {count} reads are missing: {lack.why}"
                self.world.record(self.name.rpartition(".")[2], "note", "note", text=text)

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
