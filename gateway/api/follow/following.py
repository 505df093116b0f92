"""Layer 7: the one follower of a gateway's ledger, for doors and sinks alike, and readers of what lies behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.api.follow.decoder import Decoder
from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.clock import Clock
from gateway.profile.recorded import Transforms
from gateway.runtime.committer import TELEMETRY_WAIT_S
from gateway.runtime.device import Device
from gateway.runtime.recorder import Recorder
from gateway.runtime.shadows import Twin

NUMBERED_AFTER_S: Final = 0.002  # telemetry gets its number, and leaves, so late while anybody follows


class Following:
    """One per gateway."""

    def __init__(
        self,
        recorder: Recorder,
        clock: Clock,
        *,
        devices: Callable[[], Sequence[Device]],
        twins: Callable[[], Mapping[str, Twin]],
        transforms: Transforms,
        is_always: bool,
    ) -> None:
        """Take who records and how routes are spelled now; `is_always`: values are told though nobody watches."""
        self._recorder = recorder
        self._devices = devices
        self._twins = twins
        self._transforms = transforms
        self.stream = Stream(self._decoder(), clock, is_always=is_always, on_watched=self._watched)
        recorder.lead(self.stream, NUMBERED_AFTER_S if is_always else TELEMETRY_WAIT_S)

    def history(self) -> History:
        """Return a reader of the medium, for one who is behind; it must be closed."""
        return History(self._recorder.open_to_read, self._decoder())

    def _watched(self, is_watched: bool) -> None:
        self._recorder.committer.wait_s = NUMBERED_AFTER_S if is_watched else TELEMETRY_WAIT_S

    def _decoder(self) -> Decoder:
        return Decoder(self._streams_of, self._units_of, self._transforms)

    def _streams_of(self, device: str, message: str) -> Mapping[str, str] | None:
        """Return how routes of a device's message are spelled where it is wired now."""
        for each in self._devices():
            for known in each.all_messages() if each.name == device else ():
                if known.name == message:
                    return dict(zip(known.plan.names, known.streams, strict=True))
        return None

    def _units_of(self, route: str) -> str:
        """Return the unit of a setpoint's value, by the route of its desired value."""
        twin = self._twins().get(route.partition("/")[0])
        names = [] if twin is None else [name for name in twin.setpoints if twin.route(name) == route]
        return twin.units(names[0]) if twin is not None and names else "1"
