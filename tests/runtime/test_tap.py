from __future__ import annotations

import pytest

from gateway.errors import UsageError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_REMOTE, Batch, Element
from gateway.runtime.device import Device
from gateway.runtime.supervisor import Keeper
from gateway.runtime.tap import Taps, kind_of
from gateway.testing import FakeClock, run_on_fake_clock
from tests.runtime.kit import cobs_profile


class Port:
    """Reads the same, writes nothing."""

    name = "/dev/wire"
    is_stream = True

    async def read(self):
        return Batch([b"ab", b"c"], 7, 8, dropped=2)

    async def write(self, data, address=None):
        del data, address


def tapped(scenario):
    async def run(clock):
        port = Port()
        keeper = Keeper("wire", port, [Device("node", cobs_profile(), clock)], lambda *_: None, clock)
        return await scenario(Taps([keeper], clock), port)

    clock = FakeClock()
    return run_on_fake_clock(run(clock), clock)


def test_what_is_read_and_written_is_told_and_afterwards_the_port_is_as_it_was():
    async def scenario(taps, port):
        with taps.open(["node"]) as tap:
            await port.read()
            await port.write(b"xy")
            records = await tap.chunk() + await tap.chunk()
        return records, vars(port), tap.buses

    records, left, buses = tapped(scenario)
    assert [(each["bus"], each["dir"], each["kind"], each["data"]) for each in records] == [
        ("uart0", "rx", "bytes", "6162"),
        ("uart0", "rx", "bytes", "63"),
        ("uart0", "note", "note", ""),
        ("uart0", "tx", "bytes", "7879"),
    ]
    assert left == {}
    assert buses == {"uart0": {"protocol": "uart", "port": "/dev/wire", "devices": ["node"]}}


def test_a_device_that_there_is_not_is_refused_with_those_that_are():
    async def scenario(taps, port):
        del port
        with pytest.raises(UsageError, match="no device 'nodes'; did you mean 'node'"), taps.open(["nodes"]):
            pass

    tapped(scenario)


@pytest.mark.parametrize(
    ("protocol", "direction", "address", "expected"),
    [
        ("can", "rx", 0x123, ("data", b"\1", {"id": "123"})),
        ("can", "rx", 0x123 | CAN_EXTENDED, ("data", b"\1", {"id": "00000123"})),
        ("can", "rx", 0x123 | CAN_REMOTE, ("remote", b"", {"id": "123", "dlc": 1})),
        ("can", "rx", 4 | CAN_ERROR, ("error", b"\1", {"id": "20000004"})),
        ("spi", "rx", b"\x9f", ("transfer", b"\x9f", {"rx": "01"})),
        (
            "ble",
            "rx",
            Element("AA", rssi=-5, manufacturer=1),
            ("adv", b"\1", {"address": "AA", "rssi": -5, "manufacturer": 1}),
        ),
        (
            "ble",
            "tx",
            Element("AA", characteristic="1"),
            ("write", b"\1", {"address": "AA", "characteristic": "1"}),
        ),
    ],
)
def test_each_bus_has_its_kinds(protocol, direction, address, expected):
    assert kind_of(protocol, direction, b"\1", address) == expected
