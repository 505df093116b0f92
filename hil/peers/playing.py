"""A trace as the device: it says again what it said, when it is asked again what it was asked.

The thin part between a bus and `hil.trace.player`, which decides: a bus says what it can do with a record, and tells
what its host did.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gateway.spelling import did_you_mean
from hil.peers.surroundings import Board, Times
from hil.rigs.agenda import Event
from hil.trace import Record, Trace, read
from hil.trace.player import ORDERS, Divergence, Player, speed_of

_NAMES: Final = {"uart": "UART", "can": "CAN bus", "ble": "radio", "spi": "SPI bus"}

Do = Callable[[Record], bool]


class TracePeer:
    """What `peer.play` gives: how far the trace was played, and where the host did otherwise.

    It ends where the trace does: from then on, and once it diverged, the device is silent. All that the host does
    beyond the trace diverges.
    """

    def __init__(self, player: Player, bus: tuple[str, str], times: Times, board: Board, do: Do) -> None:
        """Take the bus as the trace calls it and as the rig does; `do` returns False for what the device cannot do."""
        self.skipped: dict[str, int] = {}
        """What the device cannot do of the trace, by kind: error frames, packets of a controller."""
        self._player = player
        self._recorded_bus, self._bus = bus
        self._times = times
        self._board = board
        self._do = do
        self._coming: Event | None = None
        self.is_stopped = False
        self._is_told = False
        self.until: Callable[[], object] = _nothing
        """What takes it off its bus."""
        self.settle: Callable[[], object] = _nothing
        """What lets everything arrive that is under way."""

    @property
    def diverged(self) -> Divergence | None:
        """The first record that differs, as `record expected got context`; `str` of it shows them.

        What is under way arrives first. None, and not `is_over`: the host has not done everything yet.
        """
        self.settle()
        return self._player.diverged

    @property
    def is_over(self) -> bool:
        """Whether all of the trace was said and heard, or it diverged, or was stopped."""
        return self.is_stopped or self._player.is_over

    @property
    def sent(self) -> int:
        """How many records the device has said."""
        return self._player.sent

    @property
    def heard(self) -> int:
        """How many records the host has done as in the trace."""
        return self._player.matched

    def stop(self) -> None:
        """Play no more."""
        self.is_stopped = True
        if self._coming is not None:
            self._coming.cancel()
        self.until()

    # ---- for the bus

    @property
    def records(self) -> list[Record]:
        """What is played and expected."""
        return self._player.played

    def begin(self) -> None:
        """Play from now on."""
        self._player.start(self._times.now_ns)
        self._plan()

    def hear(self, kind: str, data: bytes, **facts: Any) -> Record | None:
        """Take what the host did; return the trace's record of it, None where it has none, or is of a stream."""
        if self.is_stopped:
            return None
        record = self._player.heard(self._times.now_ns, self._recorded_bus, kind, data, **facts)
        self._plan()
        return record

    def skip(self, kind: str) -> None:
        """Count what the device cannot do."""
        self.skipped[kind] = self.skipped.get(kind, 0) + 1

    def _go(self) -> None:
        for record in self._player.due(self._times.now_ns):
            if self._board.is_powered and not self._do(record):
                self.skip(record.kind)
        self._plan()

    def _plan(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
        next_ns = self._player.next_ns()
        self._coming = None if next_ns is None else self._times.at(next_ns, self._go)
        diverged = self._player.diverged
        if diverged is not None and not self._is_told:
            self._is_told = True
            self._times.record(self._bus, "note", "note", text=f"the trace that is the device {diverged.line}")


def trace_peer(  # noqa: PLR0917 - a test's words, then the bus's
    trace: Trace | str | Path,
    bus: str | None,
    order: str,
    speed: object,
    at: tuple[str, str],
    around: tuple[Times, Board],
    do: Do,
    lead_ns: Callable[[Record], int] | None = None,
) -> TracePeer:
    """Return a peer to `begin`; `at` are the name and the protocol of the rig's bus.

    Raises: ValueError where the trace has no such bus, or several and none is named, for no order and no speed; for a
    file what `hil.trace.read` and `hil.trace.convert` do.
    """
    if order not in ORDERS:
        raise ValueError(f"order = {order!r}{did_you_mean(str(order), ORDERS)}: 'strict' or 'matched'")
    name, protocol = at
    pace = speed_of(speed)
    recorded = trace if isinstance(trace, Trace) else _read(Path(trace))
    chosen = _bus_of(recorded, bus, name, protocol)
    player = Player(recorded.records, {chosen: protocol}, speed=pace, order=order, lead_ns=lead_ns, watches_on=True)
    if recorded.torn:
        text = f"{recorded.path}:{recorded.torn_line}: torn off; the rest is played"
        around[0].record(name, "note", "note", text=text)
    return TracePeer(player, (chosen, name), *around, do)


def _nothing() -> None:
    """It is on a bus where nothing is under way."""


def _bus_of(trace: Trace, bus: str | None, name: str, protocol: str) -> str:
    """Return which of the trace's buses is played: the one that is named, that of the same name, the only one."""
    known = [each for each, facts in trace.header.buses.items() if facts.get("protocol") == protocol]
    chosen = bus or (name if name in known else known[0] if len(known) == 1 else None)
    if chosen not in known:
        having = f"the trace has {', '.join(known)}" if known else f"the trace has no {_NAMES[protocol]}"
        raise ValueError(f"bus = {bus!r}: {having}{did_you_mean(bus or '', known)}")
    return chosen


def _read(path: Path) -> Trace:
    """Return a trace, or another program's log as one."""
    from hil.trace.convert import FORMATS, Outcome, as_trace

    if path.suffix.lower() not in FORMATS:
        return read(path)
    with as_trace(path, Outcome()) as stream:
        return Trace(stream)
