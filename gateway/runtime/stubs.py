"""Layer 6: which devices a discovery remembers that are not held any more: a stub of each, bounded. Pure.

A stub is what must be known at once when its device speaks again: what it is called, how far its numbers came. Its
values lie in the ledger (`parting`); until they do, and where there is no ledger, the stub holds them itself, as long
as they all fit in `HELD_BYTES`.
"""

from __future__ import annotations

from struct import Struct, calcsize, pack, unpack_from
from typing import Final, NamedTuple

import msgspec

MOST: Final = 16_384  # devices remembered; what the ledger can tell apart at once (`fold.MAX_ROUTES`) is more
HELD_BYTES: Final = 1 << 20  # of values that are in no ledger

_HEAD: Final = Struct("<5q")


class Numbers(NamedTuple):
    """How far a device's numbers came."""

    first_seen_ns: int  # wall clock
    frames: tuple[int, int, int, int]  # in, delivered, dropped, refused; of this run
    sequences: tuple[int, ...]  # of its messages, in the order in which its profile gives them


def packed(numbers: Numbers) -> bytes:
    """Return numbers as a stub holds them."""
    sequences = numbers.sequences
    return _HEAD.pack(numbers.first_seen_ns, *numbers.frames) + pack(f"<{len(sequences)}q", *sequences)


def unpacked(data: bytes) -> Numbers:
    """Return the numbers of a stub."""
    first_seen_ns, *frames = _HEAD.unpack_from(data)
    count = (len(data) - _HEAD.size) // calcsize("<q")
    return Numbers(first_seen_ns, (frames[0], frames[1], frames[2], frames[3]), unpack_from(f"<{count}q", data, 40))


class Stub(msgspec.Struct, gc=False):
    """What is left in memory of a device that is not held any more."""

    address: str
    name: str
    numbers: bytes  # `packed`
    seq: int = 0  # of the record that holds its values; 0: there is none, or it is under way
    body: bytes | None = None  # that record's body, as long as it is in no ledger


class Stubs:
    """The stubs of one discovery, the one that left first in front."""

    def __init__(self, most: int = MOST, held_bytes: int = HELD_BYTES) -> None:
        """Take how many there may be, and how many bytes of values they may hold together."""
        self.forgotten = 0  # devices of which nothing is known any more: their places were needed
        self.lost = 0  # devices whose values found no room while there was no ledger to take them
        self._most = most
        self._held_most = held_bytes
        self._stubs: dict[str, Stub] = {}  # by address
        self._by_name: dict[str, Stub] = {}
        self._held: dict[str, Stub] = {}  # those with a body, by address, the oldest first
        self._held_bytes = 0

    def __len__(self) -> int:
        """Return how many devices are remembered."""
        return len(self._stubs)

    def __contains__(self, address: str) -> bool:
        """Return whether the device of an address is remembered."""
        return address in self._stubs

    def put(self, stub: Stub) -> None:
        """Remember a device; the one that left first is forgotten where there are too many."""
        self.take(stub.address)
        self._stubs[stub.address] = stub
        self._by_name[stub.name] = stub
        if stub.body is not None:
            self._held[stub.address] = stub
            self._held_bytes += len(stub.body)
        while self._held_bytes > self._held_most:
            self._let_go(next(iter(self._held.values())))
            self.lost += 1
        if len(self._stubs) > self._most:
            self.take(next(iter(self._stubs)))
            self.forgotten += 1

    def take(self, address: str) -> Stub | None:
        """Return the stub of an address, which is a device again; None where nothing is remembered of it."""
        stub = self._stubs.pop(address, None)
        if stub is not None:
            del self._by_name[stub.name]
            if self._held.pop(address, None) is not None and stub.body is not None:
                self._held_bytes -= len(stub.body)
        return stub

    def named(self, name: str) -> Stub | None:
        """Return the stub of that name."""
        return self._by_name.get(name)

    def held(self) -> list[Stub]:
        """Return the stubs whose values are in no ledger yet, as far as is known."""
        return list(self._held.values())

    def settled(self, stub: Stub, seq: int) -> None:
        """Take that a stub's values are on the medium."""
        stub.seq = seq
        if self._held.get(stub.address) is stub:
            self._let_go(stub)

    def _let_go(self, stub: Stub) -> None:
        del self._held[stub.address]
        assert stub.body is not None
        self._held_bytes -= len(stub.body)
        stub.body = None


class Origin:
    """Where a device comes from that nobody named, and what is known of its earlier times."""

    __slots__ = ("address", "discovery", "earlier", "first_seen_ns", "is_awaited", "parting", "stub", "why_left")

    def __init__(self, discovery: str, address: str, first_seen_ns: int, stub: Stub | None = None) -> None:
        self.discovery = discovery
        self.address = address
        self.first_seen_ns = first_seen_ns  # wall clock
        self.stub = stub  # what was remembered when it came back
        self.earlier = (0, 0, 0, 0)  # frames in, delivered, dropped, refused before it left, in this run
        self.is_awaited = False  # its values are on their way from the ledger
        self.why_left = ""
        self.parting: Stub | None = None  # what is to be remembered, now that it has left
