"""Layer 2: idempotency keys: which command a caller's key stands for, and whether it comes with the same body. Pure.

A key belongs to its principal. It is remembered 24 h from its command on, counted on the monotonic clock: a wall clock
that is set forgets nothing. What a key names is told again, never done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec

from gateway.shadow.intent import Intent, Outcome

KEPT_NS: Final = 24 * 3_600_000_000_000
MOST_KEYS: Final = 65_536  # of all principals together
_DIGEST_BYTES: Final = 16


class Remembered(msgspec.Struct, frozen=True, gc=False):
    """The command that a key stands for."""

    id: str
    digest: str  # of its body
    kept_until_ns: int  # monotonic
    outcome: Outcome | None = None  # None: it is open
    receipt: int | None = None  # the record of its result


Verdict = tuple[Literal["new"], None] | tuple[Literal["same", "reused"], Remembered]


def digest_of(body: dict[str, Any]) -> str:
    """Return what tells one command body from another: route, value and whatever else the caller meant."""
    text = json.dumps(body, sort_keys=True)
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


class Keys:
    """Every key that is remembered, of every principal; a fold of intents and results.

    Those of open commands are never forgotten; there is at most one open command a setpoint.
    """

    def __init__(self, most: int = MOST_KEYS) -> None:
        """Take how many keys are remembered at most."""
        self._most = most
        self._of: dict[str, dict[bytes, Remembered]] = {}  # principal -> key -> command; oldest first
        self._open: dict[str, tuple[str, bytes]] = {}  # id -> principal, key
        self.count = 0
        self.forgotten_early = 0  # ended ones that had to make room before their time

    def look(self, principal: str, key: str, digest: str, now_ns: int) -> Verdict:
        """Return whether a key is new, the same command again, or reused with another body."""
        self._forget_old(now_ns)
        known = self._of.get(principal, {}).get(_short(key))
        if known is None or known.kept_until_ns <= now_ns:
            return "new", None
        return ("same" if known.digest == digest else "reused"), known

    def opened(self, intent: Intent, now_ns: int, age_ns: int = 0) -> None:
        """Remember the key of an intent that is durable; one without key, or beyond its time, is left.

        `age_ns` is how old the intent is, for one that comes from the ledger; 0 where the clock cannot tell.
        """
        until_ns = now_ns + KEPT_NS - max(age_ns, 0)
        if intent.key is None or intent.digest is None or until_ns <= now_ns:
            return
        short = _short(intent.key)
        if short in self._of.get(intent.principal, {}):
            self._forget(intent.principal, short)
        if self.count >= self._most:
            self._make_room()
        self._of.setdefault(intent.principal, {})[short] = Remembered(intent.id, intent.digest, until_ns)
        self.count += 1
        self._open[intent.id] = (intent.principal, short)

    def ended(self, command_id: str, outcome: Outcome, receipt: int | None) -> None:
        """Remember the result of a command; one whose key is not remembered is left."""
        principal, short = self._open.pop(command_id, ("", b""))
        known = self._of.get(principal, {}).get(short)
        if known is not None:
            self._of[principal][short] = msgspec.structs.replace(known, outcome=outcome, receipt=receipt)

    def dropped(self, command_id: str) -> None:
        """Forget the key of an intent that did not become durable: nothing was done, it may be asked for again."""
        principal, short = self._open.get(command_id, ("", b""))
        if short in self._of.get(principal, {}):
            self._forget(principal, short)

    def _forget_old(self, now_ns: int) -> None:
        for principal, mine in list(self._of.items()):
            for short in list(_leading(mine, now_ns)):
                self._forget(principal, short)

    def _make_room(self) -> None:
        """Forget the oldest ended key of the principal that has most: nobody's keys push out another's first."""
        for principal in sorted(self._of, key=lambda name: len(self._of[name]), reverse=True):
            oldest = next((short for short, known in self._of[principal].items() if known.id not in self._open), None)
            if oldest is not None:
                self._forget(principal, oldest)
                self.forgotten_early += 1
                return

    def _forget(self, principal: str, short: bytes) -> None:
        mine = self._of[principal]
        self._open.pop(mine.pop(short).id, None)
        self.count -= 1
        if not mine:
            del self._of[principal]


def _leading(mine: dict[bytes, Remembered], now_ns: int) -> Iterator[bytes]:
    for short, known in mine.items():
        if known.kept_until_ns > now_ns:
            return
        yield short


def _short(key: str) -> bytes:
    """Return a key of any length in a fixed one."""
    return blake2b(key.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()
