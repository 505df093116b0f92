"""What is plugged in, as sysfs and /dev show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.sysfs import bluetooth_adapters, can_interfaces, serial_nodes, spi_nodes, text_of
from gateway.udev.identity import UsbIdentity
from tests.machine import Machine

FTDI = UsbIdentity(0x0403, 0x6001, "A50285BI", "FT232R USB UART")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_usb_serial_port_has_identity_driver_and_its_stable_names(machine: Machine):
    machine.tty("ttyUSB0", machine.usb("1-1", "0403", "6001", "A50285BI", "FT232R USB UART"))
    machine.link("dev/serial/by-id/usb-FTDI-if00", "dev/ttyUSB0")
    machine.link("dev/tidegate/uart-A50285BI", "dev/ttyUSB0")
    (port,) = serial_nodes(machine.root)
    assert (port.node, port.driver, port.identity) == ("/dev/ttyUSB0", "ftdi_sio", FTDI)
    assert port.links == ("/dev/tidegate/uart-A50285BI", "/dev/serial/by-id/usb-FTDI-if00")


def test_ports_without_hardware_behind_them_are_left_out(machine: Machine):
    machine.write("sys/class/tty/tty0/uevent", "")
    machine.tty("ttyS0", driver="serial8250", uart="0")
    machine.tty("ttyS1", driver="serial8250", uart="4")
    assert [port.node for port in serial_nodes(machine.root)] == ["/dev/ttyS1"]


def test_ports_come_in_order_of_their_numbers(machine: Machine):
    for number in (10, 2, 1):
        machine.tty(f"ttyUSB{number}")
    assert [port.node for port in serial_nodes(machine.root)] == ["/dev/ttyUSB1", "/dev/ttyUSB2", "/dev/ttyUSB10"]


def test_can_interfaces_tell_state_fd_and_adapter(machine: Machine):
    machine.can("can0", machine.usb("1-2", "1d50", "606f", "42"))
    machine.can("can1", flags="0x40080", mtu="72")
    machine.write("sys/class/net/eth0/type", "1\n")
    first, second = can_interfaces(machine.root)
    assert (first.name, first.is_up, first.is_fd, first.is_virtual) == ("can0", True, False, False)
    assert first.identity == UsbIdentity(0x1D50, 0x606F, "42")
    assert (second.is_up, second.is_fd, second.is_virtual, second.identity) == (False, True, True, None)


def test_spi_nodes_tell_their_alias(machine: Machine):
    machine.spidev("spidev0.1", "spi:rohm,dh2228fv")
    (node,) = spi_nodes(machine.root)
    assert (node.node, node.modalias) == ("/dev/spidev0.1", "spi:rohm,dh2228fv")


def test_bluetooth_connections_are_no_adapters(machine: Machine):
    machine.write("sys/class/bluetooth/hci0/uevent", "")
    machine.write("sys/class/bluetooth/hci0:64/uevent", "")
    assert bluetooth_adapters(machine.root) == ["hci0"]


def test_a_machine_without_any_of_it_has_nothing(tmp_path: Path):
    assert [serial_nodes(tmp_path), can_interfaces(tmp_path), spi_nodes(tmp_path), bluetooth_adapters(tmp_path)] == [
        []
    ] * 4


@pytest.mark.parametrize(("data", "text"), [(b"ab\n", "ab"), (b"a\xff\n", "a\ufffd"), (b"\0\n", None), (b"", None)])
def test_small_files_are_read_whatever_they_hold(tmp_path: Path, data: bytes, text: str | None):
    (tmp_path / "file").write_bytes(data)
    assert text_of(tmp_path / "file") == text


def test_damaged_numbers_in_sysfs_are_no_identity(machine: Machine):
    machine.tty("ttyUSB0", machine.usb("1-1", "zz", "6001"))
    machine.can("can0", flags="broken")
    assert serial_nodes(machine.root)[0].identity is None
    assert can_interfaces(machine.root)[0].is_up is False
