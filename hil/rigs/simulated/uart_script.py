"""What a scripted device answers to what it hears: rules, and the states they lead to. Knows no time and no bus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

MOST_REMEMBERED: Final = 1024  # bytes in which a request is sought

Request = bytes | re.Pattern[bytes]
Answer = Callable[[Any], bytes | None]


@dataclass(eq=False, slots=True)
class Rule:
    """One request with its reply."""

    request: Request
    reply: bytes | bytearray | Answer | None
    """Sent as it is; or called with the request, a `re.Match` where that is a pattern; None: it says nothing."""
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
        request: object = self.request
        if isinstance(request, re.Pattern):
            if isinstance(request.pattern, str):
                raise ValueError(f"{request.pattern!r} is a pattern of text; write re.compile(rb'...')")  # noqa: TRY004 - one error
            if request.search(b""):
                raise ValueError(f"{request.pattern!r} is found where nothing was sent")
        elif not isinstance(request, bytes):
            raise ValueError(f"request {request!r}: give bytes, or re.compile(rb'...')")  # noqa: TRY004 - one error
        elif not request:
            raise ValueError("an empty request never comes")
        if not (self.reply is None or isinstance(self.reply, bytes | bytearray) or callable(self.reply)):
            raise ValueError(f"reply {self.reply!r}: give bytes, or a function that returns them")
        if isinstance(self.ignore, bool) or not isinstance(self.ignore, int) or self.ignore < 0:
            raise ValueError(f"ignore = {self.ignore!r}: how many of the first requests get no reply")

    def found_at_end(self, heard: bytes) -> bytes | re.Match[bytes] | None:
        """Return the request if `heard` ends with one."""
        if isinstance(self.request, bytes):
            return self.request if heard.endswith(self.request) else None
        return next((found for found in self.request.finditer(heard) if found.end() == len(heard)), None)


class Script:
    """All rules of a device. A request is recognised with its last byte, however the stream is cut.

    Of several that end with one byte the rule that was added last counts. A pattern is complete as soon as it matches:
    let it end with what ends the request.
    """

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._heard = bytearray()
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
        """Forget what was heard and in which state it is."""
        self._heard.clear()
        self.state = self.start

    def hear(self, data: bytes) -> Iterator[tuple[Rule, bytes | re.Match[bytes]]]:
        """Give each request in turn with its rule, after it has led to its state."""
        for byte in data:
            self._heard.append(byte)
            del self._heard[:-MOST_REMEMBERED]
            yield from self._recognised(bytes(self._heard))

    def _recognised(self, heard: bytes) -> Iterator[tuple[Rule, bytes | re.Match[bytes]]]:
        for rule in reversed(self._rules):
            if rule.when not in (None, self.state):
                continue
            found = rule.found_at_end(heard)
            if found is None:
                continue
            self._heard.clear()
            rule.heard += 1
            if rule.heard > rule.ignore:
                self.state = self.state if rule.then is None else rule.then
                yield rule, found
            return
