"""The faults of one test: added, striking, in force, gone. Each strike is a record of the trace.

A bus says once with `attach` what it does when a state begins and ends or an event happens, and asks with `passing`
which faults strike what passes; what such a fault does to it is the bus's own.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from gateway.spelling import did_you_mean
from hil.faults.catalogue import ABOVE_BUSES, HOMES, KINDS, Acts, Kind, kind_of, read_params
from hil.faults.schedule import WAITING, Hit, Schedule, Trigger

__tracebackhide__ = True  # pytest shows the line of the test instead


class Timer(Protocol):
    """Something that will be done."""

    def cancel(self) -> None:
        """Do not."""


class Surroundings(Protocol):
    """What faults need of a rig's world."""

    @property
    def seed(self) -> int:
        """Of all that is left to chance."""

    @property
    def now_ns(self) -> int:
        """On the trace's time."""

    def at(self, at_ns: int, action: Callable[[], None]) -> Timer:
        """Do something at a time of the trace."""

    def record(self, bus: str, direction: str, kind: str, data: bytes = b"", **extra: Any) -> None:
        """Write into the trace."""

    def watch(self, passed: Callable[[bytes], None]) -> None:
        """Call `passed` with what is received and sent on any bus, once that is in the trace."""


class Place(NamedTuple):
    """A bus on which faults can be, with what it does about them."""

    protocol: str
    begin: Callable[[Fault], None]  # a state begins, an event happens
    end: Callable[[Fault], None]  # a state ends
    kinds: Collection[str]  # those that it can


class Strike(NamedTuple):
    """That a fault struck: enough to have this one again."""

    ordinal: int
    hit: int  # from 0
    passed: int  # how many passed before it since the fault was added
    t_ns: int


@dataclass(eq=False, repr=False)
class Fault:
    """One fault that a test added; `hits` says how often it struck."""

    kind: str
    bus: str
    params: dict[str, Any]
    """Its own parameters, read: durations in ns, data as bytes."""
    given: dict[str, Any]
    """All parameters as the test wrote them, fit for JSON."""
    ordinal: int
    trigger: Trigger
    chance: random.Random
    """For what it does, not for when it strikes."""
    _faults: Faults
    is_in_force: bool = False
    is_removed: bool = False
    timers: list[Timer] = field(default_factory=list)
    struck: int = 0

    @property
    def hits(self) -> int:
        """How often it struck."""
        return self.struck

    def __repr__(self) -> str:
        """Return what a failed assertion shows of it."""
        given = "".join(f", {name}={value!r}" for name, value in self.given.items())
        return f"<fault {self.kind!r} on {self.bus}{given}: {self.hits} hits>"

    def lasts_ns(self, standard_ns: int) -> int:
        """Return how long an event takes that takes its time: as long as the test said, or the standard."""
        given_ns = self.trigger.schedule.duration_ns
        return standard_ns if given_ns is None else given_ns

    def remove(self) -> None:
        """End it; once more does nothing."""
        self._faults.remove(self)


