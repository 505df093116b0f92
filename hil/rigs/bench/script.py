"""A scripted device: what comes in, and what is said to it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

MOST_KEPT_BYTES: Final = 65536  # of a request that does not come


class Said(NamedTuple):
    """A reply that is due."""

    reply: bytes
    delay_ns: int


@dataclass
class _Rule:
    request: bytes
    reply: bytes
    delay_ns: int
    ignores: int


class Script:
    """Requests with their replies; of several that fit the earliest in the stream counts, then the longest."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._seen = b""

    def on(self, request: bytes, reply: bytes, delay_ns: int = 0, ignores: int = 0) -> None:
        """Say `reply` to each `request` from the next on, but for the first `ignores` of them.

        The same request again replaces what was said to it. Raises: ValueError for an empty request.
        """
        if not request:
            raise ValueError("an empty request would come all the time; give its bytes")
        self._rules = [rule for rule in self._rules if rule.request != request]
        self._rules.append(_Rule(request, reply, delay_ns, ignores))

    def hear(self, data: bytes) -> list[Said]:
        """Take in bytes, however they are cut; return what is to be said, in order."""
        self._seen += data
        said: list[Said] = []
        while True:
            found = [(place, -len(rule.request), rule) for rule in self._rules if (place := self._place_of(rule)) >= 0]
            if not found:
                break
            place, _, rule = min(found, key=lambda each: each[:2])
            self._seen = self._seen[place + len(rule.request) :]
            if rule.ignores:
                rule.ignores -= 1
            else:
                said.append(Said(rule.reply, rule.delay_ns))
        self._seen = self._seen[-MOST_KEPT_BYTES:]
        return said

    def clear(self) -> None:
        """Know nothing."""
        self._rules.clear()
        self._seen = b""

    def _place_of(self, rule: _Rule) -> int:
        return self._seen.find(rule.request)
