"""Connection slots of one adapter: a bounded number, each leased to an owner for a time. Pure.

A controller holds only so many links, and BlueZ says nothing until one more is tried. A lease that nobody keeps or
gives back ends by itself, so that no fault can use a slot up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NS_PER_S: Final = 1_000_000_000


@dataclass(slots=True, eq=False)
class Lease:
    """One slot in somebody's hands."""

    owner: str
    since_ns: int
    expires_ns: int | None  # None: as long as the link lives


class Slots:
    """The slots of one adapter."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._leases: list[Lease] = []

    def lease(self, owner: str, now_ns: int, for_ns: int) -> Lease | None:
        """Return a slot for `for_ns`, None when all are taken."""
        self._leases = self._held(now_ns)
        if len(self._leases) >= self.count:
            return None
        lease = Lease(owner, now_ns, now_ns + for_ns)
        self._leases.append(lease)
        return lease

    def keep(self, lease: Lease) -> bool:
        """Hold a slot until it is given back; False when its time was over before."""
        lease.expires_ns = None
        return lease in self._leases

    def limit(self, lease: Lease, now_ns: int, for_ns: int) -> None:
        """Let a slot end by itself in `for_ns`: its link is being closed."""
        lease.expires_ns = now_ns + for_ns

    def give_back(self, lease: Lease) -> None:
        """Free a slot; once more does nothing."""
        if lease in self._leases:
            self._leases.remove(lease)

    def next_end_ns(self) -> int | None:
        """Return when the first lease ends by itself, None if none will."""
        return min((lease.expires_ns for lease in self._leases if lease.expires_ns is not None), default=None)

    def owners(self, now_ns: int) -> dict[str, float]:
        """Return who holds a slot, and for how many seconds so far. Looks only: any thread may ask."""
        return {lease.owner: (now_ns - lease.since_ns) / NS_PER_S for lease in self._held(now_ns)}

    def used(self, now_ns: int) -> int:
        """Return how many slots are taken. Looks only."""
        return len(self._held(now_ns))

    def _held(self, now_ns: int) -> list[Lease]:
        return [lease for lease in self._leases if lease.expires_ns is None or lease.expires_ns > now_ns]
