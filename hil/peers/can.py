"""The device's node on a CAN bus: it answers what it was told to answer, and speaks when a test lets it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from hil.can_confinement import Counters
from hil.can_frames import Frame, frame_of
from hil.durations import Duration, ns
from hil.peers.can_script import CanRule, CanScript, Reply, Request, frames_of
from hil.peers.scripted import ScriptedPeer
from hil.peers.surroundings import Board, Times

if TYPE_CHECKING:
    from hil.peers.attach import Simulated
    from hil.peers.playing import TracePeer
    from hil.trace import Record, Trace

__tracebackhide__ = True  # pytest shows the line of the test instead

MOST_RECEIVED: Final = 1 << 17  # frames


class Bus(Protocol):
    """What the device's node is on."""

    @property
    def name(self) -> str:
        """The bus's."""

    def settle(self) -> None:
        """Let what is under way arrive."""

    def hear_device(self, frame: Frame) -> None:
        """Take what the device sends."""

    def watch(self, sent: Callable[[Frame], object]) -> Callable[[], None]:
        """Call `sent` with each frame of the host that went through; return what ends it."""

    def duration_ns(self, frame: Frame) -> int:
        """Return how long a frame is on the bus, where `hear_device` takes that long."""

    def peer_counters(self) -> Counters:
        """Return the error counters of the device's controller."""


class CanPeer(ScriptedPeer[CanRule, Frame]):
    """What a test says about the device. Without power it hears and says nothing; booting, it answers nothing."""

    def __init__(self, bus: Bus, times: Times, board: Board) -> None:
        self._script = CanScript()
        super().__init__(bus.name, times, board, self._script)
        self._bus = bus
        self._received: deque[Frame] = deque(maxlen=MOST_RECEIVED)

    @property
    def received(self) -> list[Frame]:
        """The frames that the device got from the host, the last 131072; what is under way arrives first."""
        self._bus.settle()
        return list(self._received)

    @property
    def counters(self) -> Counters:
        """The error counters of its controller, `tx` and `rx`."""
        return self._bus.peer_counters()

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

    def say(self, *frames: Frame) -> None:
        """Let the device send frames."""
        if self._board.is_powered:
            for frame in frames:
                self._bus.hear_device(frame)

    def on(  # noqa: PLR0917 - in the order of the sentence
        self,
        request: Request,
        reply: Reply,
        delay: Duration = 0,
        ignore: int = 0,
        when: str | None = None,
        then: str | None = None,
    ) -> CanRule:
        """Let the device answer a request; `heard` of what this returns says how often it came.

        `request`: an id, data that it begins with, a pattern of that, `(id, data)`, a frame, or a function of a frame;
        `reply`: `(id, data)`, data under the request's id, a frame, a list of these, or a function of the request (of
        the match, for a pattern) that returns one of them or None. It is sent `delay` later; the first `ignore`
        requests get none. `when`, `then`: only in that state, and into that one. The rule that was added last comes
        first. Raises: ValueError.
        """
        return self._add(CanRule(request, reply, ns(delay), ignore, when, then))

    def forget(self, rule: CanRule) -> None:
        """Let the device answer this no more."""
        self._script.remove(rule)

    def every(self, interval: Duration, frame: Reply) -> Callable[[], None]:
        """Let the device send at this interval, the first time after one; return what ends it.

        `frame`: `(id, data)`, a frame, a list of these, or a function that returns them. Raises: ValueError.
        """
        if not callable(frame):
            frames_of(frame, Frame(0))
        return self._each(interval, lambda: self.say(*frames_of(frame() if callable(frame) else frame, Frame(0))))

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

        return on_can(self, self._times, self._board, Wanted(profile, values, params, period))

    def play(
        self, trace: Trace | str | Path, bus: str | None = None, order: str = "strict", speed: object = 1
    ) -> TracePeer:
        """Let the device do what it did in a trace, from now on; `diverged` of what this returns is None, or where.

        `order`: "strict" as it was, or "matched", each request with its replies; `speed`: 1, "2x", or "max" for at
        once. `trace`: a file, also of another format, or what `hil.trace.read` gives. Raises: ValueError, TraceError.
        """
        from hil.peers.playing import trace_peer

        def say(record: Record) -> bool:
            frame = frame_in(record)
            if frame is not None:
                self.say(frame)
            return frame is not None

        def lead_ns(record: Record) -> int:
            frame = frame_in(record)
            return 0 if frame is None else self._bus.duration_ns(frame)

        at, around = (self._bus_name, "can"), (self._times, self._board)
        playing = trace_peer(trace, bus, order, speed, at, around, say, lead_ns)
        playing.settle = self._bus.settle
        playing.until = self._bus.watch(lambda frame: playing.hear(frame.kind, frame.data, **frame.facts()))
        playing.begin()
        return playing

    def reset(self) -> None:
        """Forget everything that a test has told it, and what it heard."""
        super().reset()
        self._received.clear()

    def hear(self, frame: Frame) -> None:
        """Take what the host sent, when it has arrived."""
        self._received.append(frame)
        self._notice_restart()
        self._tell(frame)
        if self._board.is_answering:
            known = self._told("request", self._script.hear, frame)
            if known is not None:
                self._answer(*known, frame)

    def _answer(self, rule: CanRule, found: Any, request: Frame) -> None:
        replies = self._told(f"reply to {rule.request!r:.60}", rule.answer, request, found)
        if replies:
            self._later(rule.delay_ns, lambda: self.say(*replies))


def frame_in(record: Record) -> Frame | None:
    """Return the frame of a record; None where no node can send such a thing: an error frame, damage."""
    from hil.trace.formats.frames import Frame as Logged

    try:
        logged = Logged(record, 0)
        if logged.is_error:
            return None
        known = frame_of(
            logged.id,
            logged.data,
            logged.is_extended,
            logged.is_fd,
            logged.is_remote,
            brs=logged.brs,
            esi=logged.esi,
            dlc=logged.dlc if logged.is_remote else None,
        )
    except ValueError:
        return None
    return known if logged.is_remote else known._replace(dlc=logged.dlc)
