"""What every simulated device does with commands, whatever its wire: act on them now or later, answer, report.

Pure: a `Behaviour` and the time come in, and time never goes back. Standard library alone, as in `behaviour.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from hil.sim.behaviour import Behaviour

WAITING: Final = 64  # orders or answers; more than that, and the oldest are forgotten
REPORTS: Final = 4096  # a minute of a report every 20 ms, and some

T = TypeVar("T")


class Actuator(Generic[T]):
    """One thing that can be ordered to a value and is then there or on its way."""

    def __init__(self, value: T) -> None:
        """Take where it stands when nobody has ordered anything."""
        self.ordered = value  # the last order, also while it does not act yet; within the clamp
        self._value = value
        self._drifted = 0.0
        self._seen_s: float | None = None
        self._waiting: deque[tuple[float, T]] = deque(maxlen=WAITING)

    def order(self, value: T, behaviour: Behaviour, now_s: float) -> None:
        """Send it to a value."""
        self.target(behaviour, now_s)
        self.ordered = value = clamped(value, behaviour)
        if behaviour.slow_s:
            self._waiting.append((now_s + behaviour.slow_s, value))
        else:
            self._waiting.clear()  # what was to act later would undo this
            self._begin(value)

    def target(self, behaviour: Behaviour, now_s: float) -> T:
        """Return the value that it is at, or goes to."""
        passed_s = 0.0 if self._seen_s is None else now_s - self._seen_s
        self._seen_s = now_s
        self._drifted += behaviour.drift_per_s * passed_s
        while self._waiting and self._waiting[0][0] <= now_s:
            since_s, value = self._waiting.popleft()
            self._begin(value)
            self._drifted = behaviour.drift_per_s * (now_s - since_s)
        return _moved(self._value, lambda number: number + self._drifted) if self._drifted else self._value

    def _begin(self, value: T) -> None:
        self._value = value
        self._drifted = 0.0


class Echo(Generic[T]):
    """What a report says, which may be old."""

    def __init__(self) -> None:
        self._said: deque[tuple[float, T]] = deque(maxlen=REPORTS)

    def told(self, value: T, behaviour: Behaviour, now_s: float) -> T:
        """Return what is told of `value` now. When a lag begins, it is what was told last."""
        if not behaviour.lag_s:
            self._said.clear()
        self._said.append((now_s, value))
        while len(self._said) > 1 and self._said[1][0] <= now_s - behaviour.lag_s:
            self._said.popleft()
        return self._said[0][1]


class Answers(Generic[T]):
    """Answers that are held back."""

    def __init__(self) -> None:
        self._held: deque[tuple[float, T]] = deque(maxlen=WAITING)

    def give(self, answer: T, behaviour: Behaviour, now_s: float) -> list[T]:
        """Return the answer if it is prompt; one that is late is due later, one that never comes is dropped."""
        if behaviour.ack_after_s is None:
            return []
        if not behaviour.ack_after_s:
            return [answer]
        self._held.append((now_s + behaviour.ack_after_s, answer))
        return []

    def due(self, now_s: float) -> list[T]:
        """Return the late answers whose time has come, in the order of their commands."""
        answers: list[T] = []
        while self._held and self._held[0][0] <= now_s:
            answers.append(self._held.popleft()[1])
        return answers

    def forget(self) -> None:
        """Drop what is held: the device has restarted."""
        self._held.clear()


def clamped(value: T, behaviour: Behaviour) -> T:
    """Return a number within the clamp; whatever else, as it is."""
    if behaviour.clamp is None:
        return value
    low, high = behaviour.clamp
    return _moved(value, lambda number: min(max(number, low), high))


def _moved(value: T, move: Callable[[float], float]) -> T:
    """Return what becomes of a number, of its own type; whatever else cannot be moved and stays as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = move(value)
    return type(value)(round(number) if isinstance(value, int) else number)
