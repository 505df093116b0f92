"""Layer 6: serves the frames of one device, and keeps the faults of our own part of it to that device.

A decode or transform that raises is restarted with the next frames. One that raises again and again, or while it is
being tried, makes its device FAILED: its frames are refused and it is asked nothing, until it is tried again, from the
beginning, with one connect or one frame. A device that says nothing then is believed to work.

A device that itself began anew, though its port stayed open, is connected anew: its steps are run again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, Protocol

from gateway.clock import Clock
from gateway.lifecycle import Event, State
from gateway.runtime.device import Device
from gateway.runtime.intensity import Intensity
from gateway.runtime.parcel import Parcel

PROVE_S: Final = 5.0  # for a device that is not asked to show that it works
_ALIVE: Final = frozenset({State.CONNECTED, State.CONNECTING, State.BACKING_OFF})

log = logging.getLogger(__name__)


class Wire(Protocol):
    """The port of a device, as far as trying it again needs it."""

    name: str

    def led_on(self, device: Device) -> bool:
        """Let the device be asked, or not, as its lifecycle says; False: the port is closed, or the device gone."""
        ...

    def sets_up(self, device: Device) -> bool:
        """Return whether somebody else says when the device is connected."""
        ...


class Restarts:
    """One device."""

    __slots__ = ("_clock", "_device", "_intensity", "_is_down", "_is_tried", "_rand", "_timer", "_wire")

    def __init__(self, device: Device, clock: Clock, wire: Wire, *, rand: Callable[[], float] = random.random) -> None:
        """Take a device and its wire."""
        self._device = device
        self._clock = clock
        self._wire = wire
        self._rand = rand
        self._intensity: Intensity | None = None  # made with the first fault: most devices never have one
        self._is_down = False  # left alone until it is tried again
        self._is_tried = False  # tried again: the next parcel decides
        self._timer: asyncio.TimerHandle | None = None
        device.on_restarted = self._restarted

    def serve(self, parcel: Parcel) -> None:
        """Serve a parcel; never raises."""
        device = self._device
        if self._is_down:
            if device.lifecycle.state is State.FAILED:
                device.pass_over(len(parcel.items))
                return
            self._is_down = False  # its port was opened anew, or somebody has aimed it elsewhere
        try:
            device.serve(parcel)
        except Exception as error:  # noqa: BLE001 - supervisor: a broken transform or plan must not stop the others
            self._broke(error)
            return
        if self._is_tried:
            self._believe()

    def _restarted(self, reason: str) -> None:
        """Let the device be connected anew, with its steps where it has such."""
        device, wire = self._device, self._wire
        log.info("%s: %s", device.name, reason)
        device.health.erred(reason, self._clock.monotonic_ns())
        device.tell(Event.RESTARTED, wire.name, reason)
        if not wire.sets_up(device):
            device.tell(Event.OPENED, wire.name)
        wire.led_on(device)

    def _broke(self, error: Exception) -> None:
        device, now_ns = self._device, self._clock.monotonic_ns()
        if self._intensity is None:
            self._intensity = Intensity(self._rand)
        fault = self._intensity.fault(type(error).__name__, now_ns)
        reason = f"{type(error).__name__}: {error}"
        device.broke(reason)
        if fault.is_new:
            log.error("fault: device=%s", device.name, exc_info=error)
        state = device.lifecycle.state
        if state in _ALIVE and (fault.is_too_many or state is State.CONNECTING):
            self._give_up(reason, self._intensity.delay_s(now_ns), now_ns)
        else:
            device.health.erred(reason, now_ns)

    def _give_up(self, reason: str, delay_s: float, now_ns: int) -> None:
        device = self._device
        device.tell(Event.BROKEN, self._wire.name, reason)
        device.retry_ns = now_ns + int(delay_s * 1e9)
        self._is_down, self._is_tried = True, False
        self._wire.led_on(device)
        self._after(delay_s, self._try_again)

    def _try_again(self) -> None:
        """Begin anew; a device that is not FAILED any more, or whose port is closed, begins anew by itself."""
        device = self._device
        if device.lifecycle.state is not State.FAILED or not device.is_wanted or not self._wire.led_on(device):
            return
        if self._intensity is not None:
            self._intensity.tried(self._clock.monotonic_ns())
        self._is_down, self._is_tried = False, True
        device.forget()
        device.tell(Event.ATTEMPT, self._wire.name)
        self._wire.led_on(device)
        self._after(PROVE_S, self._believe)

    def _believe(self) -> None:
        """Take a device that has shown a frame, or that shows nothing, for one that works."""
        self._is_tried = False
        if self._timer is not None:
            self._timer.cancel()
        if self._device.lifecycle.state is State.CONNECTING and not self._wire.sets_up(self._device):
            self._device.tell(Event.OPENED, self._wire.name)

    def _after(self, delay_s: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, then)
