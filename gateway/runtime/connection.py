"""Layer 6: the connection of one device: where it stands, what went wrong, how it has been. No I/O here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from gateway.clock import Clock
from gateway.health import Health
from gateway.lifecycle import Event, Lifecycle, State, Target

_FAILURES: Final = frozenset({Event.MISSING, Event.REFUSED, Event.LOST, Event.BROKEN})
_PASSING: Final = frozenset({State.CONNECTING, State.DISCOVERING})

log = logging.getLogger(__name__)


class Connection:
    """What is known of one connection; a device is one."""

    def __init__(self, name: str, clock: Clock, stale_after_ns: int) -> None:
        """Take for how long it may be silent."""
        now_ns = clock.monotonic_ns()
        self.name = name
        self.stale_after_ns = stale_after_ns
        self.lifecycle = Lifecycle(since_ns=now_ns)
        self.health = Health(now_ns)
        self.first_error: str | None = None  # since it last stood CONNECTED: the cause, before its consequences
        self.fault: str | None = None  # the first fault of our own; stays until the end
        self.retry_ns: int | None = None  # monotonic, when it is tried again by itself; None: with its port
        self.lost_ns: int | None = None  # monotonic, when it last stood CONNECTED no more: what is older is stale
        self.last_frame_ns: int | None = None  # monotonic, since it stands CONNECTED
        self.listeners: list[Callable[[Lifecycle, Event], None]] = []  # called with the lifecycle before a change
        self._clock = clock
        self._told: tuple[State, str] | None = None  # the last state and reason that were logged

    @property
    def is_up(self) -> bool:
        """Return whether it stands CONNECTED."""
        return self.lifecycle.state is State.CONNECTED

    @property
    def is_wanted(self) -> bool:
        """Return whether it should be connected: nobody quiesced or detached it."""
        return self.lifecycle.target is Target.CONNECTED

    @property
    def may_be_asked(self) -> bool:
        """Return whether its wire may ask it something: it is wanted, and our own part of it works."""
        return self.is_wanted and self.lifecycle.state is not State.FAILED

    @property
    def last_error(self) -> str | None:
        """The newest error; it stays when the device is connected again."""
        return self.health.last_error

    def aim(self, target: Target) -> None:
        """Take where the connection should stand from now on."""
        self.lifecycle = self.lifecycle.aimed(target)

    def happened(self, event: Event, reason: str = "") -> None:
        """Move the lifecycle."""
        now_ns = self._clock.monotonic_ns()
        self._account(now_ns)
        before = self.lifecycle
        self.lifecycle = after = before.after(event, now_ns, reason)
        self.retry_ns = None
        if event in _FAILURES:
            self.first_error = self.first_error or reason
            self.health.erred(reason, now_ns)
        if event is Event.BROKEN and self.fault is None:
            self.fault = reason
        if event is Event.ATTEMPT and after.attempt > 1:
            self.health.retries.add(now_ns)
        if before.state is State.CONNECTED and not self.is_up:
            self.health.losses += 1
            self.lost_ns = now_ns
        if self.is_up and before.state is not State.CONNECTED:
            self.first_error = None
            self.last_frame_ns = None
        self.moved(before, event)
        for listener in self.listeners:
            listener(before, event)

    def moved(self, before: Lifecycle, event: Event) -> None:
        """Do what else follows from a change, before anybody else hears of it."""

    def tell(self, event: Event, where: str, reason: str = "") -> None:
        """Move the lifecycle and log where it settles, once; `where` is the port."""
        self.happened(event, reason)
        after = self.lifecycle
        if after.state not in _PASSING and (after.state, after.reason) != self._told:
            self._told = (after.state, after.reason)
            log.info("%s: %s on %s%s", self.name, after.state, where, f" ({after.reason})" if after.reason else "")

    def heard(self, received_ns: int) -> None:
        """It spoke; called for every read, so this is cheap while nothing changes."""
        if received_ns - (self.last_frame_ns or self.lifecycle.since_ns) > self.stale_after_ns:
            self._account(received_ns)
        self.last_frame_ns = received_ns

    def is_stale(self, now_ns: int) -> bool:
        """Return whether it is not connected, or has been silent for longer than its profile allows."""
        return not self.is_up or now_ns > self._fresh_until_ns()

    def health_json(self, now_ns: int) -> dict[str, Any]:
        """Return the object `health` of `devices --json`."""
        self._account(now_ns)
        return self.health.as_json(now_ns)

    def _fresh_until_ns(self) -> int:
        return (self.last_frame_ns or self.lifecycle.since_ns) + self.stale_after_ns

    def _account(self, now_ns: int) -> None:
        """Fold the time since the last account into the availability: fresh first, then silent for too long."""
        if self.is_up:
            self.health.availability.fold(min(now_ns, self._fresh_until_ns()), held=True)
        self.health.availability.fold(now_ns, held=False)
