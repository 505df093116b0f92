"""Plays a trace into ports in real time: the thin loop around `hil.trace.player`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from queue import Empty, SimpleQueue
from statistics import median
from typing import Any, Final

from hil.trace.player import Player
from hil.trace.record import Record
from hil.trace.targets import Heard, Target

_NEAR_NS: Final = (
    300_000  # so near its time a record is waited for without sleeping: a sleep ends late by a tenth of it
)
_IDLE_S: Final = 0.5


class Timing:
    """How well the times of a trace were kept, over what was sent on its own time (not at once)."""

    def __init__(self) -> None:
        self._due: list[int] = []
        self._late: list[int] = []

    def sent(self, due_ns: int, sent_ns: int) -> None:
        """Take in that something was sent. Times are in ns, on the same clock."""
        self._due.append(due_ns)
        self._late.append(sent_ns - due_ns)

    def document(self) -> dict[str, Any]:
        """Return how many frames, the median error of the time between two, and by how much the whole took longer.

        The drift is told from medians of the first and of the last tenth: one late frame at an end is no drift.
        """
        count = len(self._due)
        errors = [abs(after - before) for before, after in pairwise(self._late)]
        tenth = max(count // 10, 1)
        drift = 0.0
        if count > 1:
            span = median(self._due[-tenth:]) - median(self._due[:tenth])
            late = median(self._late[-tenth:]) - median(self._late[:tenth])
            drift = late / span * 100 if span > 0 else 0.0
        return {
            "frames": count,
            "median_error_us": round(median(errors) / 1000, 1) if errors else 0.0,
            "drift_percent": round(drift, 4),
        }


class Playing:
    """One playing; `skipped` counts what a port cannot send, by kind."""

    def __init__(self, player: Player, targets: Mapping[str, Target]) -> None:
        """Take the player and an open port for each of its buses."""
        self.player = player
        self.timing = Timing()
        self.skipped: dict[str, int] = {}
        self._targets = targets
        self._heard: SimpleQueue[Heard] = SimpleQueue()

    def run(self) -> None:
        """Play until it is over. Raises: PortError when a port goes away or takes nothing."""
        for target in self._targets.values():
            target.listen(self._heard.put)
        player = self.player
        player.start(time.monotonic_ns())
        while not player.is_over:
            for record in player.due(time.monotonic_ns()):
                self._send(record)
            self._hear(player.next_ns())

    def _send(self, record: Record) -> None:
        due_ns = self.player.due_of(record)
        if not self._targets[record.bus].send(record):
            self.skipped[record.kind] = self.skipped.get(record.kind, 0) + 1
        elif due_ns is not None:
            self.timing.sent(due_ns, time.monotonic_ns())

    def _hear(self, until_ns: int | None) -> None:
        """Take in all that was heard; wait for it until the next record is nearly due, then for that."""
        if until_ns is None and self.player.is_over:
            return
        left_ns = _IDLE_S * 1e9 if until_ns is None else until_ns - time.monotonic_ns() - _NEAR_NS
        try:
            heard = self._heard.get(timeout=left_ns / 1e9) if left_ns > 0 else self._heard.get_nowait()
        except Empty:
            while left_ns <= 0 and until_ns is not None and time.monotonic_ns() < until_ns and self._heard.empty():
                time.sleep(0)
            return
        if heard.error is not None:
            raise heard.error
        self.player.heard(heard.now_ns, heard.bus, heard.kind, heard.data, **heard.facts)
