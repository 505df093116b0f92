"""Layer 9: a port from the words of a command line: which bus, which link settings, which framing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path, PurePath
from typing import Final, get_args

import msgspec

from gateway.clock import SystemClock
from gateway.errors import UsageError
from gateway.framing.rules import framing_problems
from gateway.framing.spec import FramingSpec
from gateway.port import Port
from gateway.profile.build import CompiledProfile
from gateway.profile.model import LinkSpec
from gateway.registry import driver_for
from gateway.spelling import did_you_mean

BUSES: Final = ("uart", "can", "ble", "spi")
_REPLAYED: Final = {
    ".log": "can",
    ".candump": "can",
    ".asc": "can",
    ".blf": "can",
    ".trc": "can",
    ".jsonl": "ble",
}
_KINDS: Final = tuple(str(each.__struct_config__.tag) for each in get_args(FramingSpec))
_OF_NAME: Final = ((re.compile(r"(/dev/)?spidev\d"), "spi"), (re.compile(r"hci\d+(/|$)"), "ble"))
_SERIAL: Final = re.compile(r"/|usb:|[a-z0-9+]+://|COM\d", re.IGNORECASE)


def bus_of(port: str) -> str:
    """Return the bus that a port text means.

    /dev/spidev* is SPI, hci0 is BLE, other paths, URLs and usb:VID:PID are serial, can0 and virtual:demo are CAN.
    """
    if port.startswith("replay:"):
        return _REPLAYED.get(PurePath(port.partition(":")[2].partition("?")[0]).suffix.lower(), "uart")
    for name, bus in _OF_NAME:
        if name.match(port):
            return bus
    return "uart" if _SERIAL.match(port) or Path(port).exists() else "can"


def link_of(port: str, compiled: CompiledProfile | None, bus: str | None, baud: int | None) -> LinkSpec:
    """Return the link settings: the profile's, else the defaults, with the options put in. Raises: UsageError."""
    link = compiled.profile.link if compiled else LinkSpec(bus=bus or bus_of(port))  # type: ignore[arg-type]  # one of BUSES
    if bus is not None and bus != link.bus:
        raise UsageError(f"the profile is for bus {link.bus!r}, not {bus!r}")
    if baud is None:
        return link
    if link.bus != "uart" or baud <= 0:
        raise UsageError(f"baud {baud} makes no sense on bus {link.bus!r}")
    return msgspec.structs.replace(link, baud=baud)


def make_port(target: str, link: LinkSpec) -> Port:
    """Return an unopened port. Raises: DriverError, PortOptionError."""
    return driver_for(target, link.bus).make(target, link, SystemClock())


def framing_of(text: str) -> FramingSpec:
    """Return the framing in "cobs" or 'kind = "cobs", check = { kind = "crc-16-modbus" }'. Raises: UsageError."""
    table = text.strip() if "=" in text else f'kind = "{text}"'
    table = table if table.startswith("{") else f"{{ {table} }}"
    try:
        framing: FramingSpec = msgspec.convert(tomllib.loads(f"framing = {table}")["framing"], FramingSpec)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        if text.replace("-", "").isalnum() and text not in _KINDS:
            hint = did_you_mean(text, _KINDS) or f"; one of {', '.join(_KINDS)}"
            raise UsageError(f"--framing {text!r}: no such kind{hint}") from error
        raise UsageError(f"--framing {text!r}: {error}") from error
    problems = framing_problems(framing)
    if problems:
        raise UsageError(f"--framing {text!r}: {problems[0][0]}: {problems[0][1]}")
    return framing
