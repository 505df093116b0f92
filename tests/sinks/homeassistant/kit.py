"""What the tests of Home Assistant's entities share: a device with everything that a profile can say of values."""

from __future__ import annotations

from typing import Any

from gateway.profile.build import CompiledProfile
from gateway.profile.recorded import Adjust
from gateway.profile.setpoint import compile_setpoints
from gateway.runtime.device import Device
from gateway.runtime.shadows import Twin
from gateway.sinks.homeassistant.config import config
from gateway.sinks.mqtt.topics import Topics
from gateway.testing import FakeClock
from tests.runtime.kit import compiled

TOPICS = Topics("tidegate", "gw")
EVERYTHING = """
[profile]
id     = "acme/plant@2.1.0"
title  = "Plant"
family = "plant"
[link]
bus = "uart"
[framing]
kind = "cobs"
[message.said]
when   = { bytes = { 0 = 1 } }
fields = [
  { type = "u8", const = 1 },
  { name = "temperature", type = "s16be", scale = 0.1, units = "Cel", class = "temperature" },
  { name = "wrong_class", type = "u8", units = "V", class = "temperature" },
  { name = "energy",      type = "u32be", units = "kW.h", class = "energy", state = "total_increasing" },
  { name = "stock",       type = "u32be", units = "kW.h", class = "energy" },
  { name = "wind",        type = "u16be", units = "deg", class = "wind_direction" },
  { name = "torque",      type = "u16be", units = "N.m/s" },
  { name = "mode",        type = "u8", labels = { 0 = "off", 1 = "auto", 2 = "none", 3 = "{{ 1 }}" } },
  { name = "hatch",       type = "u8", labels = { 0 = "closed", 1 = "open" }, class = "door" },
  { name = "lamp",        type = "u8", labels = { 0 = "dark", 1 = "lit" } },
  { name = "level",       type = "u8", units = "%", labels = { 255 = "unknown" } },
  { name = "alarms",      type = "u8", flags = { 0 = "hot", 1 = "dry" } },
  { name = "pair",        type = "u8", array = 2 },
  { name = "serial",      type = "bytes", length = 2 },
  { type = "u8", bits = [{ name = "heater", at = "0", class = "heat" }, { name = "two", at = "2:1" }] },
]
[message.order]
when      = { bytes = { 0 = 16 } }
direction = "out"
fields = [
  { type = "u8", const = 16 },
  { name = "temperature", type = "s16be", scale = 0.1, units = "Cel" },
  { name = "mode",        type = "u8", labels = { 0 = "off", 1 = "auto", 2 = "none", 3 = "{{ 1 }}" } },
  { name = "lamp",        type = "u8", labels = { 0 = "dark", 1 = "lit" } },
  { name = "heater",      type = "bool" },
  { name = "level",       type = "u8", units = "%", minimum = 0, maximum = 100 },
  { name = "unbounded",   type = "u8" },
  { name = "note",        type = "text", length = 4 },
  { name = "alarms",      type = "u8", flags = { 0 = "hot", 1 = "dry" } },
]
[setpoint.temperature]
write   = "order.temperature"
report  = "said.temperature"
minimum = 5
maximum = 30
step    = 0.5
[setpoint.mode]
write  = "order.mode"
report = "said.mode"
[setpoint.lamp]
write  = "order.lamp"
report = "said.lamp"
[setpoint.heater_on]
write  = "order.heater"
report = "said.heater"
[setpoint.level]
write   = "order.level"
confirm = "none"
[setpoint.unbounded]
write   = "order.unbounded"
confirm = "none"
[setpoint.note]
write   = "order.note"
confirm = "none"
[setpoint.alarms]
write  = "order.alarms"
report = "said.alarms"
"""


def made(profile: CompiledProfile, name: str = "plant-1", **said: Any) -> tuple[Device, Twin]:
    clock = FakeClock()
    device = Device(name, profile, clock, **said)
    return device, Twin(device, compile_setpoints(profile), clock)


def told(adjust: dict[str, Adjust] | None = None, **said: Any) -> dict[str, Any]:
    device, twin = made(compiled(EVERYTHING), adjust=adjust, **said)
    return config(TOPICS, "gw", device, twin)


def components(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return components by platform and name."""
    return {f"{each['p']} {each['name']}": each for each in config["cmps"].values()}