class Faults:
    """All faults of one test over the buses of one rig."""

    def __init__(self, around: Surroundings, *, only: Collection[tuple[int, int]] | None = None) -> None:
        """Take the world; `only`: the strikes (ordinal, hit) that happen, to find those that matter; None: all."""
        self._around = around
        self._only = only
        self._places: dict[str, Place] = {}
        self._added: list[Fault] = []
        self.strikes: list[Strike] = []
        around.watch(self._anywhere)

    def attach(
        self,
        bus: str,
        protocol: str,
        begin: Callable[[Fault], None],
        end: Callable[[Fault], None],
        kinds: Collection[str] = tuple(KINDS),
    ) -> None:
        """Take in a bus."""
        self._places[bus] = Place(protocol, begin, end, kinds)

    def add(self, kind: str, **params: Any) -> Fault:
        """Add a fault; with no `at`, `after`, `probability` and `pattern` a state begins and an event happens now.

        Without `bus` it is on the first that fits.

        Raises: ValueError naming what is wrong and the nearest spelling.
        """
        known = kind_of(kind)
        own = read_params(known, params)
        bus = self._bus_of(known, params.get("bus"))
        schedule = Schedule.of(known, _armed(known, own, params), self._around.now_ns)
        self._refuse_contradiction(known, bus)
        ordinal = len(self._added)
        chance = random.Random(f"{self._around.seed}/{ordinal}/{kind}")  # noqa: S311 - reproducible on purpose
        trigger = Trigger(schedule, known, random.Random(chance.random()), self._around.now_ns)  # noqa: S311
        given = {name: _plain(value) for name, value in params.items() if name != "bus"}
        fault = Fault(kind, bus, own, given, ordinal, trigger, chance, self)
        self._added.append(fault)
        if known.acts is not Acts.PASS and not schedule.waits_for_traffic:
            self._plan(fault, schedule)
        return fault

    @property
    def active(self) -> list[Fault]:
        """Those that are in force or may strike yet."""
        return [fault for fault in self._added if self._is_active(fault)]

    @property
    def added(self) -> list[Fault]:
        """All that the test added, in order, gone or not."""
        return list(self._added)

    def in_force(self, bus: str, kind: str) -> Fault | None:
        """Return the state of that kind in which the bus is."""
        return next(
            (fault for fault in self._added if fault.is_in_force and (fault.bus, fault.kind) == (bus, kind)), None
        )

    def passing(self, bus: str, data: bytes, kinds: Collection[str] = tuple(KINDS), doing: str = "any") -> list[Fault]:
        """Return which faults of these kinds change `data`, which passes on `bus` now, in the order they were added.

        States and events that waited for traffic begin or happen; those that wait for a certain one, for `doing`.
        """
        struck: list[Fault] = []
        twins: Counter[str] = Counter()  # those of one kind that strike this
        for fault in [each for each in self._added if not each.is_removed and each.bus == bus and each.kind in kinds]:
            is_waiting = fault.trigger.schedule.waits_for_traffic and not fault.is_in_force
            acts = KINDS[fault.kind].acts
            if fault.is_removed or not (acts is Acts.PASS or is_waiting):
                continue
            if fault.params.get("during", "any") not in {"any", doing}:
                continue
            if not fault.trigger.strikes(self._around.now_ns, data):
                continue
            if acts is Acts.PASS:
                if self._strike(fault, data, fault.trigger.hit, twins[fault.kind] + 1):
                    twins[fault.kind] += 1
                    struck.append(fault)
            else:
                self._happen(fault, data, fault.trigger.hit)
        return struck

    def remove(self, fault: Fault) -> None:
        """End a fault."""
        if fault.is_removed:
            return
        fault.is_removed = True
        for timer in fault.timers:
            timer.cancel()
        self._end(fault)

    def clear(self) -> None:
        """End all."""
        for fault in self._added:
            self.remove(fault)

    # ---- how one strikes

    def _anywhere(self, data: bytes) -> None:
        """Let what waits for what passes on any bus happen behind that."""
        now_ns = self._around.now_ns
        for fault in self._added:
            is_waiting = fault.kind in ABOVE_BUSES and fault.trigger.schedule.waits_for_traffic
            if is_waiting and not fault.is_removed and fault.trigger.strikes(now_ns, data):
                happens = partial(self._happen, fault, data, fault.trigger.hit)
                fault.timers.append(self._around.at(now_ns, happens))

    def _plan(self, fault: Fault, schedule: Schedule) -> None:
        times = 1 if KINDS[fault.kind].acts is Acts.STATE else schedule.count or 1

        def happen() -> None:
            for _ in range(times):
                fault.trigger.hits += 1
                self._happen(fault, b"", fault.trigger.hit)

        if schedule.at_ns is None or schedule.at_ns <= self._around.now_ns:
            happen()
        else:
            fault.timers.append(self._around.at(schedule.at_ns, happen))

    def _happen(self, fault: Fault, data: bytes, hit: Hit) -> None:
        if fault.is_removed or not self._strike(fault, data, hit):
            return
        if KINDS[fault.kind].acts is Acts.STATE:
            fault.is_in_force = True
            lasts_ns = fault.trigger.schedule.duration_ns
            if lasts_ns is not None:
                fault.timers.append(self._around.at(self._around.now_ns + lasts_ns, lambda: self._end(fault)))
        self._places[fault.bus].begin(fault)

    def _end(self, fault: Fault) -> None:
        if fault.is_in_force:
            fault.is_in_force = False
            self._around.record(fault.bus, "note", "note", text=f"{fault.kind} ends")
            self._places[fault.bus].end(fault)

    def _strike(self, fault: Fault, data: bytes, hit: Hit, twin: int = 0) -> bool:
        """Count and record a strike; return whether it happens.

        What it does by chance depends on what it strikes, not on strikes before it: so the few that are left of a
        minimised schedule do what they did among all.
        """
        if self._only is not None and (fault.ordinal, hit.number) not in self._only:
            return False
        place = f"{self._around.seed}/{fault.bus}/{fault.kind}/{hit.passed}/{twin or hit.number}"
        fault.chance = random.Random(place)  # noqa: S311 - reproducible on purpose
        fault.struck += 1
        self.strikes.append(Strike(fault.ordinal, hit.number, hit.passed - 1, self._around.now_ns))
        self._around.record(fault.bus, "fault", fault.kind, data, params=fault.given, **self._effect(fault))
        return True

    @staticmethod
    def _effect(fault: Fault) -> dict[str, Any]:
        """Return what the trace says beside the parameters: a difference in stop bits alone changes nothing."""
        return {"effect": "none: a receiver looks at the first stop bit only"} if fault.kind == "stop" else {}

    # ---- what may be added

    def _is_active(self, fault: Fault) -> bool:
        if fault.is_removed:
            return False
        if fault.is_in_force:
            return True
        schedule = fault.trigger.schedule
        if KINDS[fault.kind].acts is not Acts.PASS and not schedule.waits_for_traffic:
            return fault.trigger.hits == 0
        if KINDS[fault.kind].acts is Acts.STATE and fault.trigger.hits and schedule.count is None:
            return schedule.probability is not None or schedule.pattern is not None
        return not fault.trigger.is_over(self._around.now_ns)

    def _bus_of(self, kind: Kind, bus: Any) -> str:
        if kind.protocols == ("",):
            home = HOMES[kind.name]
            if bus not in (None, home):
                raise ValueError(f"fault {kind.name!r} is on no bus; leave `bus` out")
            return home
        fitting = [name for name, place in self._places.items() if place.protocol in kind.protocols]
        if bus is None:
            if not fitting:
                raise ValueError(
                    f"fault {kind.name!r} needs a bus of {' '.join(kind.protocols)}, and there is none here"
                )
            bus = fitting[0]
        place = self._places.get(bus)
        if place is None:
            raise ValueError(f"no bus {bus!r} here{did_you_mean(str(bus), fitting or self._places)}")
        if place.protocol not in kind.protocols:
            near = [each.name for each in KINDS.values() if place.protocol in each.protocols]
            raise ValueError(
                f"fault {kind.name!r} is one of {' '.join(kind.protocols)}, and {bus} is {place.protocol}"
                f"{did_you_mean(kind.name, near)}; there: {', '.join(fitting) or 'none'}"
            )
        if kind.name not in place.kinds:
            raise ValueError(
                f"this rig cannot do {kind.name!r} on {bus}, the simulated rig can; "
                f"here there are {', '.join(sorted(place.kinds))}"
            )
        return str(bus)

    def _refuse_contradiction(self, kind: Kind, bus: str) -> None:
        for other in self.active:
            if kind.excludes and other.bus == bus and KINDS[other.kind].excludes == kind.excludes:
                raise ValueError(
                    f"fault {kind.name!r} contradicts {other.kind!r}, which is active on {bus}; remove that one first"
                )


def _armed(kind: Kind, own: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schedule of an event that does not happen by itself.

    What interrupts something interrupts the next of that; what has a time to strike in strikes all that passes then.
    """
    if kind.acts is not Acts.EVENT or any(params.get(name) is not None for name in WAITING):
        return params
    if params.get("duration") is not None and not kind.lasts and kind.name not in HOMES:
        return {**params, "after": 0}
    return params if own.get("during", "any") == "any" else {"count": 1, **params, "after": 0}


def _plain(value: Any) -> Any:
    return bytes(value).hex() if isinstance(value, bytes | bytearray) else value
