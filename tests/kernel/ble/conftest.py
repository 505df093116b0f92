"""A virtual controller for bluetoothd, with a device of bumble in its air. In the guest of the kernel rig, as root."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.frame import Element
from hil.hosts.wire import Wire

ADAPTER = "hci0"
ADDRESS = "F0:F1:F2:F3:F4:F5"
RECEIVE = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
TRANSMIT = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
APPEAR_S = 90.0
OBEY_S = 10.0


class Air(Wire):
    """The virtual controller and the device: a process that can be ended, which pulls the adapter out."""

    address = Element("", characteristic=RECEIVE)

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._changed = threading.Condition()
        self._written: deque[bytes] = deque()
        self.told: list[dict[str, Any]] = []

    def plug(self) -> None:
        """Plug the adapter in and wait until BlueZ has given it power."""
        command = [sys.executable, "-m", "hil.sim.vhci"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.told.clear()
        threading.Thread(target=self._listen, args=(self._process,), name="asyncio air", daemon=True).start()
        self.wait_for("ready")
        self.power()

    def power(self, to: str = "on") -> None:
        """Have BlueZ switch the adapter; it needs a moment to see a new one."""
        until_s = time.monotonic() + APPEAR_S
        while time.monotonic() < until_s:
            with contextlib.suppress(subprocess.TimeoutExpired):  # bluetoothctl waits for ever for a bluetoothd
                done = subprocess.run(["bluetoothctl", "power", to], check=False, capture_output=True, timeout=5)
                if b"succeeded" in done.stdout:
                    return
            time.sleep(0.1)
        raise AssertionError("BlueZ does not see the virtual controller")

    def unplug(self) -> None:
        """Pull the adapter."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def obey(self, **order: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def send(self, data: bytes) -> None:
        self.obey(notify=data.hex())

    def receive(self) -> bytes:
        with self._changed:
            data = b"".join(self._written)
            self._written.clear()
        return data

    def stall(self) -> None:
        self.obey(mute=True)

    def resume(self) -> None:
        self.obey(mute=False)
        self.receive()

    def wait_for(self, fact: str, count: int = 1) -> None:
        """Wait until the device has told a fact `count` times."""
        with self._changed:
            assert self._changed.wait_for(lambda: sum(fact in told for told in self.told) >= count, APPEAR_S), fact

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            fact = json.loads(line)
            with self._changed:
                self.told.append(fact)
                if "written" in fact:
                    self._written.append(bytes.fromhex(fact["written"]))
                self._changed.notify_all()


@pytest.fixture(scope="module")
def air(bluetoothd) -> Iterator[Air]:
    """An adapter that is plugged in, with a device within reach."""
    air = Air()
    air.plug()
    yield air
    air.unplug()
