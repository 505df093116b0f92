"""Simulated devices with their wires, as a whole site. No hardware, no root.

The demo's four are two ptys, a virtual CAN bus and a recording. A virtual bus is there for one process alone: with
`for_others` the motor is behind an adapter on a pty, and a thermostat on Modbus joins. `site()` says how a gateway
reaches them, `run()` lets them live, `obey()` takes orders. Their models are in the other modules of this folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Final, Self

from gateway.config import DeviceConfig, GatewayConfig, SiteConfig
from gateway.ledger.settings import LedgerConfig
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from hil.sim import gnss, orders, thermostat
from hil.sim.berth import Berth, GnssOnCable, MotorOnAdapter, MotorOnBus, NodeOnCable, SlaveOnCable
from hil.sim.modbus import ModbusWire
from hil.sim.motor import MotorController
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
    """Simulated devices by name in `berths`. A context: what is in `folder` is there as long as it lasts."""

    def __init__(self, folder: Path, *, pulls_cable: bool = False, for_others: bool = False) -> None:
        """Take a folder of its own for names and recording; `pulls_cable`: the node's cable is pulled now and then."""
        self._folder = folder
        self._pulls_cable = pulls_cable
        self._for_others = for_others
        self.node_cable = Cable(folder / "cobs-node")
        self.gnss_cable = Cable(folder / "gnss")
        self.motor_cable = Cable(folder / "can-adapter")
        self.meter_cable = Cable(folder / "modbus")
        self.channel = f"demo-{os.getpid()}-{id(self):x}"
        self.berths: dict[str, Berth] = {}
        self._recording = folder / "ruuvitags.jsonl"
        self._thermostat = folder / "thermostat.toml"
        self._undo = contextlib.ExitStack()
        self._now_s = 0.0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self._folder.mkdir(parents=True, exist_ok=True)
            undo.callback(self._tidy)
            write_recording(self._recording, _compiled("ruuvitag-df5"), RECORDING_S)
            motor = MotorController(_compiled("motor"))
            self.berths = {
                "node": NodeOnCable(undo.enter_context(self.node_cable), CobsNode(_compiled("cobs-node"))),
                "gps": GnssOnCable(undo.enter_context(self.gnss_cable), gnss.seconds()),
            }
            if self._for_others:
                self.berths["pump"] = MotorOnAdapter(undo.enter_context(self.motor_cable), motor)
                self.berths["room"] = self._room(undo.enter_context(self.meter_cable))
            else:
                bus = MotorOnBus(self.channel, motor)
                undo.callback(bus.end)
                self.berths["pump"] = bus
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._undo.close()

    def site(self) -> SiteConfig:
        """Return the site file that this rig would have."""
        pump, room = f"virtual:{self.channel}", {}
        if self._for_others:
            pump = f"slcan:{self.motor_cable.path}?sleep_after_open=0"  # it does not reset when it is opened
            port = str(self.meter_cable.path)
            room["room"] = DeviceConfig(profile=str(self._thermostat), port=port, label="Living room")
        return SiteConfig(
            gateway=GatewayConfig(name="demo"),
            ledger=LedgerConfig(footprint="small"),
            devices={
                "node": DeviceConfig(profile="cobs-node", port=str(self.node_cable.path), label="Radiator valve"),
                "gps": DeviceConfig(profile="nmea-gnss", port=str(self.gnss_cable.path), label="Boat"),
                "pump": DeviceConfig(profile="motor", port=pump, label="Pump motor"),
                "tag": DeviceConfig(profile="ruuvitag-df5", port=f"replay:{self._recording}?loop=1", label="Cellar"),
                **room,
            },
        )

    async def run(self) -> None:
        """Let the devices live, for ever; what one is told it answers at the next tick, within 20 ms.

        Power comes a moment after the gateway: opening a tty throws away what was said into it before.
        """
        await asyncio.sleep(POWER_ON_S)
        loop = asyncio.get_running_loop()
        start_s = due_s = loop.time()
        while True:
            self.tick(loop.time() - start_s)
            due_s = max(due_s + TICK_S, loop.time())
            await asyncio.sleep(due_s - loop.time())

    def tick(self, now_s: float) -> None:
        """Let the devices live until a time that they count from their power-on."""
        self._now_s = now_s
        if self._pulls_cable:
            self._pull(now_s)
        for berth in self.berths.values():
            berth.tick(now_s)

    def obey(self, line: str) -> str:
        """Carry out one order of `orders.py`, as `node behave lies`; return `ok`, or `error: ` and why."""
        return orders.obey(line, self.berths, self._now_s)

    def _pull(self, now_s: float) -> None:
        pulled = now_s > PULLED_EVERY_S and now_s % PULLED_EVERY_S < PULLED_FOR_S
        if pulled and self.node_cable.is_plugged:
            log.warning("the demo pulls the cable of the node for %g s", PULLED_FOR_S)
            self.node_cable.unplug()
        elif not pulled and not self.node_cable.is_plugged:
            self.node_cable.plug(elsewhere=True)

    def _room(self, cable: Cable) -> Berth:
        self._thermostat.write_text(thermostat.PROFILE, encoding="utf-8")
        room = thermostat.Thermostat(CompiledProfile(load_profile(self._thermostat)))
        return SlaveOnCable(ModbusWire(cable, [room.slave]), room.slave, room.live)

    def _tidy(self) -> None:
        for path in (self._recording, self._thermostat):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def _compiled(name: str) -> CompiledProfile:
    return CompiledProfile(load_profile(find_profile(name)))
