"""Which port a USB identity means, and whether the device behind a port is the one its profile is for."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from gateway.errors import PortNotFoundError, PortOptionError
from gateway.profile.model import MatchSpec
from gateway.profile.usb import contradiction
from gateway.sysfs import ROOT, can_interfaces, serial_nodes, tty_identity
from gateway.udev.identity import UsbIdentity, parse_usb

SWAPPING: Final = ("/dev/ttyUSB", "/dev/ttyACM")  # names given in the order of plugging

log = logging.getLogger(__name__)


def serial_node_of(target: str, root: Path = ROOT) -> str:
    """Return the node of the adapter that `usb:VID:PID[:serial]` means right now.

    Raises: PortNotFoundError for none; PortOptionError for text that is no identity, and where several adapters fit.
    """
    return _only(target, [(port.node, port.identity) for port in serial_nodes(root)])


def can_interface_of(target: str, root: Path = ROOT) -> str:
    """Return the CAN interface of the adapter that `usb:VID:PID[:serial]` means right now.

    Raises: PortNotFoundError for none; PortOptionError for text that is no identity, and where several interfaces fit.
    """
    return _only(target, [(can.name, can.identity) for can in can_interfaces(root)])


def _only(target: str, plugged: list[tuple[str, UsbIdentity | None]]) -> str:
    wanted = parse_usb(target)
    if wanted is None:
        raise PortOptionError(target, "write usb:VID:PID or usb:VID:PID:SERIAL with four hex digits each")
    fitting = [(name, identity) for name, identity in plugged if identity is not None and wanted.is_served_by(identity)]
    if not fitting:
        raise PortNotFoundError(target, "no USB adapter with these ids is plugged in")
    if len(fitting) > 1:
        names = ", ".join(f"{name} (serial {identity.serial or 'none'})" for name, identity in fitting)
        raise PortOptionError(target, f"{len(fitting)} ports fit: {names}; add the serial number, or name one of them")
    return fitting[0][0]


def check_identity(target: str, node: str, match: MatchSpec | None, root: Path = ROOT) -> None:
    """Refuse a port whose name may mean another device since the last plug, where its adapter is not the profile's.

    Who chose a stable name may have chosen another adapter on purpose, and is told. What is not on USB is trusted.
    Raises: PortOptionError with both identities.
    """
    plugged = tty_identity(node, root) if match is not None else None
    cause = contradiction(match, plugged) if match is not None and plugged is not None else None
    if cause is None:
        return
    if target.startswith(SWAPPING):
        raise PortOptionError(target, f"{cause}; if that is right, name it by /dev/serial/by-id or {plugged}")
    log.warning("not the adapter that the profile knows: port=%s %s", target, cause)
