"""Layer 6: what becomes of a desired value while it stands: cyclic commands, its end, and who must not fall silent.

`repeat` sends it again and again; `expires` ends it, `dead_man` ends it when nobody writes any more, and what follows
is `on_fail`: nothing, the value before, or the safe one. After a restart of gateway or device it moves nothing, unless
its profile says `restore`. What is set here is a command like any other, in the gateway's own name.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from gateway.clock import Clock
from gateway.notation import duration_ns
from gateway.profile.model import SetpointSpec
from gateway.profile.setpoint_value import Refusal
from gateway.profile.setpoint_wire import Write
from gateway.runtime.outlet import WayOut
from gateway.runtime.shadows import Twin

GATEWAY: Final = "service:gateway"
RESTORE: Final = "restore"  # why a value is set by itself: the device is back
HOUR_NS: Final = 3_600_000_000_000
_NS: Final = 1_000_000_000

log = logging.getLogger(__name__)

Setter = Callable[[Twin, str, Any, str], Awaitable[None]]  # device, setpoint, value (None: withdraw), why


class Stand:
    """One setpoint's desired value, from when it was taken to when it ends."""

    def __init__(self, twin: Twin, name: str, host: Standing) -> None:
        self.twin = twin
        self.name = name
        self._host = host
        self._before: Any = None  # what was desired, or else reported, before
        self._repeated: Any = None  # what is sent again and again; None: nothing is
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._writes: deque[tuple[int, int]] = deque()  # of a budget: when, and for how long the bus was ours

    @property
    def spec(self) -> SetpointSpec:
        """Return what the profile says."""
        return self.twin.setpoints[self.name].spec

    # ---- what happens

    def taken(self, value: Any, before: Any) -> None:
        """Take a value that somebody desires from now on, and what was there before."""
        self.stop()
        self._before = before
        self._repeated = value
        if self.spec.expires is not None:
            self._in("expires", duration_ns(self.spec.expires), self._expired)
        if self.spec.dead_man is not None:
            self._in("dead_man", duration_ns(self.spec.dead_man), self._fell_silent)

    def restored(self, value: Any) -> None:
        """Take that what stands is applied again; its time runs on."""
        self._repeated = value

    def written(self, held_ns: int) -> None:
        """Take that an attempt went out, and for how long it held the bus."""
        if self.spec.budget is not None:
            self._writes.append((self._host.clock.monotonic_ns(), held_ns))
        self._repeat_later()

    def up(self) -> None:
        """The device is back: apply what is desired again, where the profile says so and no open command will."""
        desired = self.twin.shadow.of(self.name).wanted
        if self.spec.restore and desired is not None and not self._host.is_trying(self.twin, self.name):
            self._host.spawn(self._host.setter(self.twin, self.name, desired, RESTORE))

    def pause(self) -> None:
        """Send nothing again by itself, until it is set again."""
        self._repeated = None
        if (timer := self._timers.pop("repeat", None)) is not None:
            timer.cancel()

    def stop(self) -> None:
        """End all that runs by itself."""
        self._repeated = None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # ---- budget

    def over_budget(self) -> str:
        """Return why no more may be written in this hour; "" where it may."""
        budget = self.spec.budget
        if budget is None:
            return ""
        since_ns = self._host.clock.monotonic_ns() - HOUR_NS
        while self._writes and self._writes[0][0] < since_ns:
            self._writes.popleft()
        if budget.per_hour is not None and len(self._writes) >= budget.per_hour:
            return f"{budget.per_hour} writes in an hour were made"
        held_ns = sum(held for _, held in self._writes)
        if budget.bus_time is not None and held_ns >= duration_ns(budget.bus_time):
            return f"{budget.bus_time} of bus time in an hour were taken"
        return ""

    # ---- timers

    def _in(self, what: str, span_ns: int, act: Callable[[], None]) -> None:
        if (old := self._timers.pop(what, None)) is not None:
            old.cancel()
        self._timers[what] = asyncio.get_running_loop().call_later(span_ns / _NS, act)

    def _expired(self) -> None:
        log.info("%s: its desired value has expired; on_fail = %s", self.twin.route(self.name), self.spec.on_fail)
        value = {"safe": self.spec.safe, "revert": self._before}.get(self.spec.on_fail)
        self._end(value, "expires")

    def _fell_silent(self) -> None:
        log.warning("%s: nobody wrote for %s; it is set safe", self.twin.route(self.name), self.spec.dead_man)
        self._end(self.spec.safe, "dead_man")

    def _end(self, value: Any, why: str) -> None:
        self.stop()
        self._host.spawn(self._host.setter(self.twin, self.name, value, why))

    # ---- cyclic commands

    def _repeat_later(self) -> None:
        if self.spec.repeat is not None and self._repeated is not None:
            self._in("repeat", duration_ns(self.spec.repeat), lambda: self._host.spawn(self._send_again()))

    async def _send_again(self) -> None:
        """Write the value once more; it is no command, and nobody waits for an answer. What is in the way ends it."""
        outlet = self._host.way_out(self.twin.device.name)
        if outlet is None or await outlet.write(self.twin.device, 0, self._next_attempt) is None:
            self.pause()
        else:
            self._repeat_later()

    def _next_attempt(self) -> Write | None:
        """The wire is ours: return what is to be written, if it still is."""
        twin, name = self.twin, self.name
        is_free = twin.is_up and self._repeated is not None and not self._host.is_walled(twin, name)
        if not is_free or twin.setpoints[name].interlocked(twin.latest) is not None:
            return None
        attempt = twin.setpoints.attempt(name, self._repeated, twin.latest)
        if isinstance(attempt, Refusal):
            return None
        twin.setpoints.written(attempt, self._host.clock.monotonic_ns())
        return attempt.write


class Standing:
    """The desired values of all devices."""

    def __init__(
        self,
        clock: Clock,
        *,
        setter: Setter,
        spawn: Callable[[Any], None],
        way_out: Callable[[str], WayOut | None],
        is_walled: Callable[[Twin, str], bool],
        is_trying: Callable[[Twin, str], bool],
    ) -> None:
        """Take who sets a value in the gateway's name, who starts tasks, and how the wire of a device is found.

        `is_walled`, `is_trying`: whether a setpoint may not be written, and whether a command is about to write it.
        """
        self.clock = clock
        self.setter = setter
        self.spawn = spawn
        self.way_out = way_out
        self.is_walled = is_walled
        self.is_trying = is_trying
        self._stands: dict[str, Stand] = {}

    def of(self, twin: Twin, name: str) -> Stand:
        """Return one setpoint's."""
        route = twin.route(name)
        if route not in self._stands:
            self._stands[route] = Stand(twin, name, self)
        return self._stands[route]

    def moved(self, twin: Twin) -> None:
        """A device came or went: what was repeated is not any more, and what is to be restored is."""
        for name in twin.setpoints:
            stand = self.of(twin, name)
            if twin.is_up:
                stand.up()
            else:
                stand.pause()

    def move(self, before: Twin, twin: Twin) -> None:
        """Let a device that takes the place of another one keep what stands there; its timers run on."""
        for route in [route for route, stand in self._stands.items() if stand.twin is before]:
            stand = self._stands[route]
            if stand.name in twin.setpoints and twin.route(stand.name) == route:
                stand.twin = twin
            else:
                self._stands.pop(route).stop()

    def forget(self, device: str) -> None:
        """Let go of a device."""
        for route in [route for route, stand in self._stands.items() if stand.twin.device.name == device]:
            self._stands.pop(route).stop()
