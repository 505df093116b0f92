"""What a scripted CAN device answers to what it hears: rules, and the states they lead to. Knows no time and no bus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hil.can_bits import STANDARD_MAX
from hil.can_frames import Frame, frame_of

Request = int | bytes | tuple[int, bytes] | Frame | Callable[[Frame], bool]
Reply = Any  # Frame, (id, data), bytes under the request's id, a list of these, or a function of the request; None


@dataclass(eq=False, slots=True)
class Rule:
    """One request with its reply."""

    matches: Callable[[Frame], bool]
    reply: Reply
    delay_ns: int = 0
    ignore: int = 0
    """The first so many are not heard."""
    when: str | None = None
    """The state in which it is heard; None: in each."""
    then: str | None = None
    """The state that it leads to; None: none other."""
    heard: int = 0
    """How often the request came, the ignored ones included."""

    def __post_init__(self) -> None:
        if isinstance(self.ignore, bool) or not isinstance(self.ignore, int) or self.ignore < 0:
            raise ValueError(f"ignore = {self.ignore!r}: how many of the first requests get no reply")
        if not callable(self.reply):
            replies_of(self.reply, Frame(0))

    def replies(self, request: Frame) -> list[Frame]:
        """Return the frames that answer a request. Raises: ValueError for what is none."""
        return replies_of(self.reply(request) if callable(self.reply) else self.reply, request)


class Script:
    """All rules of a device. Of several that match a frame the one that was added last counts."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self.state = ""

    def add(self, rule: Rule) -> None:
        """Take in a rule. A script begins in the first state that one of its rules names."""
        if rule.when is not None and not self.start:
            self.state = rule.when
        self._rules.append(rule)

    def remove(self, rule: Rule) -> None:
        """Forget a rule; once more does nothing."""
        if rule in self._rules:
            self._rules.remove(rule)

    @property
    def start(self) -> str:
        """The state in which it begins."""
        return next((rule.when for rule in self._rules if rule.when is not None), "")

    def restart(self) -> None:
        """Forget in which state it is."""
        self.state = self.start

    def hear(self, frame: Frame) -> Rule | None:
        """Return the rule of a request that is to be answered, after it has led to its state."""
        for rule in reversed(self._rules):
            if rule.when not in (None, self.state) or not rule.matches(frame):
                continue
            rule.heard += 1
            if rule.heard <= rule.ignore:
                return None
            self.state = self.state if rule.then is None else rule.then
            return rule
        return None


def matcher_of(request: object) -> Callable[[Frame], bool]:
    """Return what recognises a request: an id, data that it begins with, both, a frame, or a function.

    Raises: ValueError for what is none.
    """
    if callable(request):
        judge: Callable[[Frame], bool] = request
        return judge
    if isinstance(request, Frame):
        wanted = _key(request)
        return lambda frame: _key(frame) == wanted
    if isinstance(request, bytes | bytearray):
        start = bytes(request)
        return lambda frame: frame.data.startswith(start)
    if isinstance(request, tuple) and len(request) == 2:
        number, start = frame_of(request[0], b"", _is_extended(request[0])).id, frame_of(0, request[1], fd=True).data
        return lambda frame: frame.id == number and frame.data.startswith(start)
    if isinstance(request, int):
        number = frame_of(request, b"", _is_extended(request)).id
        return lambda frame: frame.id == number
    raise ValueError(f"request {request!r:.60}: give an id, (id, data), data, a Frame, or a function of a frame")


def replies_of(reply: object, request: Frame) -> list[Frame]:
    """Return the frames that a reply stands for. Raises: ValueError for what is none."""
    if reply is None:
        return []
    if isinstance(reply, Frame):
        return [reply]
    if isinstance(reply, list):
        return [frame for each in reply for frame in replies_of(each, request)]
    if isinstance(reply, bytes | bytearray):
        return [frame_of(request.id, bytes(reply), request.extended, request.fd)]
    if isinstance(reply, tuple) and len(reply) == 2:
        number, data = reply
        return [frame_of(number, data, _is_extended(number), request.fd or len(data) > 8)]
    raise ValueError(f"reply {reply!r:.60}: give (id, data), data, a Frame, a list of these, or a function that does")


def _is_extended(number: object) -> bool:
    return isinstance(number, int) and number > STANDARD_MAX


def _key(frame: Frame) -> tuple[int, bool, bool, bytes]:
    return frame.id, frame.extended, frame.remote, frame.data
