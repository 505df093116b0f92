"""What a rig is to the fixtures, whatever is behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gateway.errors import GatewayError
from hil.durations import Timeout
from hil.faults.faults import Faults
from hil.trace.writer import TraceWriter


class RigError(GatewayError):
    """The rig cannot do its work; the message names the resource and the next step."""


class RigLostError(RigError, ConnectionError):
    """A resource went away in the middle of a test."""


class TxFullError(RigError, OSError):
    """The host's queue has no room for what is to be sent."""


class BringUpError(RigError):
    """The device did not come into the state that was asked for."""


class Round(NamedTuple):
    """One run of one test."""

    test: str  # its node id
    seed: int
    folder: Path  # of its own, for what a gateway keeps
    only: Collection[tuple[int, int]] | None = None  # strikes of faults that happen: see `Faults`


class Clock(Protocol):
    """The rig's time: virtual where the devices are, else the machine's."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go back."""

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, as the rig believes."""

    def sleep(self, duration: Timeout) -> None:
        """Let time pass: "250ms", or seconds."""


class Dut(Protocol):
    """The device under test as a whole."""

    @property
    def name(self) -> str:
        """Its target's."""

    @property
    def firmware(self) -> str:
        """Its version, as far as anybody knows; "" where not."""

    @property
    def state(self) -> str:
        """One of `hil.rigs.standard.STATES`."""

    @property
    def boots(self) -> int:
        """How often it started, in this test."""

    def to(self, state: str, timeout: Timeout | None = None) -> None:
        """Bring it into a state. Raises: ValueError for none of the target's, BringUpError."""


class Rig(Protocol):
    """One target of a rig. A session has one for each target; `begin` and `end` stand around each run of a test."""

    name: str
    target: str
    seed: int  # of the round

    @property
    def resources(self) -> Mapping[str, str]:
        """Name -> protocol."""

    @property
    def clock(self) -> Clock:
        """The rig's time."""

    @property
    def dut(self) -> Dut:
        """The device under test."""

    @property
    def faults(self) -> Faults:
        """Of the round."""

    @property
    def disk(self) -> Any:
        """What is written to with `write`."""

    @property
    def trace(self) -> TraceWriter:
        """Of the round."""

    def begin(self, round_: Round, trace: Path | None) -> None:
        """Make ready for one run of one test, recording into `trace`. Raises: RigError."""

    def end(self) -> list[str]:
        """Bring everything to rest and close the trace; return what was left wrong, for the test's report."""

    def get(self, name: str) -> Any:
        """Return the handle of a resource. Raises: ValueError naming the nearest."""

    def record_note(self, text: str) -> None:
        """Write a note into the trace."""

    def make_gateway(self) -> Any:
        """Return a gateway on the rig's ports, with `add`, `wait` and `close`."""

    def restore(self) -> None:
        """End all faults, plug in, switch on, bring the device into its last state."""

    def close(self) -> None:
        """Give everything back, for good. May be called twice."""
