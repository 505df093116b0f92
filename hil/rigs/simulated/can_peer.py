"""The device's node on a simulated CAN bus: it answers what it was told to answer, and speaks when a test lets it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from hil.can_confinement import Counters
from hil.can_frames import Frame, frame_of
from hil.durations import Duration, ns
from hil.rigs.simulated.can_script import Reply, Request, Rule, Script, matcher_of
from hil.rigs.simulated.dut import SimulatedDut
from hil.rigs.simulated.world import Event, World

if TYPE_CHECKING:
    from hil.peers.attach import Simulated

__tracebackhide__ = True  # pytest shows the line of the test instead

MOST_RECEIVED: Final = 1 << 17  # frames


class Bus(Protocol):
    """What the device's node is on."""

    def settle(self) -> None:
        """Let what is under way arrive."""

    def hear_device(self, frame: Frame) -> None:
        """Take what the device sends."""

    def peer_counters(self) -> Counters:
        """Return the error counters of the device's controller."""


class Peer:
    """What a test says about the device. Without power it hears and says nothing; booting, it answers nothing."""

    def __init__(self, bus: Bus, world: World, dut: SimulatedDut) -> None:
        self._bus = bus
        self._world = world
        self._dut = dut
        self._script = Script()
        self._received: deque[Frame] = deque(maxlen=MOST_RECEIVED)
        self._listeners: list[Callable[[Frame], None]] = []
        self._boots = dut.boots

    @property
    def received(self) -> list[Frame]:
        """The frames that the device got from the host, the last 131072; what is under way arrives first."""
        self._bus.settle()
        return list(self._received)

    @property
    def counters(self) -> Counters:
        """The error counters of its controller, `tx` and `rx`."""
        return self._bus.peer_counters()

    @property
    def state(self) -> str:
        """The state of its script: at first, and after each restart, the first one that an `on` names."""
        self._notice_restart()
        return self._script.state

    @state.setter
    def state(self, state: str) -> None:
        self._notice_restart()
        self._script.state = state

    def send(
        self,
        id: int,  # noqa: A002 - as python-can calls it, too
        data: bytes = b"",
        extended: bool = False,
        fd: bool = False,
        **more: Any,
    ) -> None:
        """Let the device send a frame, behind those that wait; time does not pass by that.

        `more`: `remote brs esi dlc`. Raises: ValueError for what is no frame.
        """
        self.say(frame_of(id, data, extended, fd, **more))

    def say(self, frame: Frame) -> None:
        """Let the device send a frame that is one already."""
        if self._dut.is_powered:
            self._bus.hear_device(frame)

    def on(  # noqa: PLR0917 - in the order of the sentence
        self,
        request: Request,
        reply: Reply,
        delay: Duration = 0,
        ignore: int = 0,
        when: str | None = None,
        then: str | None = None,
    ) -> Rule:
        """Let the device answer a request; `heard` of what this returns says how often it came.

        `request`: an id, data that it begins with, `(id, data)`, a frame, or a function of a frame; `reply`: `(id,
        data)`, data under the request's id, a frame, a list of these, or a function of the request that returns one of
        them or None. It is sent `delay` later; the first `ignore` requests get none. `when`, `then`: only in that
        state, and into that one. The rule that was added last comes first. Raises: ValueError.
        """
        rule = Rule(matcher_of(request), reply, ns(delay), ignore, when, then)
        self._script.add(rule)
        return rule

    def forget(self, rule: Rule) -> None:
        """Let the device answer this no more."""
        self._script.remove(rule)

    def every(self, interval: Duration, frame: Reply) -> Callable[[], None]:
        """Let the device send at this interval, the first time after one; return what ends it.

        `frame`: `(id, data)`, a frame, a list of these, or a function that returns them. Raises: ValueError.
        """
        interval_ns = ns(interval)
        if interval_ns == 0:
            raise ValueError("an interval of 0 has no end")
        told = Rule(matcher_of(0), (lambda _: frame()) if callable(frame) else frame)
        coming: list[Event] = []

        def tick() -> None:
            coming[:] = [self._world.after(interval_ns, tick)]
            for each in told.replies(Frame(0)):
                self.say(each)

        coming.append(self._world.after(interval_ns, tick))
        return lambda: coming[0].cancel()  # noqa: PLW0108 - the one that comes then

    def simulate(
        self,
        profile: str | Path,
        values: Mapping[str, Any] | None = None,
        period: Duration | None = "100ms",
        params: Mapping[str, object] | None = None,
    ) -> Simulated:
        """Be the device of a profile: say its messages at this interval, answer what is asked, obey orders.

        `values` by `family/value`, `message.field` or `field`; the rest are as plain as the profile lets them be.
        What this returns has `set(name, value)`, `orders`, `say(message)`, `stop()`. Raises: ValueError.
        """
        from hil.peers.attach import Wanted, on_can

        return on_can(self, self._world, self._dut, Wanted(profile, values, params, period))

    def listen(self, heard: Callable[[Frame], None]) -> Callable[[], None]:
        """Call `heard` with each frame that the device gets, until what this returns is called."""
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard) if heard in self._listeners else None

    def hear(self, frame: Frame) -> None:
        """Take what the host sent, when it has arrived."""
        self._received.append(frame)
        self._notice_restart()
        for heard in tuple(self._listeners):
            heard(frame)
        if self._dut.is_answering:
            rule = self._script.hear(frame)
            if rule is not None:
                self._answer(rule, frame)

    def _answer(self, rule: Rule, request: Frame) -> None:
        boots = self._dut.boots

        def say() -> None:
            if self._dut.boots == boots:
                for frame in replies:
                    self.say(frame)

        replies = rule.replies(request)
        if rule.delay_ns and replies:
            self._world.after(rule.delay_ns, say)
        else:
            say()

    def _notice_restart(self) -> None:
        if self._dut.boots != self._boots:
            self._boots = self._dut.boots
            self._script.restart()
