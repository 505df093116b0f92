"""Layer 6: what stands between the frames of a packet port and the messages of one device.

CAN segments are joined, sealed advertisements opened, SPI transfers named by what was sent. No I/O: what a transport
owes the other side (flow control) waits in `replies` until the pipeline writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple, Protocol

from gateway.frame import CAN_ERROR, CAN_REMOTE, MAX_GARBAGE_BYTES, Address, Element, Garbage
from gateway.framing.build import CanJoiner, build_joiner
from gateway.profile.build import CompiledProfile
from gateway.profile.unseal import Unsealer
from gateway.runtime.isotp import IsoTpLink
from gateway.schema.identity import stuck_level
from gateway.schema.transfer import Transfers

_NO_DATA: Final = CAN_REMOTE | CAN_ERROR


class Found(NamedTuple):
    """One body as messages see it."""

    payload: bytes
    address: Address
    name: str | None = None  # the message, where the transport knows it


class Transport(Protocol):
    """What one device's frames pass before they are matched."""

    replies: list[tuple[bytes, int]]  # data and CAN id, to be written soon, oldest first

    def feed(self, payload: bytes, address: Address, now_ns: int) -> list[Found | Garbage]:
        """Return what a frame completes, and what will never be a body."""
        ...

    def gap(self) -> list[Garbage]:
        """Return what is left of bodies that will not be completed: the port was lost."""
        ...


class CanTransport:
    """ISO-TP, J1939 or fast packets, joined."""

    def __init__(self, joiner: CanJoiner, link: IsoTpLink | None = None) -> None:
        """Take the joiner, and what answers for us on ISO-TP."""
        self.replies: list[tuple[bytes, int]] = [] if link is None else link.replies
        self._joiner = joiner
        self._link = link

    def feed(self, payload: bytes, address: Address, now_ns: int) -> list[Found | Garbage]:
        """Return the messages that this frame completes; a frame without data, or of no CAN bus, passes."""
        if not isinstance(address, int) or address & _NO_DATA:
            return [Found(payload, address)]  # no message matches it: it will be counted as unknown
        joined = self._joiner.feed(address, payload, now_ns)
        if self._link is not None:
            self._link.heard(address, payload)
        return [each if isinstance(each, Garbage) else Found(each.payload, each.can_id) for each in joined]

    def gap(self) -> list[Garbage]:
        """Return what is left of messages under way."""
        return [piece for piece in self._joiner.gap() if isinstance(piece, Garbage)]


class SealedTransport:
    """Encrypted advertisements, opened; "no key", "wrong key" and "replayed" are told apart."""

    def __init__(self, unsealer: Unsealer) -> None:
        """Take what holds the key and the counters."""
        self.replies: list[tuple[bytes, int]] = []
        self._unsealer = unsealer

    def feed(self, payload: bytes, address: Address, now_ns: int) -> list[Found | Garbage]:
        """Return the plain body; elements of other kinds pass."""
        del now_ns
        if not isinstance(address, Element):
            return [Found(payload, address)]
        opened = self._unsealer.open(payload, address)
        if isinstance(opened, str):
            return [Garbage(payload[:MAX_GARBAGE_BYTES], opened)]
        return [Found(opened.body, address)]

    def gap(self) -> list[Garbage]:
        """Return nothing: every element is whole."""
        return []


class SpiTransport:
    """Transfers, named by what was clocked out.

    All bits equal is what a line says that nobody drives. From a device that can be told by its identity such a body is
    refused and `doubt` called; it passes when the device has shown itself (`trust`), until it says something else.
    """

    def __init__(self, transfers: Transfers, *, doubtful: Collection[str] = ()) -> None:
        """Take the profile's transfers; `doubtful`: the messages that are held to this."""
        self.replies: list[tuple[bytes, int]] = []
        self.doubt: Callable[[], None] = _nobody
        self._transfers = transfers
        self._doubtful = doubtful
        self._trusted = ""  # the level that has been shown to be the device's own
        self._doubted = ""

    def feed(self, payload: bytes, address: Address, now_ns: int) -> list[Found | Garbage]:
        """Return the message's body: what came after the address bytes, or all of a full-duplex transfer."""
        del now_ns
        if not isinstance(address, bytes):
            return [Found(payload, address)]
        read = self._transfers.read(address, payload)
        if isinstance(read, Garbage):
            return [read]
        name, body = read
        level = stuck_level(body) if len(body) > 1 and name in self._doubtful else ""
        if level and level != self._trusted:
            self._doubted = level
            self.doubt()
            return [Garbage(body[:MAX_GARBAGE_BYTES], f"stuck {level}")]
        if not level and name in self._doubtful:
            self._trusted = ""
        return [Found(body, address, name)]

    def trust(self) -> None:
        """The device has shown itself since it was doubted."""
        self._trusted = self._doubted

    def gap(self) -> list[Garbage]:
        """Return nothing: every transfer is whole."""
        return []


def transport_of(profile: CompiledProfile, link: IsoTpLink | None = None) -> Transport | None:
    """Return a new transport for one device on one open port; None: its frames are bodies as they come.

    `link`: our side of ISO-TP, where the port takes writes.
    """
    document = profile.profile
    match document.link.bus:
        case "spi":
            steps = document.lifecycle.connect
            asked = [name for name, spec in document.message.items() if spec.every not in {"never", "connect"}]
            return SpiTransport(profile.transfers(), doubtful=asked if steps and steps[0].ask is not None else ())
        case "ble":
            unsealer = profile.unsealer()
            return None if unsealer is None else SealedTransport(unsealer)
        case "can":
            fast = {spec.when.pgn for spec in document.message.values() if spec.when.fast and spec.when.pgn is not None}
            joiner = build_joiner(document.framing, fast)
            return None if joiner is None else CanTransport(joiner, link)
        case _:
            return None


def _nobody() -> None:
    """Nobody wants to know."""
