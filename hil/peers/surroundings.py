"""What a peer needs of its rig: time, a trace to write into, and the board that it plays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hil.rigs.agenda import Event


class Times(Protocol):
    """The rig's time: virtual, or the machine's."""

    @property
    def now_ns(self) -> int:
        """Nanoseconds on the trace's time."""

    def at(self, at_ns: int, action: Callable[[], None]) -> Event:
        """Do something at a time."""

    def record(self, bus: str, direction: str, kind: str, data: bytes = b"", **extra: Any) -> None:
        """Write into the trace, now."""


class Board(Protocol):
    """What is known of the board as a whole."""

    @property
    def is_powered(self) -> bool:
        """Whether anything of it can be heard."""

    @property
    def is_answering(self) -> bool:
        """Whether its program runs."""

    @property
    def boots(self) -> int:
        """How often it started; another number, and it has forgotten everything."""
