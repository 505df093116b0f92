"""Which port a USB identity means, and whether what is behind a port is what the profile is for."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from drivers._usb_identity import can_interface_of, check_identity, serial_node_of
from gateway.errors import PortNotFoundError, PortOptionError
from gateway.profile.model import MatchSpec
from tests.machine import Machine

UBLOX = MatchSpec(vid_pid="1546:01A9")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.tty("ttyUSB0", machine.usb("1-1", "0403", "6001", "A1", "FT232R"))
    machine.tty("ttyUSB1", machine.usb("1-2", "0403", "6001", "A2", "FT232R"))
    machine.tty("ttyACM0", machine.usb("1-3", "1546", "01a9"))
    machine.can("can0", machine.usb("1-4", "1d50", "606f", "42"))
    machine.can("vcan0")
    return machine


def test_a_serial_adapter_is_found_by_its_ids_and_serial_number(machine: Machine):
    assert serial_node_of("usb:1546:01A9", machine.root) == "/dev/ttyACM0"
    assert serial_node_of("usb:0403:6001:A2", machine.root) == "/dev/ttyUSB1"


def test_a_can_adapter_is_found_by_its_ids_and_serial_number(machine: Machine):
    assert can_interface_of("usb:1d50:606f", machine.root) == "can0"
    assert can_interface_of("usb:1d50:606f:42", machine.root) == "can0"


def test_an_adapter_that_came_back_under_another_name_is_followed(tmp_path: Path):
    before, after = Machine(tmp_path / "before"), Machine(tmp_path / "after")
    before.tty("ttyUSB0", before.usb("1-1", "0403", "6001", "A1"))
    after.tty("ttyUSB5", after.usb("1-1", "0403", "6001", "A1"))
    assert serial_node_of("usb:0403:6001:A1", before.root) == "/dev/ttyUSB0"
    assert serial_node_of("usb:0403:6001:A1", after.root) == "/dev/ttyUSB5"


def test_two_equal_adapters_are_refused_and_both_are_named(machine: Machine):
    with pytest.raises(PortOptionError, match=r"ttyUSB0 .serial A1.*ttyUSB1 .serial A2"):
        serial_node_of("usb:0403:6001", machine.root)


@pytest.mark.parametrize("target", ["usb:0403:6001:A3", "usb:ffff:ffff"])
def test_what_is_not_plugged_in_is_not_found(machine: Machine, target: str):
    with pytest.raises(PortNotFoundError):
        serial_node_of(target, machine.root)
    with pytest.raises(PortNotFoundError):
        can_interface_of(target, machine.root)


@pytest.mark.parametrize("target", ["usb:403:6001", "usb:", "can0"])
def test_text_that_is_no_identity_is_refused(machine: Machine, target: str):
    with pytest.raises(PortOptionError, match="four hex digits"):
        can_interface_of(target, machine.root)


def test_a_name_that_may_have_swapped_is_refused_with_both_identities(machine: Machine):
    with pytest.raises(PortOptionError, match=r"usb:0403:6001:A1 'FT232R', the profile is for vid_pid 1546:01A9"):
        check_identity("/dev/ttyUSB0", "/dev/ttyUSB0", UBLOX, machine.root)


def test_a_stable_name_with_another_adapter_is_somebody_s_choice_and_told(
    machine: Machine, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        check_identity("/dev/serial/by-id/usb-FTDI", "/dev/ttyUSB0", UBLOX, machine.root)
    assert "the profile is for vid_pid 1546:01A9" in caplog.text


@pytest.mark.parametrize(
    ("node", "match"),
    [
        ("/dev/ttyACM0", UBLOX),
        ("/dev/ttyUSB0", None),
        ("/dev/ttyUSB0", MatchSpec(product="ft232r", serial="A1")),
        ("/dev/ttyAMA0", UBLOX),
        ("/dev/ttyUSB0", MatchSpec(can_ids=[1])),
    ],
    ids=["the right one", "no match", "case", "not on USB", "nothing of USB"],
)
def test_nothing_is_said_where_nothing_contradicts(
    machine: Machine, caplog: pytest.LogCaptureFixture, node: str, match: MatchSpec | None
):
    with caplog.at_level(logging.WARNING):
        check_identity(node, node, match, machine.root)
    assert caplog.text == ""
