"""What a scripted device answers to what it hears: rules, and the states they lead to. Knows no time and no bus.

What a request and a reply are on a bus is in `uart_script.py`, `can_script.py`, `ble_script.py` and `spi_script.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R", bound="Rule")


@dataclass(eq=False)
class Rule:
    """One request with its reply."""

    request: Any
    reply: Any
    """Sent as it is; or a function of the request (of the match, where that is a pattern); None: it says nothing."""
    delay_ns: int = 0
    ignore: int = 0
    """The first so many get no reply."""
    when: str | None = None
    """The state in which it is heard; None: in each."""
    then: str | None = None
    """The state that it leads to; None: none other."""
    heard: int = 0
    """How often the request came, the ignored ones included."""

    def __post_init__(self) -> None:
        self.check()
        if isinstance(self.ignore, bool) or not isinstance(self.ignore, int) or self.ignore < 0:
            raise ValueError(f"ignore = {self.ignore!r}: how many of the first requests get no reply")
        for state in (self.when, self.then):
            if state is not None and not isinstance(state, str):
                raise ValueError(f"state {state!r}: a name such as 'idle'")

    def check(self) -> None:
        """Raise ValueError for a request or a reply that its bus has not."""

    def said(self, request: Any) -> Any:
        """Return the reply to a request, as the test gave it. Raises: what the test's function does."""
        return self.reply(request) if callable(self.reply) else self.reply


class Script(Generic[R]):
    """All rules of a device. Of several for one request the rule that was added last counts."""

    def __init__(self) -> None:
        self._rules: list[R] = []
        self.state = ""

    def add(self, rule: R) -> None:
        """Take in a rule. A script begins in the first state that one of its rules names."""
        if rule.when is not None and not self.start:
            self.state = rule.when
        self._rules.append(rule)

    def remove(self, rule: R) -> None:
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

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()
        self.restart()

    def find(self, recognise: Callable[[R], T | None]) -> tuple[R, T] | None:
        """Return the rule for this state that recognises a request, with what it makes of that."""
        for rule in reversed(self._rules):
            if rule.when in {None, self.state}:
                found = recognise(rule)
                if found is not None:
                    return rule, found
        return None

    def accept(self, rule: R) -> bool:
        """Count a request and go to the state that it leads to; return whether it is answered, not ignored."""
        rule.heard += 1
        if rule.heard <= rule.ignore:
            return False
        self.state = self.state if rule.then is None else rule.then
        return True


def checked(pattern: re.Pattern[Any]) -> re.Pattern[bytes]:
    """Return a pattern of bytes. Raises: ValueError for one of text."""
    if isinstance(pattern.pattern, str):
        raise ValueError(f"{pattern.pattern!r} is a pattern of text; write re.compile(rb'...')")  # noqa: TRY004 - one error
    return pattern


def begins(data: bytes, wanted: bytes | re.Pattern[bytes]) -> bytes | re.Match[bytes] | None:
    """Return the data where they begin as wanted, the match where that is a pattern; None where they do not."""
    if isinstance(wanted, re.Pattern):
        return wanted.match(data)
    return data if data.startswith(wanted) else None
