"""A trace as the device of a simulated UART: it says again what it said, when it is asked again what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gateway.spelling import did_you_mean
from hil.rigs.simulated.world import Event, World
from hil.trace import Trace, read
from hil.trace.player import Player


class Port(Protocol):
    """The host's side, as a player needs it."""

    name: str

    def hear_device(self, data: bytes, errors: tuple[str, ...], *, is_recorded: bool = False) -> None:
        """Take what the device sends; `is_recorded`: it has been on the wire already."""

    def watch(self, left: Callable[[bytes], None]) -> None:
        """Call `left` with what the host sends, when its first bit leaves."""


def play(world: World, port: Port, trace: Trace | str | Path, bus: str | None, order: str) -> Player:
    """Begin to play now; `diverged` of what this returns says where the host did otherwise.

    Raises: ValueError where the trace has no such UART, or several and none is named; what `hil.trace.read` does.
    """
    if order not in {"strict", "matched"}:
        raise ValueError(f"order = {order!r}: 'strict' or 'matched'")
    recorded = trace if isinstance(trace, Trace) else read(Path(trace))
    uarts = [name for name, facts in recorded.header.buses.items() if facts.get("protocol") == "uart"]
    name = bus or (port.name if port.name in uarts else uarts[0] if len(uarts) == 1 else None)
    if name not in uarts:
        raise ValueError(
            f"bus = {bus!r}: of the trace's {', '.join(uarts) or 'no UART'}{did_you_mean(bus or '', uarts)}"
        )
    player = Player(recorded.records, {name: "uart"}, order=order)
    player.start(world.now_ns)
    coming: list[Event] = []

    def plan() -> None:
        for event in coming:
            event.cancel()
        next_ns = player.next_ns()
        coming[:] = [] if next_ns is None else [world.at(next_ns, go)]

    def go() -> None:
        for record in player.due(world.now_ns):
            port.hear_device(record.payload, tuple(record.get("errors", ())), is_recorded=True)
        plan()

    def left(data: bytes) -> None:
        player.heard(world.now_ns, name, "bytes", data)
        plan()

    port.watch(left)
    plan()
    return player
