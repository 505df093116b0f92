"""Layer 9: asks a gateway again and again, in a thread of its own: one that hangs never holds up the keyboard."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Final

from gateway.cli.talk import Conversation, talking
from gateway.cli.top.sample import Sample, Shown
from gateway.errors import GatewayError, GatewayUnreachableError, UsageError

RETRY_S: Final = 1.0
RATE_LEAST_S: Final = 0.5  # rates over less say little


def sample_of(gateway: Conversation, device: str | None = None) -> Sample:
    """Return what a gateway says now. Raises: UsageError, GatewayUnreachableError."""
    status = gateway.ask("status", dict[str, Any])
    devices = gateway.ask("devices", list[dict[str, Any]])
    values = gateway.ask("values", list[dict[str, Any]])
    shadow: dict[str, Any] | None = None
    if device is not None:
        told = gateway.exchange("shadow", dict[str, Any], device=device)
        shadow = told if isinstance(told, dict) else None  # one without setpoints has none
    return Sample(status, devices, values, shadow)


class Asker:
    """Keeps the newest sample; a byte in `news` says that there is another."""

    def __init__(self, data: str | None, token: str | None, every_s: float) -> None:
        """Take which gateway, in whose name, and how often."""
        self.news, self._tell = os.pipe()
        os.set_blocking(self.news, False)
        os.set_blocking(self._tell, False)
        self.denied: GatewayError | None = None  # set where asking again is of no use
        self._data, self._token, self._every_s = data, token, every_s
        self._lock = threading.Lock()
        self._shown = Shown(None, None)
        self._taken_s = 0.0
        self._device: str | None = None
        self._wakes = threading.Event()
        self._ends = False
        threading.Thread(target=self._work, name="asker", daemon=True).start()

    def shown(self) -> Shown:
        """Return the newest, with its age."""
        with self._lock:
            return self._shown._replace(age_s=time.monotonic() - self._taken_s)

    def look_at(self, device: str | None) -> None:
        """Ask for the shadow of this device too, at once."""
        if device != self._device:
            self._device = device
            self._wakes.set()

    def end(self) -> None:
        """Ask no more."""
        self._ends = True
        self._wakes.set()

    def _work(self) -> None:
        while not self._ends:
            try:
                with talking(self._data, self._token) as gateway:
                    while not self._ends:
                        self._take(sample_of(gateway, self._device))
                        self._pause(self._every_s)
            except GatewayUnreachableError as error:
                self._lose(str(error))
                self._pause(RETRY_S)
            except UsageError as error:
                self.denied = error
                self._lose(str(error))
                return

    def _pause(self, seconds: float) -> None:
        self._wakes.wait(seconds)
        self._wakes.clear()

    def _take(self, sample: Sample) -> None:
        with self._lock:
            last = self._shown.sample
            is_next = last is not None and sample.status["uptime"] - last.status["uptime"] > RATE_LEAST_S
            before = last if is_next or self._shown.before is None else self._shown.before
            self._shown = Shown(sample, before)
            self._taken_s = time.monotonic()
        self._say()

    def _lose(self, why: str) -> None:
        with self._lock:
            self._shown = self._shown._replace(lost=why)
        self._say()

    def _say(self) -> None:
        try:
            os.write(self._tell, b".")
        except BlockingIOError:  # there is news already
            return
