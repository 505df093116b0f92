"""One direction of a simulated UART: what is put in comes out whole, in order, when its bits have passed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from hil.rigs.agenda import Event
from hil.rigs.simulated.world import World

T = TypeVar("T")


class Wire(Generic[T]):
    """A sender's buffer and the line behind it."""

    def __init__(self, world: World, leaves: Callable[[T], None], arrives: Callable[[T], None]) -> None:
        """Call `leaves` when an item's first bit is sent, `arrives` after its last."""
        self._world = world
        self._leaves = leaves
        self._arrives = arrives
        self._waiting: deque[tuple[T, int, int]] = deque()  # item, bytes, ns on the line
        self._under_way: Event | None = None
        self._holds: set[str] = set()
        self.waiting_bytes = 0

    def put(self, item: T, size_bytes: int, takes_ns: int) -> None:
        """Take an item, to be sent after those before it."""
        self._waiting.append((item, size_bytes, takes_ns))
        self.waiting_bytes += size_bytes
        self._send_next()

    def stall(self, why: str) -> None:
        """Begin no more; what is on the line arrives."""
        self._holds.add(why)

    def resume(self, why: str) -> None:
        """Go on, unless something else stalls it."""
        self._holds.discard(why)
        self._send_next()

    def cut(self) -> None:
        """Lose all that has not arrived."""
        self._waiting.clear()
        self.waiting_bytes = 0
        if self._under_way is not None:
            self._under_way.cancel()
            self._under_way = None

    @property
    def is_stalled(self) -> bool:
        """Whether it sends nothing."""
        return bool(self._holds)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on the line, nor will be before somebody does something."""
        return self._under_way is None and (not self._waiting or self.is_stalled)

    def _send_next(self) -> None:
        if self._under_way is not None or self.is_stalled or not self._waiting:
            return
        item, size_bytes, takes_ns = self._waiting.popleft()
        self.waiting_bytes -= size_bytes

        def arrive() -> None:
            self._under_way = None
            self._arrives(item)
            self._send_next()

        self._under_way = self._world.after(takes_ns, arrive)
        self._leaves(item)
