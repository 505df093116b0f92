"""Layer 6: devices nobody named: every address heard that fits a profile becomes a device of its own.

At most `limit` are held at a time; one that is silent for long is let go, and for a new one another makes room: the one
silent longest if it is stale, else one that was heard only once, else the one silent longest. So a flood of addresses
that speak once drives out its own kind. What left is remembered by a stub (`stubs`) and has its name and numbers again
on its next frame. One that had to make room comes back when there is room, or after a minute: where more speak than
there is room for, the same few stay. No I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Final

from gateway.clock import Clock, SystemClock
from gateway.frame import Address, Element
from gateway.lifecycle import State
from gateway.profile.build import CompiledProfile
from gateway.profile.model import MatchSpec
from gateway.runtime.device import Device
from gateway.runtime.message import ADVERTISEMENT
from gateway.runtime.parting import Known, number, stub_of
from gateway.runtime.stubs import Numbers, Origin, Stub, Stubs, packed, unpacked

REST_NS: Final = 60_000_000_000  # for so long an address that had to make room drives out nobody
MAX_RESTING: Final = 4096  # addresses
IDLE_TIMES: Final = 10  # of the longest `stale_after`: a beacon that comes back within that was never away
RENAMED: Final = "its name is another device's"
IDLE_LEAST_NS: Final = 60_000_000_000
TURNOVER_LEAST: Final = 16  # devices that may drive out others in a minute, however small the limit
LOOKED_AT: Final = 32  # devices in search of one that can go
_MINUTE_NS: Final = 60_000_000_000
_SHORT: Final = 4  # digits of an address in a name, where they tell devices apart

log = logging.getLogger(__name__)

Make = Callable[[str, str], Device]  # from the device's name and address


class _Seat:
    """The place of one device."""

    __slots__ = ("device", "heard_ns", "round")

    def __init__(self, device: Device) -> None:
        self.device = device
        self.heard_ns = 0  # monotonic
        self.round = 0  # in which call of `owners` it was heard last


class Discovery:
    """One `[discover.NAME]` on one port."""

    def __init__(
        self,
        name: str,
        profile: CompiledProfile,
        limit: int,
        make: Make,
        *,
        named: Collection[str] = (),
        taken: Collection[str] = (),
        clock: Clock | None = None,
        stubs: Stubs | None = None,
    ) -> None:
        """Take how a device is made; `named` are addresses that have a device of their own, `taken` names of devices.

        `on_appeared` and `on_evicted` are called with each device that comes and goes; `is_held` tells of one that must
        not go now.
        """
        self.name = name
        self.profile = profile
        self.stubs = Stubs() if stubs is None else stubs  # those that left
        self.devices: list[Device] = []
        self.evicted = 0  # devices that had to make room, since the gateway started
        self.idle = 0  # devices that left because they were silent
        self.returned = 0  # devices that came back
        self.refused = 0  # frames of addresses for which there was no room
        self.on_appeared: Callable[[Device], None] = _nobody
        self.on_evicted: Callable[[Device], None] = _nobody
        self.is_held: Callable[[Device], bool] = _never
        self._limit = limit
        self._make = make
        self._clock = clock or SystemClock()
        self._named = frozenset(address.upper() for address in named)
        self._taken = frozenset(taken)
        self._names: dict[str, str] = {}  # of the devices that are here, with their addresses
        self._regular: dict[str, _Seat] = {}  # by address, the one silent longest first
        self._once: dict[str, _Seat] = {}  # those heard once, likewise
        self._resting: dict[str, int] = {}  # addresses that made room, and until when they drive out nobody
        self._turnover = _Turnover(max(limit, TURNOVER_LEAST))
        self._round = 0
        self._idle_ns = 0
        self._has_warned = False

    @property
    def limit(self) -> int:
        """Return how many devices are held at most."""
        return self._limit

    def keep_clear_of(self, taken: Collection[str]) -> None:
        """Give none of these names from now on; who has one goes, and comes again under another."""
        self._taken = frozenset(taken)
        for name in self._taken.intersection(self._names):
            self._let_go(self._names[name], RENAMED)

    def let_all_go(self, why: str) -> None:
        """Let everybody go."""
        for address in [*self._once, *self._regular]:
            self._let_go(address, why)

    def owners(
        self, addresses: Sequence[Address], names: Sequence[str | None], now_ns: int
    ) -> list[tuple[Device, list[int]]]:
        """Return each device with the places of its frames; who is new is made. `names`: what messages they are."""
        places: dict[str, list[int]] = {}
        for place, (element, name) in enumerate(zip(addresses, names, strict=True)):
            if name is not None and isinstance(element, Element) and self._is_meant(element):
                places.setdefault(element.address, []).append(place)
        self._round += 1
        found = []
        for address, kept in places.items():
            device = self._device(address, now_ns)
            if device is not None:
                found.append((device, kept))
            else:
                self.refused += len(kept)
        return found

    def let_idle_go(self, now_ns: int, at_most: int) -> bool:
        """Let devices go that were silent for long, `at_most` of them; return whether there may be more."""
        idle_ns = self._idle_ns or self._measured()
        left = at_most
        self._round += 1
        for seats in (self._once, self._regular):
            due = []
            for address, seat in seats.items():
                if now_ns - seat.heard_ns <= idle_ns or not left:
                    break
                if _is_idle(seat.device, now_ns, idle_ns) and self._may_go(seat):
                    due.append(address)
                    left -= 1
            for address in due:
                self._let_go(address, "idle")
                self.idle += 1
        return not left

    def learn(self, known: Known) -> Device | None:
        """Take a device that the ledger remembers; return it if it is here already, as itself.

        One whose name another has meanwhile is forgotten.
        """
        sequences = tuple(known.sequences.get(name, 0) for name in self._message_names())
        numbers = packed(Numbers(known.first_seen_ns, (0, 0, 0, 0), sequences))
        stub = Stub(known.address, known.name, numbers, known.seq)
        seat = self._regular.get(stub.address) or self._once.get(stub.address)
        if seat is not None and seat.device.name == stub.name and (origin := seat.device.origin) is not None:
            origin.stub, origin.first_seen_ns = stub, known.first_seen_ns
            return seat.device
        if seat is not None or stub.name in self._names or stub.name in self._taken or self.stubs.named(stub.name):
            self.stubs.forgotten += 1
        elif stub.address.upper() not in self._named:
            self.stubs.put(stub)
        return None

    def like(self, stub: Stub) -> Device:
        """Return the device that a stub stands for, to be looked at: it is nobody's, and hears nothing."""
        return self._made(stub.name, stub.address, stub)

    def as_json(self) -> dict[str, Any]:
        """Return the object that `status --json` shows."""
        return {
            "name": self.name,
            "devices": len(self.devices),
            "limit": self._limit,
            "evicted": self.evicted,
            "idle": self.idle,
            "returned": self.returned,
            "refused": self.refused,
            "remembered": len(self.stubs),
            "forgotten": self.stubs.forgotten,
            "lost": self.stubs.lost,
        }

    def _is_meant(self, element: Element) -> bool:
        match = self.profile.profile.link.match
        return element.address.upper() not in self._named and (match is None or name_fits(match, element))

    def _device(self, address: str, now_ns: int) -> Device | None:
        seat = self._regular.pop(address, None)
        seats = self._regular
        if seat is None and (seat := self._once.pop(address, None)) is None:
            is_full = len(self._regular) + len(self._once) >= self._limit
            if is_full and not self._made_room_for(address, now_ns):
                return None
            stub = self.stubs.take(address)
            if stub is not None and stub.name in self._taken:
                stub = None  # its name is another's by now
            seat = _Seat(self._made(stub.name if stub is not None else self._name_for(address), address, stub))
            self._names[seat.device.name] = address
            self.devices.append(seat.device)
            self.returned += stub is not None
            log.info("%s: %s by %s", seat.device.name, "discovered" if stub is None else "heard again", self.name)
            self.on_appeared(seat.device)
            seats = self._once if stub is None else self._regular
        seat.heard_ns = now_ns
        seat.round = self._round
        seats[address] = seat  # now the one heard last
        return seat.device

    def _made(self, name: str, address: str, stub: Stub | None) -> Device:
        device = self._make(name, address)
        first_seen_ns = self._clock.wall_ns() if stub is None else unpacked(stub.numbers).first_seen_ns
        device.origin = Origin(self.name, address, first_seen_ns, stub)
        if stub is not None:
            number(device, stub)
        return device

    def _made_room_for(self, address: str, now_ns: int) -> bool:
        """Let another go, unless `address` had to go itself a short while ago or too many came already."""
        is_resting = now_ns < self._resting.get(address, now_ns)
        victim = None if is_resting or not self._turnover.has_room(now_ns) else self._victim(now_ns)
        if victim is None:
            if not self._has_warned:
                self._has_warned = True
                log.warning("%s hears more than the %d devices that it has room for; raise its `limit`", *self._words())
            return False
        self._turnover.took()
        name = self._let_go(victim, "made room")
        self.evicted += 1
        self._resting.pop(address, None)
        self._resting[victim] = now_ns + REST_NS
        if len(self._resting) > MAX_RESTING:
            del self._resting[next(iter(self._resting))]
        log.info("%s: evicted from %s, which holds %d devices", name, *self._words())
        return True

    def _victim(self, now_ns: int) -> str | None:
        """Return the address of who makes room; None: all of them are busy."""
        firsts = [next(self._goers(seats), None) for seats in (self._once, self._regular)]
        found = [first for first in firsts if first is not None]
        if not found:
            return None
        address, seat = min(found, key=lambda each: each[1].heard_ns)
        return address if now_ns - seat.heard_ns > seat.device.stale_after_ns else found[0][0]

    def _goers(self, seats: dict[str, _Seat]) -> Iterator[tuple[str, _Seat]]:
        return (each for each in islice(seats.items(), LOOKED_AT) if self._may_go(each[1]))

    def _may_go(self, seat: _Seat) -> bool:
        """Return whether nothing is under way for a device, and nobody has said where it should stand."""
        device = seat.device
        is_busy = seat.round == self._round or device.in_hand or not device.is_wanted or device.has_stored
        return not is_busy and not self.is_held(device)

    def _let_go(self, address: str, why: str) -> str:
        seat = self._regular.pop(address, None) or self._once.pop(address)
        device = seat.device
        self.devices.remove(device)
        del self._names[device.name]
        assert device.origin is not None
        device.origin.why_left = why
        self.on_evicted(device)
        self.stubs.put(device.origin.parting or stub_of(device))
        return device.name

    def _measured(self) -> int:
        """Return how long a device may be silent before it goes, in nanoseconds."""
        device = next(iter(self.devices), None)
        if device is None:
            return IDLE_LEAST_NS
        longest_ns = max(device.stale_after_ns, *(message.stale_after_ns for message in device.all_messages()))
        self._idle_ns = max(IDLE_LEAST_NS, IDLE_TIMES * longest_ns)
        return self._idle_ns

    def _message_names(self) -> list[str]:
        profile = self.profile.profile
        names = [name for name, spec in profile.message.items() if spec.direction != "out"]
        return [*names, ADVERTISEMENT] if profile.link.bus == "ble" else names

    def _words(self) -> tuple[str, int]:
        return self.name, self._limit

    def _name_for(self, address: str) -> str:
        """Return NAME-<last four of the address>, with more of it where another device is or was called so."""
        digits = "".join(each for each in address.lower() if each.isalnum())
        for size in range(_SHORT, len(digits)):
            name = f"{self.name}-{digits[-size:]}"
            if name not in self._names and name not in self._taken and self.stubs.named(name) is None:
                return name
        return f"{self.name}-{digits}"


class _Turnover:
    """How many may drive out others: in a minute as many as there is room for, together or one by one."""

    __slots__ = ("_left", "_most", "_since_ns")

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = float(most)
        self._since_ns: int | None = None

    def has_room(self, now_ns: int) -> bool:
        """Return whether one more may."""
        if self._since_ns is not None:
            self._left = min(self._most, self._left + max(0, now_ns - self._since_ns) / _MINUTE_NS * self._most)
        self._since_ns = now_ns
        return self._left >= 1

    def took(self) -> None:
        """Take that one did."""
        self._left -= 1


def name_fits(match: MatchSpec, element: Element) -> bool:
    """Return whether an element's device may be one that `link.match` describes, as far as a name says."""
    return match.name is None or (element.name is not None and fnmatchcase(element.name, match.name))


def _is_idle(device: Device, now_ns: int, idle_ns: int) -> bool:
    """Return whether a silence is the device's own: its port has been open for as long."""
    life = device.lifecycle
    return life.state is State.CONNECTED and now_ns - life.since_ns > idle_ns


def _nobody(_device: Device) -> None:
    """Nobody wants to know."""


def _never(_device: Device) -> bool:
    return False
