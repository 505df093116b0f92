"""Layer 6: puts on record how the connections of devices change, as far as `thinning` lets it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gateway.clock import Clock
from gateway.lifecycle import Event, Lifecycle, State
from gateway.route import Route, Variant
from gateway.runtime.device import Device
from gateway.runtime.thinning import Telling, is_repeated

Put = Callable[[str, str, dict[str, Any]], None]  # kind, route, body


class Chronicle:
    """The lifecycle records of all devices."""

    def __init__(self, clock: Clock, put: Put) -> None:
        """Take who takes the records."""
        self._clock = clock
        self._put = put
        self._told: dict[str, tuple[State, str]] = {}  # device -> state and reason that a record has told
        self._telling = Telling()

    def changed(self, device: Device, before: Lifecycle, event: Event) -> None:
        """Record a change of a connection, unless it is one of those that are passed over."""
        after = device.lifecycle
        is_told = self._told.get(device.name) == (after.state, after.reason)
        is_same = (before.state, before.reason) == (after.state, after.reason)
        if is_repeated(after, event) or (is_told and (is_same or not self._telling.is_owing(device.name))):
            return
        if self._telling.may_tell(device.name, self._clock.monotonic_ns()):
            self._tell(device, after.state, after.reason, event=event, attempt=max(before.attempt, after.attempt))

    def tell_again(self, device: Device, *, is_wanted: bool) -> None:
        """A ledger has been opened: tell it what the one before was told, if that `is_wanted`; forget it if not."""
        if (told := self._told.pop(device.name, None)) is not None and is_wanted:
            self._tell(device, *told, event="opening", attempt=0)

    def catch_up(self, devices: Iterable[Device], *, is_ending: bool = False) -> None:
        """Record where connections stand that changed too often to be told of each time; all of them at the end."""
        owing = self._telling.owing()
        if not owing:
            return
        now_ns = self._clock.monotonic_ns()
        names = {name for name in owing if is_ending or self._telling.may_catch_up(name, now_ns)}
        for device in (each for each in devices if each.name in names):
            life = device.lifecycle
            self._tell(device, life.state, life.reason, event="skipped", attempt=life.attempt)

    def forget(self, device: str) -> None:
        """It is gone."""
        self._told.pop(device, None)
        self._telling.forget(device)

    def _tell(self, device: Device, state: State, reason: str, *, event: str, attempt: int) -> None:
        self._told[device.name] = (state, reason)
        route = str(Route(device.name, "lifecycle", "state", Variant.STATE))
        body = {"device": device.name, "state": state, "event": event, "reason": reason, "attempt": attempt}
        if (origin := device.origin) is not None:
            body |= {"discovery": origin.discovery, "address": origin.address, "first_seen_ns": origin.first_seen_ns}
        if skipped := self._telling.take_skipped(device.name):
            body["skipped"] = skipped
        self._put("lifecycle", route, body)
