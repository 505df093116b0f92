"""A CAN bus named by its USB adapter, over a socket pair in the kernel's place."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from drivers._can_socket import SocketCanPort
from drivers._can_usb import UsbCanPort
from drivers.canbus import DRIVER
from gateway.clock import SystemClock
from gateway.errors import PortClosedError, PortNotFoundError
from gateway.profile.model import LinkSpec

TARGET = "usb:1d50:606f:HIL0001"


class Adapter:
    """An adapter whose interface has another name at every plug."""

    def __init__(self):
        self.interface = None
        self.opened = []
        self.far = None

    def find(self, target):
        if self.interface is None:
            raise PortNotFoundError(target, "no USB adapter with these ids is plugged in")
        return self.interface

    def make(self, interface):
        self.opened.append(interface)
        return SocketCanPort(TARGET, self.connect, SystemClock())

    def connect(self):
        near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return near

    def port(self):
        return UsbCanPort(TARGET, self.make, self.find)


def test_an_adapter_is_found_anew_at_every_open():
    adapter = Adapter()
    port = adapter.port()

    async def scenario():
        adapter.interface = "can0"
        await port.open()
        await port.close()
        adapter.interface = "can3"
        await port.open()
        adapter.far.send(struct.pack("=IB3x8s", 0x123, 2, b"\x01\x02"))
        batch = await port.read()
        await port.close()
        return batch

    batch = asyncio.run(scenario())
    assert adapter.opened == ["can0", "can3"]
    assert (batch.payloads, batch.addresses) == ([b"\x01\x02"], [0x123])


def test_an_adapter_that_is_not_plugged_in_is_not_there():
    with pytest.raises(PortNotFoundError, match="usb:1d50:606f:HIL0001"):
        asyncio.run(Adapter().port().open())


def test_a_port_that_is_not_open_gives_nothing_and_takes_nothing():
    port = Adapter().port()
    with pytest.raises(PortClosedError):
        asyncio.run(port.read())
    with pytest.raises(PortClosedError):
        asyncio.run(port.write(b"", 1))
    assert port.health() == {}


def test_the_driver_takes_a_usb_identity_for_a_can_port():
    port = DRIVER.make(TARGET, LinkSpec(bus="can"), SystemClock())
    assert isinstance(port, UsbCanPort)
    with pytest.raises(PortNotFoundError):
        asyncio.run(port.open())
