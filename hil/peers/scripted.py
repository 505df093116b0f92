"""What the peers of all buses share: a script with its state, what is said at an interval, who listens, what failed.

A function that a test gave and that fails, fails alone: the device says nothing then, the trace has a note, and the
test fails in its end with a `ScriptError` in words. `failures` holds them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final, Generic, TypeVar

from hil.durations import Duration, ns
from hil.peers.script import Rule, Script
from hil.peers.surroundings import Board, Times
from hil.rigs.agenda import Event
from hil.rigs.base import RigError

MOST_FAILURES: Final = 100  # that are remembered
_OURS: Final = Path(__file__).parent.parent

R = TypeVar("R", bound=Rule)
H = TypeVar("H")
T = TypeVar("T")


class ScriptError(RigError):
    """A function that a test gave to a peer has failed; what it raised is the cause."""

    def __init__(self, bus: str, doing: str, cause: Exception) -> None:
        """Take the bus, and what the function was called for: `reply to b'V?'`."""
        text = f"{type(cause).__name__}: {cause}".partition("\n")[0].rstrip(": ")
        super().__init__(f"{bus}: the peer's {doing} failed{_place_of(cause)}: {text}")
        self.__cause__ = cause


class ScriptedPeer(Generic[R, H]):
    """The device on one bus. Without power it hears and says nothing; booting, it answers nothing."""

    def __init__(self, bus: str, times: Times, board: Board, script: Script[R]) -> None:
        self.failures: list[ScriptError] = []
        self._bus_name = bus
        self._times = times
        self._board = board
        self._rules = script
        self._listeners: list[Callable[[H], object]] = []
        self._boots = board.boots

    @property
    def state(self) -> str:
        """The state of its script: at first, and after each restart, the first one that an `on` names."""
        self._notice_restart()
        return self._rules.state

    @state.setter
    def state(self, state: str) -> None:
        self._notice_restart()
        self._rules.state = state

    def listen(self, heard: Callable[[H], object]) -> Callable[[], None]:
        """Call `heard` with all that the device hears, until what this returns is called."""
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard) if heard in self._listeners else None

    def left_wrong(self) -> list[str]:
        """Return what a test must not end with."""
        return [str(failure) for failure in self.failures]

    def reset(self) -> None:
        """Forget everything that a test has told it."""
        self._rules.clear()
        self._listeners.clear()
        self.failures.clear()

    # ---- for the buses

    def _add(self, rule: R) -> R:
        self._notice_restart()
        self._rules.add(rule)
        return rule

    def _tell(self, heard: H) -> None:
        for each in tuple(self._listeners):
            self._told("listener", each, heard)

    def _told(self, doing: str, call: Callable[..., T], *args: Any) -> T | None:
        """Return what a function gives that is a test's, or made of one; None where it fails."""
        try:
            return call(*args)
        except Exception as error:  # noqa: BLE001 - a test's function may raise anything, and the world goes on
            self._fail(ScriptError(self._bus_name, doing, error))
            return None

    def _fail(self, failure: ScriptError) -> None:
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(failure)
        self._times.record(self._bus_name, "note", "note", text=str(failure))

    def _later(self, delay_ns: int, say: Callable[[], object]) -> None:
        """Do something after a delay, unless the device has restarted by then."""
        boots = self._board.boots

        def do() -> None:
            if self._board.boots == boots:
                self._told("reply", say)

        if delay_ns:
            self._times.at(self._times.now_ns + delay_ns, do)
        else:
            do()

    def _each(self, interval: Duration, say: Callable[[], object]) -> Callable[[], None]:
        """Do something at an interval, the first time after one, until it fails; return what ends it."""
        interval_ns = ns(interval)
        if interval_ns == 0:
            raise ValueError("an interval of 0 has no end")
        coming: list[Event] = []

        def tick() -> None:
            coming[:] = [self._times.at(self._times.now_ns + interval_ns, tick)]
            if self._told(f"beat of {interval!r:.20}", done) is None:
                coming[0].cancel()

        def done() -> bool:
            say()
            return True

        coming.append(self._times.at(self._times.now_ns + interval_ns, tick))
        return lambda: coming[0].cancel()  # noqa: PLW0108 - the one that comes then

    def _notice_restart(self) -> bool:
        """Return whether it has restarted since this was asked, and forget what it forgets by that."""
        if self._board.boots == self._boots:
            return False
        self._boots = self._board.boots
        self._rules.restart()
        return True


def _place_of(error: Exception) -> str:
    """Return where the test's own code raised it, or called what did."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not Path(frame.filename).is_relative_to(_OURS)]
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
