"""The demo's four devices with their wires: two ptys, a virtual CAN bus, a recording. No hardware, no root.

`site()` says how a gateway reaches them; `run()` lets them live. Their models are in the other modules of this folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

from gateway.config import DeviceConfig, GatewayConfig, SiteConfig
from gateway.frame import CAN_EXTENDED
from gateway.ledger.settings import LedgerConfig
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.registry import require
from hil.sim import gnss
from hil.sim.motor import CanFrame, MotorController
from hil.sim.node import CobsNode
from hil.sim.pty import Cable
from hil.sim.ruuvi import write_recording

POWER_ON_S: Final = 0.3
TICK_S: Final = 0.02  # the motor's period, the shortest
RECORDING_S: Final = 120.0
PULLED_EVERY_S: Final = 20.0
PULLED_FOR_S: Final = 4.0

log = logging.getLogger(__name__)


class Rig:
    """Four simulated devices. A context: the ptys and the recording live in `folder` as long as it lasts."""

    def __init__(self, folder: Path, *, pulls_cable: bool = False) -> None:
        """Take a folder of its own for names and recording; `pulls_cable`: the node's cable is pulled now and then."""
        self._folder = folder
        self._pulls_cable = pulls_cable
        self.node_cable = Cable(folder / "cobs-node")
        self.gnss_cable = Cable(folder / "gnss")
        self.channel = f"demo-{os.getpid()}-{id(self):x}"
        self._recording = folder / "ruuvitags.jsonl"
        self._node = CobsNode(_compiled("cobs-node"))
        self._motor = MotorController(_compiled("motor"))
        self._gnss: Iterator[bytes] = gnss.seconds()
        self._bus: Any = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_recording(self._recording, _compiled("ruuvitag-df5"), RECORDING_S)
        can = require("can", "can")
        self._bus = can.Bus(interface="virtual", channel=self.channel)
        self.node_cable.plug()
        self.gnss_cable.plug()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.node_cable.unplug()
        self.gnss_cable.unplug()
        with contextlib.suppress(OSError):
            self._recording.unlink()
            self._folder.rmdir()
        if self._bus is not None:
            self._bus.shutdown()

    def site(self) -> SiteConfig:
        """Return the site file that this rig would have."""
        return SiteConfig(
            gateway=GatewayConfig(name="demo"),
            ledger=LedgerConfig(footprint="small"),
            devices={
                "node": DeviceConfig(profile="cobs-node", port=str(self.node_cable.path), label="Radiator valve"),
                "gps": DeviceConfig(profile="nmea-gnss", port=str(self.gnss_cable.path), label="Boat"),
                "pump": DeviceConfig(profile="motor", port=f"virtual:{self.channel}", label="Pump motor"),
                "tag": DeviceConfig(profile="ruuvitag-df5", port=f"replay:{self._recording}?loop=1", label="Cellar"),
            },
        )

    async def run(self) -> None:
        """Let the devices live, for ever; what one is told it answers at the next tick, within 20 ms.

        Power comes a moment after the gateway: opening a tty throws away what was said into it before.
        """
        await asyncio.sleep(POWER_ON_S)
        loop = asyncio.get_running_loop()
        start_s = due_s = loop.time()
        spoken_s = 0
        while True:
            now_s = loop.time() - start_s
            self._tick(now_s)
            if now_s >= spoken_s:
                spoken_s += 1
                self.gnss_cable.send(next(self._gnss))
            due_s = max(due_s + TICK_S, loop.time())
            await asyncio.sleep(due_s - loop.time())

    def _tick(self, now_s: float) -> None:
        if self._pulls_cable:
            pulled = now_s > PULLED_EVERY_S and now_s % PULLED_EVERY_S < PULLED_FOR_S
            if pulled and self.node_cable.is_plugged:
                log.warning("the demo pulls the cable of the node for %g s", PULLED_FOR_S)
                self.node_cable.unplug()
            elif not pulled and not self.node_cable.is_plugged:
                self.node_cable.plug()
        for answer in self._node.receive(self.node_cable.receive()) + self._node.due(now_s):
            self.node_cable.send(answer)
        self.gnss_cable.receive()  # what it is told it ignores
        self._serve_bus(now_s)

    def _serve_bus(self, now_s: float) -> None:
        frames = self._motor.due(now_s)
        while (message := self._bus.recv(0)) is not None:
            can_id = message.arbitration_id | (CAN_EXTENDED if message.is_extended_id else 0)
            frames += self._motor.receive(CanFrame(can_id, bytes(message.data)), now_s)
        can = require("can", "can")
        for frame in frames:
            self._bus.send(can.Message(arbitration_id=frame.can_id, data=frame.data, is_extended_id=False))


def _compiled(name: str) -> CompiledProfile:
    return CompiledProfile(load_profile(find_profile(name)))
