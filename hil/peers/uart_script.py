"""Requests in a stream of bytes: each is recognised with its last byte, however the stream is cut. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from hil.data import bytes_of
from hil.peers.script import Rule, Script, checked

MOST_REMEMBERED: Final = 1024  # bytes in which a request is sought

Request = bytes | re.Pattern[bytes]
Found = bytes | re.Match[bytes]
Reply = bytes | bytearray | Callable[[Any], bytes | None] | None


class UartRule(Rule):
    """`request`: bytes, or a pattern of them; `reply`: bytes."""

    def check(self) -> None:
        """Raise ValueError for what is no request or no reply."""
        if isinstance(self.request, re.Pattern):
            if checked(self.request).search(b""):
                raise ValueError(f"{self.request.pattern!r} is found where nothing was sent")
        elif not isinstance(self.request, bytes):
            raise ValueError(f"request {self.request!r}: give bytes, or re.compile(rb'...')")  # noqa: TRY004 - one error
        elif not self.request:
            raise ValueError("an empty request never comes")
        if not (self.reply is None or isinstance(self.reply, bytes | bytearray) or callable(self.reply)):
            raise ValueError(f"reply {self.reply!r}: give bytes, or a function that returns them")

    def found_at_end(self, heard: bytes) -> Found | None:
        """Return the request if `heard` ends with one."""
        if isinstance(self.request, bytes):
            return self.request if heard.endswith(self.request) else None
        return next((found for found in self.request.finditer(heard) if found.end() == len(heard)), None)

    def answer(self, request: Found) -> bytes:
        """Return what answers a request, b"" for nothing. Raises: ValueError for no bytes, what a function does."""
        said = self.said(request)
        return b"" if said is None else bytes_of(said)


class UartScript(Script[UartRule]):
    """Of several rules whose requests end with one byte the one that was added last counts.

    A pattern is complete as soon as it matches: let it end with what ends the request.
    """

    def __init__(self) -> None:
        super().__init__()
        self._heard = bytearray()

    def restart(self) -> None:
        """Forget what was heard and in which state it is."""
        super().restart()
        self._heard.clear()

    def hear(self, data: bytes) -> Iterator[tuple[UartRule, Found]]:
        """Give each request in turn with its rule, after it has led to its state."""
        for byte in data:
            self._heard.append(byte)
            del self._heard[:-MOST_REMEMBERED]
            heard = bytes(self._heard)
            known = self.find(lambda rule, heard=heard: rule.found_at_end(heard))  # type: ignore[misc]
            if known is not None:
                self._heard.clear()
                if self.accept(known[0]):
                    yield known
