"""Between the wire of a simulated UART and the host: what comes late, and what waits for the next unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from hil.faults.uart import Wait
from hil.rigs.agenda import Event
from hil.rigs.simulated.world import World

LONELY_NS: Final = 100_000_000  # what waits for the next unit arrives alone after that


class Piece(NamedTuple):
    """What arrives as one read."""

    data: bytes
    errors: tuple[str, ...] = ()
    late_ns: int = 0
    wait: Wait = Wait.NO
    boots: int | None = None  # of the device that sent it; None: it comes of the line itself


class Receiver:
    """Hands over each read when it is due, and none before what was sent ahead of it, but where a fault says so."""

    def __init__(self, world: World, hear: Callable[[bytes, tuple[str, ...]], None]) -> None:
        self._world = world
        self._hear = hear
        self._late: set[Event] = set()
        self._due_ns = 0
        self._waiting: tuple[Piece, Event] | None = None

    @property
    def is_still(self) -> bool:
        """Whether nothing is under way."""
        return not self._late and self._waiting is None

    def take(self, piece: Piece) -> None:
        """Take what has come off the wire now."""
        now_ns = self._world.now_ns
        self._due_ns = max(self._due_ns, now_ns + piece.late_ns)
        if self._due_ns == now_ns and not self._late:
            self._come(piece)
            return

        def come() -> None:
            self._late.discard(event)
            self._come(piece)

        event = self._world.at(self._due_ns, come)
        self._late.add(event)

    def cut(self) -> None:
        """Lose all that was not handed over."""
        for event in self._late:
            event.cancel()
        self._late.clear()
        if self._waiting is not None:
            self._waiting[1].cancel()
        self._waiting = None
        self._due_ns = 0

    def _come(self, piece: Piece) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            if piece.wait is Wait.NO:
                self._hear(piece.data, piece.errors)
            else:
                self._waiting = (piece, self._world.after(LONELY_NS, self._come_alone))
            return
        first, timer = waiting
        timer.cancel()
        if first.wait is Wait.JOIN:
            self._hear(first.data + piece.data, (*first.errors, *piece.errors))
        else:
            self._hear(piece.data, piece.errors)
            self._hear(first.data, first.errors)

    def _come_alone(self) -> None:
        if self._waiting is not None:
            (piece, _), self._waiting = self._waiting, None
            self._hear(piece.data, piece.errors)
