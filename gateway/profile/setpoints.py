"""Layer 3: the setpoints of one device, and what makes their frames follow each other: counters, what was told last.

Pure: times come in. Nothing here sends or waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway.profile.recorded import Adjust
from gateway.profile.setpoint import Attempt, Latest, Setpoint
from gateway.profile.setpoint_value import Refusal, unadjusted
from gateway.schema.filling import UNKNOWN, Body
from gateway.schema.plan import ABSENT


class _Told(NamedTuple):
    """What the device was told about one field, and what before that."""

    value: Any
    at_ns: int
    before: _Told | None


class Setpoints(Mapping[str, Setpoint]):
    """The setpoints of one device by name.

    Made once for a device; `forget` when another one, or the same after a restart, may stand at the far end.
    """

    def __init__(
        self, compiled: Mapping[str, Setpoint], adjust: Mapping[str, Adjust] | None = None, *, first_count: int = 0
    ) -> None:
        """Take what `compile_setpoints` made of the profile, and the site's `adjust`.

        `first_count`: the number of the first attempt. A device may ignore a number that it heard last, so the first
        command of a run should not bear that of the last command of the run before.
        """
        self._setpoints = compiled
        self._adjust = dict(adjust or {})
        self._first_count = first_count
        self._counts: dict[tuple[str, str], int] = {}  # by message and field
        self._told: dict[tuple[str, str], _Told] = {}  # by message and field

    def __getitem__(self, name: str) -> Setpoint:
        return self._setpoints[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._setpoints)

    def __len__(self) -> int:
        return len(self._setpoints)

    def check(self, name: str, value: Any) -> Any | Refusal:
        """Return the value as a report would spell it, or why it can never be set."""
        setpoint = self._setpoints[name]
        return setpoint.check(value, self._adjust.get(setpoint.shown))

    def admit(self, name: str, value: Any, latest: Latest) -> Any | Refusal:
        """Return the value as a report would spell it, or why it cannot be set now: type, range, step, interlock, fill.

        Nothing changes: no counter advances.
        """
        setpoint = self._setpoints[name]
        checked = self.check(name, value)
        if isinstance(checked, Refusal):
            return checked
        why = setpoint.interlocked(latest)
        if why is None:
            _, why = self._try(setpoint, checked, latest)
        return checked if why is None else why

    def attempt(self, name: str, value: Any, latest: Latest) -> Attempt | Refusal:
        """Return the next attempt to set a value that `admit` gave; its counters have advanced."""
        attempt, why = self._try(self._setpoints[name], value, latest)
        if attempt is None:
            assert why is not None
            return why
        self._counts.update({(attempt.message, field): raw for field, raw in attempt.counters.items()})
        return attempt

    def written(self, attempt: Attempt, now_ns: int) -> None:
        """The attempt is on the wire: until its message says otherwise, this is what its fields were last."""
        for field, value in attempt.values.items():
            key = (attempt.message, field)
            before = self._told.get(key)
            self._told[key] = _Told(value, now_ns, None if before is None else before._replace(before=None))

    def withdraw(self, attempt: Attempt) -> None:
        """The device rejected the attempt: its fields are what they were before, unless they were told more since."""
        for field, value in attempt.values.items():
            key = (attempt.message, field)
            told = self._told.get(key)
            if told is None or told.value != value:
                continue
            if told.before is None:
                del self._told[key]
            else:
                self._told[key] = told.before

    def forget(self) -> None:
        """Forget what was told: the device at the far end may have restarted. Counters go on."""
        self._told.clear()

    def _try(self, setpoint: Setpoint, value: Any, latest: Latest) -> tuple[Attempt | None, Refusal | None]:
        """Return the next attempt, else why there is none."""
        counts = {
            field: self._counts.get((setpoint.message, field), self._first_count - 1) for field in setpoint.counters
        }
        told = unadjusted(value, self._adjust.get(setpoint.shown))
        body = setpoint.build(told, lambda field: self._last(setpoint.message, field, latest), counts)
        made = setpoint.attempt(body) if isinstance(body, Body) else body
        return (None, made) if isinstance(made, Refusal) else (made, None)

    def _last(self, message: str, field: str, latest: Latest) -> Any:
        """Return what a field was last: what it said, or what it was told since."""
        seen, told = latest(message), self._told.get((message, field))
        if seen is not None and seen.is_restored:
            seen = None  # the device may have restarted since
        if told is not None and (seen is None or told.at_ns >= seen.received_ns):
            return told.value
        if seen is None:
            return UNKNOWN
        return unadjusted(seen.values.get(field, ABSENT), self._adjust.get(field))
