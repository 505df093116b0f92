"""Layer 6: the counts of one device: what became of its frames, and of asking it."""

from __future__ import annotations

from operator import add
from typing import Any, NamedTuple


class Frames(NamedTuple):
    """The account of one device's frames; the first is the sum of the others."""

    frames_in: int
    delivered: int
    dropped: int
    refused: int
    pending: int

    def as_json(self) -> dict[str, int]:
        """Return the object that `status --json` shows."""
        return dict(zip(("in", "delivered", "dropped", "refused", "pending"), self, strict=True))

    def after(self, earlier: tuple[int, int, int, int]) -> Frames:
        """Return the account that goes on from an earlier one, of which nothing was pending any more."""
        before = Frames(*earlier, 0)
        return Frames(*map(add, before, self))


class PollCounts:
    """What came of asking one device, since the gateway started."""

    __slots__ = ("answered", "asked", "exceptions", "failing", "failures", "late", "timeouts")

    def __init__(self) -> None:
        self.asked = self.answered = self.timeouts = self.late = 0
        self.exceptions: dict[str, int] = {}  # refusals by reason: a few stable words
        self.failures = 0  # polls in a row without answer: more than none means it is asked more seldom
        self.failing: dict[str, str] = {}  # message -> why its last poll gave nothing

    def settle(self, message: str, kind: str, reason: str) -> None:
        """Count one poll: "answered", "silent" or "refused"."""
        if kind == "answered":
            self.answered += 1
            self.failing.pop(message, None)
            return
        self.failing[message] = reason
        if kind == "silent":
            self.timeouts += 1
        else:
            self.exceptions[reason] = self.exceptions.get(reason, 0) + 1

    def as_json(self) -> dict[str, Any]:
        """Return the object that `status --json` shows."""
        return {name: getattr(self, name) for name in ("asked", "answered", "timeouts", "exceptions", "late")} | {
            "slowed": self.failures > 0,
            "failing": self.failing,
        }
