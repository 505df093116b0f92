"""What a port text of a rig file means: whether it can be one, whether it stays the same board's, what equals it.

A name that the kernel gives in the order of plugging may be another board's tomorrow: a test would flash the wrong one.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import DriverError, PortError
from gateway.udev.identity import parse_usb

SHOWN_BY: Final = "`tidegate scan` shows the names that stay"
_SWAPPING: Final = re.compile(r"/dev/tty(?:USB|ACM)[0-9]+")
_PTY: Final = re.compile(r"/dev/pts/[0-9]+")
_USB_PREFIX: Final = "usb:"


def problem_with(protocol: str, port: str) -> str | None:
    """Return why a text cannot be the port of a protocol on a bench, None where it can."""
    if not port.strip():
        return "an empty text is no port; " + SHOWN_BY
    node = node_in(port)
    if _SWAPPING.fullmatch(node):
        return (
            f"{node} may be another board after the next plug; write its name under /dev/serial/by-id, "
            f"or usb:VID:PID:SERIAL ({SHOWN_BY})"
        )
    return _refusal(protocol, port)


def doubt_about(protocol: str, port: str) -> str | None:
    """Return what is legal about a port and may still confuse two boards, None for nothing."""
    usb = parse_usb(port)
    if usb is not None and usb.serial is None:
        return f"any adapter with these ids will do; add its serial number where there may be two ({SHOWN_BY})"
    if _PTY.fullmatch(node_in(port)):
        return f"{node_in(port)} is as short-lived as the program that made it; a link to it stays"
    if protocol == "ble" and "/" not in port:
        return f"every device in the air is heard; write {port}/AA:BB:CC:DD:EE:FF for one board"
    return None


def node_in(port: str) -> str:
    """Return the device node that a port text names, also behind python-can's `slcan:`."""
    interface, colon, rest = port.partition(":")
    return rest.partition("?")[0] if colon and "/" not in interface and rest.startswith("/dev/") else port


def same(one: str, other: str) -> bool:
    """Return whether two port texts mean, or may mean, one adapter."""
    first, second = parse_usb(one), parse_usb(other)
    if first is not None and second is not None:
        return first[:2] == second[:2] and (None in (first.serial, second.serial) or first.serial == second.serial)
    return _canonical(one) == _canonical(other)


def _canonical(port: str) -> str:
    node = node_in(port)
    if re.fullmatch(r"(?:spi|spidev)[0-9]+\.[0-9]+", node):
        return "/dev/spidev" + node.removeprefix("spidev").removeprefix("spi")
    adapter, slash, address = node.partition("/")
    if slash and adapter.startswith("hci"):
        return f"{adapter}/{address.upper()}"
    return node.removeprefix("socketcan:")


def _refusal(protocol: str, port: str) -> str | None:
    """Return what the driver of a protocol says of a text, without touching anything."""
    from gateway.clock import SystemClock
    from gateway.profile.model import LinkSpec
    from gateway.registry import driver_for

    if port.startswith(_USB_PREFIX) and parse_usb(port) is None:
        return "write usb:VID:PID or usb:VID:PID:SERIAL with four hex digits each"
    if port.startswith("replay:"):
        return "a recording is no board; `tidegate hil replay` plays one"
    bus: dict[str, str] = {"bus": protocol}
    try:
        driver = driver_for(port, protocol)
        driver.make(port, LinkSpec(**bus), SystemClock())  # type: ignore[arg-type]  # one of the four
    except PortError as error:
        return error.cause
    except DriverError:  # what is not installed here is no mistake of the file
        return None
    return None
