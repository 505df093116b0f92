"""Requests that are SPI transfers, and what the device puts out meanwhile. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hil.data import bytes_of
from hil.peers.script import Rule, Script, checked

Request = bytes | re.Pattern[bytes]
Reply = bytes | Callable[[Any], bytes | None] | None
Found = bytes | re.Match[bytes]


class SpiRule(Rule):
    """`request`: all bytes of a transfer, or a pattern of them; `reply`: what is read meanwhile."""

    def check(self) -> None:
        """Raise ValueError for what is no request or no reply."""
        self.request = checked(self.request) if isinstance(self.request, re.Pattern) else bytes_of(self.request, 1)
        if self.reply is not None and not callable(self.reply):
            self.reply = bytes_of(self.reply, 1)

    def find(self, tx: bytes) -> Found | None:
        """Return the request if a transfer is one."""
        if isinstance(self.request, re.Pattern):
            return self.request.fullmatch(tx)
        return tx if tx == self.request else None

    def find_longer(self, tx: bytes) -> Found | None:
        """Return a transfer that begins with the request and reads more of a longer reply: a device goes by bits."""
        is_more = self._is_fixed and len(self.reply) > len(self.request) and tx.startswith(self.request)
        return tx if is_more else None

    def find_broken(self, tx: bytes) -> Found | None:
        """Return a transfer that breaks off in the middle of the request."""
        return tx if self._is_fixed and self.request.startswith(tx) else None

    @property
    def _is_fixed(self) -> bool:
        return isinstance(self.request, bytes) and isinstance(self.reply, bytes)

    def answer(self, request: Found) -> bytes:
        """Return what answers a request, b"" for nothing. Raises: ValueError for no bytes, what a function does."""
        said = self.said(request)
        return b"" if said is None else bytes_of(said)


class SpiScript(Script[SpiRule]):
    """The whole request counts before the begin of another."""

    def hear(self, tx: bytes) -> tuple[SpiRule, Found, bool] | None:
        """Return the rule for a transfer, and whether it is answered, after it has led to its state; None: no rule.

        A transfer that breaks off is no request yet: it is answered as far as it goes, and leads nowhere.
        """
        known: tuple[SpiRule, Found] | None = self.find(lambda rule: rule.find(tx))
        if known is None:
            known = self.find(lambda rule: rule.find_longer(tx) or rule.find_broken(tx))
            if known is not None and known[0].find_longer(tx) is None:
                return (*known, True)
        return None if known is None else (*known, self.accept(known[0]))
