"""The serial driver on ftdi_sio: names from udev, line settings, frames of the microcontroller at the far end."""

from __future__ import annotations

import asyncio
import grp
import stat
import termios

import pytest
import serial

from drivers.uart import DRIVER
from gateway.clock import SystemClock
from gateway.errors import PortBusyError, PortNotFoundError, PortOptionError
from gateway.profile.model import LinkSpec
from gateway.testing import check_driver
from hil.kernel.usb import NODE, WIRE
from tests.hil.node_line import LIMIT_S, LINK, NodeLine, set_valve

BY_ID = f"usb:0403:6001:{NODE}"


def test_a_plugged_adapter_has_a_stable_name_and_a_group_from_our_rules(hands):
    link = hands.plug(NODE)
    node = link.resolve()
    assert node.name.startswith("ttyUSB")
    facts = node.stat()
    assert (grp.getgrgid(facts.st_gid).gr_name, stat.S_IMODE(facts.st_mode)) == ("dialout", 0o660)


@pytest.mark.parametrize("by", ["link", "usb_id"])
def test_frames_of_the_microcontroller_are_decoded_by_the_profile(hands, on_port, by):
    link = hands.plug(NODE)

    async def scenario(port):
        line = NodeLine(port)
        return [await line.next("measurement") for _ in range(5)], line.garbage[1:]

    measurements, garbage = on_port(link if by == "link" else BY_ID, scenario)
    uptimes = [values["uptime"] for values in measurements]
    assert uptimes == sorted(set(uptimes))
    assert all(18 < values["temperature"] < 26 for values in measurements)
    assert garbage == []  # but for the frame that was cut by opening


def test_a_command_is_acknowledged_and_the_valve_gets_there(hands, on_port):
    async def scenario(port):
        line = NodeLine(port)
        await port.write(set_valve(7, 30))
        ack = await line.next("ack")
        return ack, await line.next("measurement", lambda values: values["valve_position"] == 30)

    ack, arrived = on_port(hands.plug(NODE), scenario)
    assert (ack["counter"], ack["result"], ack["position"]) == (7, "accepted", 30)
    assert arrived["valve_position"] == 30


def test_a_frame_with_a_wrong_check_is_not_answered(hands, on_port):
    async def scenario(port):
        good = set_valve(1, 40)
        await port.write(good[:-3] + bytes([good[-3] ^ 1]) + good[-2:])
        await port.write(set_valve(2, 40))
        return (await NodeLine(port).next("ack"))["counter"]

    assert on_port(hands.plug(NODE), scenario) == 2


def test_a_device_that_hangs_is_silent_but_its_port_stays(hands, on_port):
    async def scenario(port):
        line = NodeLine(port)
        before = await line.next("measurement")
        hands("halt")
        try:
            before = await line.silence(1.0) or before
        finally:
            hands("go-on")
        return before["uptime"], (await line.next("measurement"))["uptime"]

    before, after = on_port(hands.plug(NODE), scenario)
    assert 0 < after - before < 1000


def test_a_device_that_is_reset_introduces_itself_again(hands, on_port):
    async def scenario(port):
        line = NodeLine(port)
        await line.next("measurement")
        hands("reset")
        return await line.next("identity"), await line.next("status")

    identity, status = on_port(hands.plug(NODE), scenario)
    assert identity["serial_number"] == "7d00c0b50001"
    assert (status["restart_cause"], status["uptime"]) == ("reset_pin", 0)


def test_two_adapters_of_a_kind_are_told_apart_by_their_serial_numbers_only(hands):
    hands.plug(NODE)
    hands.plug(WIRE)

    async def opening(target):
        port = DRIVER.make(target, LINK, SystemClock())
        await port.open()
        await port.close()

    with pytest.raises(PortOptionError, match="2 ports fit"):
        asyncio.run(opening("usb:0403:6001"))
    with pytest.raises(PortNotFoundError):
        asyncio.run(opening("usb:0403:6001:HIL0009"))
    asyncio.run(opening(BY_ID))


def test_a_port_that_somebody_holds_is_busy(hands, on_port):
    link = hands.plug(NODE)

    async def scenario(port):
        second = DRIVER.make(BY_ID, LINK, SystemClock())
        with pytest.raises(PortBusyError):
            await second.open()

    on_port(link, scenario)


@pytest.mark.parametrize(
    ("settings", "flag", "wanted"),
    [
        ({"parity": "even"}, termios.PARENB | termios.PARODD, termios.PARENB),
        ({"parity": "odd"}, termios.PARENB | termios.PARODD, termios.PARENB | termios.PARODD),
        ({"data_bits": 7}, termios.CSIZE, termios.CS7),
        ({"stop_bits": 2}, termios.CSTOPB, termios.CSTOPB),
        ({"flow": "rtscts"}, termios.CRTSCTS, termios.CRTSCTS),
    ],
    ids=["even parity", "odd parity", "7 bits", "2 stop bits", "rtscts"],
)
def test_a_line_setting_reaches_the_kernel(hands, on_port, settings, flag, wanted):
    """A pseudo-terminal refuses or forgets these: here is where they are proven."""
    link = hands.plug(NODE)

    async def scenario(port):
        del port
        with link.resolve().open("rb", buffering=0) as tty:
            return termios.tcgetattr(tty)[2] & flag

    assert on_port(link, scenario, LinkSpec(bus="uart", baud=19200, **settings)) == wanted


def test_modem_lines_are_there(hands):
    with serial.Serial(str(hands.plug(NODE)), 115200) as port:
        for level in (False, True):
            port.dtr = port.rts = level
            assert (port.dtr, port.rts) == (level, level)
        assert {port.cts, port.dsr, port.cd, port.ri} <= {True, False}


def test_the_port_contract_holds_on_a_usb_adapter(hands, far_end):
    def make():
        return DRIVER.make(f"usb:0403:6001:{WIRE}", LINK, SystemClock())

    async def checked():
        async with asyncio.timeout(LIMIT_S + 10):
            return await check_driver(make, far_end)

    assert asyncio.run(checked()) == []
