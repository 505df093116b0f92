"""Layer 6: what systemd is told of a service: ready, alive, stopping, and how it stands (sd_notify(3)).

Without `NOTIFY_SOCKET` in the environment nothing is sent, and nothing needs to know.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

MOST_EVERY_S: Final = 10.0  # how often the status line is told where no watchdog asks for more


class Notifier:
    """The way to the service manager."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Take where it listens and how often it wants to hear of us."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_s = _watchdog_s(environment)
        self._told = ""

    @property
    def is_wanted(self) -> bool:
        """Return whether anybody listens."""
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Send lines such as `READY=1`; a manager that does not take them is no reason to stop."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door,
        ):
            door.sendto("\n".join(lines).encode(), self._address)

    def reloading(self) -> None:
        """Say that a configuration is taken up (sd_notify(3): RELOADING=1)."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def ready(self) -> None:
        """Say that this is over."""
        self.tell("READY=1")

    async def run(self, status: Callable[[], str]) -> None:
        """Say READY, then that this loop still turns and how things stand, until cancelled; then STOPPING."""
        if not self.is_wanted:
            return
        every_s = min(MOST_EVERY_S, self._watchdog_s / 2 if self._watchdog_s else MOST_EVERY_S)
        first = ["READY=1"]
        try:
            while True:
                text = f"STATUS={status()}"
                beat = ["WATCHDOG=1"] if self._watchdog_s else []
                lines = first + beat + ([text] if text != self._told else [])
                if lines:
                    self.tell(*lines)
                first, self._told = [], text
                await asyncio.sleep(every_s)
        finally:
            self.tell("STOPPING=1")


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Return after how long without a word the manager kills us; 0: never (sd_watchdog_enabled(3))."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() else 0.0
