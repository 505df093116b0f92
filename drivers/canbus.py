"""CAN: `can0` is a kernel interface, `INTERFACE:CHANNEL` any interface of python-can, for example `virtual:demo`.

Options of python-can follow a question mark: `slcan:/dev/ttyACM0?sleep_after_open=0`. An address is the CAN id with the
kernel's flag bits.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from drivers._can_netlink import Interface
from drivers._can_python import PythonCanPort
from drivers._can_raw import can_socket
from drivers._can_socket import SocketCanPort
from drivers._can_usb import UsbCanPort
from gateway.clock import Clock
from gateway.errors import PortOptionError
from gateway.port import Port
from gateway.profile.model import LinkSpec


class CanDriver:
    """Entry point `can`."""

    name = "can"

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        """Return an unopened CAN port. Raises: PortOptionError for text that can never be one."""
        interface, colon, channel = target.partition(":")
        if interface == "usb":
            return UsbCanPort(target, partial(_socket_port, target, link, clock))
        if colon and interface != "socketcan":
            return PythonCanPort(target, link, clock)
        device = channel if colon else target
        if not 0 < len(device.encode()) < 16 or "/" in device or device.split() != [device]:
            raise PortOptionError(repr(target), "write a network interface such as can0, or INTERFACE:CHANNEL")
        return _socket_port(target, link, clock, device)

    def claims(self, target: str, bus: str) -> bool:
        """Whether the device is on a CAN bus."""
        return bus == "can" and not target.startswith("replay:")


def _socket_port(target: str, link: LinkSpec, clock: Clock, device: str) -> SocketCanPort:
    connect = partial(can_socket, device, fd=link.fd, bitrate=link.bitrate)
    return SocketCanPort(target, connect, clock, fd=link.fd, bitrate=link.bitrate, controller=Interface(device))


DRIVER: Final = CanDriver()
