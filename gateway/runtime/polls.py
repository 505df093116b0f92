"""Layer 6: which message is asked next on one wire, and when. Decisions only: no I/O, no clock, no waiting.

Due times stand on a grid from the start, so that they never drift. Devices with something due take turns, the one that
waited longest first. A device that stays silent is asked ever more seldom and with one attempt only, and so is a
message that is refused or ignored; the first answer brings it back to its grid, after an outage with all of the
device's. After an unanswered request the device rests for as long as its answer may still be on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

NS: Final = 1_000_000_000
SLOWEST_NS: Final = 60 * NS  # a device that comes back is noticed within a minute
MOST_DOUBLINGS: Final = 16
_NEVER_NS: Final = 1 << 62
OUTAGE: Final = 2  # silent polls in a row that mean the device, not a message


class Poll(NamedTuple):
    """One message that is asked for."""

    device: str
    message: str
    every_ns: int | None  # None: once after connecting
    timeout_ns: int  # until the whole answer is here
    attempts: int


class Ask(NamedTuple):
    """Ask this now."""

    poll: Poll


class Wait(NamedTuple):
    """Nothing is due before; None: nothing ever will be."""

    until_ns: int | None


class _Device:
    __slots__ = ("asked_ns", "failures", "rests_until_ns", "shortest_ns")

    def __init__(self, shortest_ns: int) -> None:
        self.shortest_ns = shortest_ns  # of its periods
        self.asked_ns = -1  # when it had its last turn
        self.failures = 0  # silent polls in a row
        self.rests_until_ns = 0


class _State:
    __slots__ = ("attempt", "device", "due_ns", "origin_ns", "poll", "refusals")

    def __init__(self, poll: Poll, device: _Device, now_ns: int) -> None:
        self.poll = poll
        self.device = device
        self.origin_ns = now_ns
        self.due_ns: int | None = now_ns  # None: done
        self.attempt = 0
        self.refusals = 0  # polls in a row that were refused or stayed silent, all attempts included

    def ready_ns(self) -> int | None:
        return None if self.due_ns is None else max(self.due_ns, self.device.rests_until_ns)

    def slow_down(self, now_ns: int) -> None:
        """Be due the later, the more polls in a row gave nothing."""
        self.refusals += 1
        self.due_ns = now_ns + _slowed(self.poll.every_ns or NS, self.refusals)

    def to_grid(self, now_ns: int) -> None:
        """Be due at the next point of the grid; what was missed is not made up for."""
        every_ns = self.poll.every_ns
        if every_ns is not None:
            self.due_ns = self.origin_ns + ((now_ns - self.origin_ns) // every_ns + 1) * every_ns


class PollPlan:
    """The polls of one wire, from one opening of its port to the next."""

    def __init__(self, polls: Iterable[Poll], now_ns: int, devices: Iterable[str] = ()) -> None:
        """Take what is asked; everything is due at once. `devices`: who else may be held and released."""
        chosen = list(polls)
        self._devices = {
            name: _Device(min((poll.every_ns or NS for poll in chosen if poll.device == name), default=NS))
            for name in dict.fromkeys([*(poll.device for poll in chosen), *devices])
        }
        self._states = {poll: _State(poll, self._devices[poll.device], now_ns) for poll in chosen}

    def next(self, now_ns: int) -> Ask | Wait:
        """Return what to ask now, or how long nothing is due. Who asks says afterwards what came of it."""
        ready: list[_State] = []
        soonest: int | None = None
        for state in self._states.values():
            at_ns = state.ready_ns()
            if at_ns is None or at_ns >= _NEVER_NS:
                continue
            if at_ns <= now_ns:
                ready.append(state)
            elif soonest is None or at_ns < soonest:
                soonest = at_ns
        if not ready:
            return Wait(soonest)
        chosen = min(ready, key=lambda state: (state.device.asked_ns, state.due_ns))
        chosen.device.asked_ns = now_ns
        return Ask(chosen.poll)

    def answered(self, poll: Poll, now_ns: int) -> None:
        """The answer came."""
        state = self._states[poll]
        self._lives(state.device, now_ns)
        state.attempt = state.refusals = 0
        if poll.every_ns is None:
            state.due_ns = None
        else:
            state.to_grid(now_ns)

    def refused(self, poll: Poll, now_ns: int) -> None:
        """The device answered that it will not: only this message is asked more seldom."""
        state = self._states[poll]
        self._lives(state.device, now_ns)
        state.attempt = 0
        state.slow_down(now_ns)

    def silent(self, poll: Poll, now_ns: int) -> None:
        """No answer came in time: the next attempt, or the device is asked more seldom."""
        state = self._states[poll]
        device = state.device
        state.attempt += 1
        if state.attempt < poll.attempts and not device.failures:
            device.rests_until_ns = now_ns + poll.timeout_ns
            return
        state.attempt = 0
        device.failures += 1
        device.rests_until_ns = now_ns + max(poll.timeout_ns, _slowed(device.shortest_ns, device.failures))
        state.slow_down(now_ns)

    def hold(self, device: str) -> None:
        """Ask this device nothing until `release`: it is not connected."""
        self._devices[device].rests_until_ns = _NEVER_NS

    def release(self, device: str, now_ns: int) -> None:
        """The device has just been connected: everything of it is due."""
        state_of = self._devices[device]
        state_of.failures = state_of.rests_until_ns = 0
        for state in self._states.values():
            if state.device is state_of:
                state.attempt = state.refusals = 0
                state.origin_ns = state.due_ns = now_ns

    def failures(self, device: str) -> int:
        """Return how many polls of a device in a row stayed without answer, all attempts included."""
        return self._devices[device].failures

    def _lives(self, device: _Device, now_ns: int) -> None:
        if device.failures >= OUTAGE:  # fewer may be one message that it ignores
            for state in self._states.values():
                if state.device is device and state.refusals:
                    state.refusals = 0
                    state.due_ns = now_ns
        device.failures = 0
        device.rests_until_ns = 0


def _slowed(every_ns: int, failures: int) -> int:
    """Return the period after so many failures in a row: doubled for each, up to a minute, never below the nominal."""
    return max(every_ns, min(every_ns << min(failures, MOST_DOUBLINGS), SLOWEST_NS))
