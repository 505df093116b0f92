"""The fence around a board that is shared: what is done to it and what is heard of it, only as long as it is ours."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, TypeVar

from hil.lease.errors import LeaseError
from hil.lease.held import Lease
from hil.rigs.bench.power import Switch
from hil.rigs.bench.world import BenchWorld

LOOK_NS: Final = 100_000_000  # how soon a wait sees that the board is somebody else's
GLANCE_NS: Final = 5_000_000  # how long a look holds for a thread that hears: frames come by the thousand

T = TypeVar("T")


def deed(lease: Lease | None) -> AbstractContextManager[None]:
    """Keep the board ours until something is done to it: nobody gets it in the middle. Raises: LeaseLostError."""
    return contextlib.nullcontext() if lease is None else lease.holding()


def need(lease: Lease | None) -> None:
    """Raise LeaseLostError where the board is somebody else's by now."""
    if lease is not None:
        lease.check()


def waited(world: BenchWorld, lease: Lease | None, look: Callable[[], T | None], until_ns: int) -> T | None:
    """Wait as `world.wait_for` does, and give nothing to who has lost the board meanwhile. Raises: LeaseLostError."""
    while True:
        need(lease)
        found = world.wait_for(look, until_ns if lease is None else min(until_ns, world.now_ns + LOOK_NS))
        if found or world.now_ns >= until_ns:
            need(lease)
            return found


class Ear:
    """Whether a thread may still hand on what it hears."""

    def __init__(self) -> None:
        self._looked_ns = -GLANCE_NS
        self._is_ours = True

    def is_ours(self, lease: Lease | None) -> bool:
        """Return whether the board was ours a moment ago; a pool that cannot be read counts as lost."""
        if lease is None:
            return True
        now_ns = time.monotonic_ns()
        if now_ns - self._looked_ns >= GLANCE_NS:
            try:
                self._is_ours = lease.why_lost() is None
            except LeaseError:
                self._is_ours = False
            self._looked_ns = now_ns
        return self._is_ours


class LeasedSwitch(Switch):
    """A switch of a shared board."""

    def __init__(self, switch: Switch, lease: Lease) -> None:
        self._switch = switch
        self._lease = lease

    def set(self, *, on: bool) -> None:
        """Switch; until that is done the board goes to nobody else. Raises: LeaseLostError, RigError."""
        with self._lease.holding():
            self._switch.set(on=on)

    def close(self) -> None:
        """Give back what it holds."""
        self._switch.close()
