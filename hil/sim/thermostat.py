"""A room thermostat on Modbus: what a device looks like that is polled, has no acks of its own and reads back.

Invented, with one of each kind of write: one register, a label, two registers, a coil. `PROFILE` is how it is read.
"""

from __future__ import annotations

from typing import Final

from gateway.profile.build import CompiledProfile
from hil.sim.modbus import ModbusSlave

PROFILE: Final = """\
[profile]
id     = "tidegate/sim-thermostat@1.0.0"
title  = "Simulated room thermostat"
family = "climate"

[link]
bus   = "uart"
baud  = 19200
rs485 = false

[framing]
kind = "modbus-rtu"

[message.room]
ask    = { input = 0, count = 1 }
every  = "500ms"
fields = [{ name = "temperature", register = 0, type = "s16be", scale = 0.1, units = "Cel", class = "temperature" }]

[message.setting]
ask     = { holding = 0, count = 4 }
every   = "100ms"
timeout = "200ms"
fields  = [
  { name = "target", register = 0, type = "s16be", scale = 0.1, units = "Cel", minimum = 5, maximum = 30 },
  { name = "fan",    register = 1, type = "u16be", labels = { 0 = "off", 1 = "low", 2 = "high" } },
  { name = "limit",  register = 2, type = "f32be", units = "W", minimum = 0, maximum = 4000 },
]

[message.switch]
ask     = { coils = 0, count = 1 }
every   = "100ms"
timeout = "200ms"
fields  = [{ type = "u8", bits = [{ name = "power", at = "0" }] }]

[setpoint.target]
write      = "setting.target"
report     = "setting.target"
step       = 0.1
timeout    = "400ms"
attempts   = 2
idempotent = true

[setpoint.fan]
write      = "setting.fan"
report     = "setting.fan"
timeout    = "400ms"
attempts   = 2
idempotent = true

[setpoint.limit]
write      = "setting.limit"
report     = "setting.limit"
tolerance  = 0.5
timeout    = "400ms"
attempts   = 2
idempotent = true

[setpoint.power]
write      = "switch.power"
report     = "switch.power"
timeout    = "400ms"
attempts   = 2
idempotent = true
"""
WARMING_S: Final = 20.0
COLD_CEL: Final = 14.0


class Thermostat:
    """The device and its room. `slave` is the one on the wire."""

    def __init__(self, profile: CompiledProfile) -> None:
        """Take `PROFILE`, compiled."""
        self.slave = ModbusSlave(
            profile,
            {
                "room": {"temperature": 19.0},
                "setting": {"target": 20.0, "fan": "low", "limit": 1500.0},
                "switch": {"power": True},
            },
        )
        self._room_cel = 19.0
        self._last_s: float | None = None

    def live(self, now_s: float) -> None:
        """Warm or cool the room until now."""
        passed_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        is_heating = self.slave.value("switch", "power", now_s)
        goal_cel = self.slave.value("setting", "target", now_s) if is_heating else COLD_CEL
        self._room_cel += (goal_cel - self._room_cel) * min(passed_s / WARMING_S, 1)
        self.slave.values["room"]["temperature"] = round(self._room_cel, 1)
