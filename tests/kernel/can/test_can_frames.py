from __future__ import annotations

import asyncio
import struct
import time

import pytest

from drivers._can_netlink import Interface
from gateway.errors import PortOptionError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_REMOTE
from gateway.port import CanFilter
from gateway.testing import check_driver
from hil.hosts.wire import Wire

pytestmark = pytest.mark.kernel

EXACT = CAN_EXTENDED | CAN_REMOTE | 0x1FFFFFFF


def test_can_classic_extended_and_remote_frames_come_with_their_flags(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        await port.open()
        node.send(bus.classic(0x123, b"\x01\x02\x03"))
        node.send(bus.classic(0x18FEF100 | CAN_EXTENDED, bytes(8)))
        node.send(bus.classic(0x7FF | CAN_REMOTE))
        frames = await bus.read(port, 3)
        await port.close()
        node.close()
        return [frame[:2] for frame in frames]

    assert asyncio.run(scenario()) == [(0x123, b"\x01\x02\x03"), (0x98FEF100, bytes(8)), (0x400007FF, b"")]


def test_can_fd_frames_of_64_bytes_go_both_ways_with_the_bit_rate_switch(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        await port.open()
        node.send(bus.flexible(0x155, bytes(range(64))))
        heard = (await bus.read(port, 1))[0][:2]
        await port.write(bytes(range(64)), 0x156)
        written = node.recv(100)
        await port.close()
        node.close()
        return heard, written

    heard, written = asyncio.run(scenario())
    assert heard == (0x155, bytes(range(64)))
    can_id, length, flags = struct.unpack_from("=IBB", written)
    assert (can_id, length, flags & 1, written[8:]) == (0x156, 64, 1, bytes(range(64)))


def test_can_fd_frames_of_a_sender_that_is_error_passive_are_counted(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        await port.open()
        node.send(bus.flexible(0x155, bytes(12), flags=0x07))
        await bus.read(port, 1)
        health = port.health()
        await port.close()
        node.close()
        return health

    assert asyncio.run(scenario())["frames_of_passive_senders"] == 1


def test_can_written_frames_are_heard_by_other_nodes_and_not_by_ourselves(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        await port.open()
        await port.write(b"\x01", 0x10)
        await port.write(b"\x02\x03", 0x18FEF100 | CAN_EXTENDED)
        await port.write(b"", 0x20 | CAN_REMOTE)
        heard = [node.recv(100) for _ in range(3)]
        echoed, _ = await bus.read_all(port)
        await port.close()
        node.close()
        return heard, echoed

    heard, echoed = asyncio.run(scenario())
    assert heard == [
        bus.classic(0x10, b"\x01"),
        bus.classic(0x98FEF100, b"\x02\x03"),
        bus.classic(0x20 | CAN_REMOTE),
    ]
    assert echoed == []


def test_can_an_fd_frame_on_a_classic_interface_is_refused(vcan, bus):
    async def scenario():
        vcan.make_classic()
        port = vcan.port()
        await port.open()
        with pytest.raises(PortOptionError, match="FD"):
            await port.write(bytes(12), 0x10)
        await port.close()

    asyncio.run(scenario())


def test_can_filters_act_in_the_kernel(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        port.listen_for([CanFilter(0x100, 0x700 | CAN_EXTENDED | CAN_REMOTE), CanFilter(0x98FEF100, EXACT)])
        await port.open()
        for can_id in (0x0FF, 0x123, 0x200, 0x123 | CAN_REMOTE, 0x123 | CAN_EXTENDED, 0x98FEF100, 0x98FEF200, 0x1FF):
            node.send(bus.classic(can_id, b"x"))
        addresses, dropped = await bus.read_all(port)
        await port.close()
        node.close()
        return addresses, dropped

    assert asyncio.run(scenario()) == ([0x123, 0x98FEF100, 0x1FF], 0)


@pytest.mark.parametrize("count", [512, 513, 2000])
def test_can_any_number_of_filters_lets_through_what_is_wanted(vcan, bus, count):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        port.listen_for([CanFilter(number * 3 | CAN_EXTENDED, EXACT) for number in range(count)])
        await port.open()
        wanted = [0, 3, 3 * count - 3]
        for number in wanted:
            node.send(bus.classic(number | CAN_EXTENDED))
        addresses, _ = await bus.read_all(port)
        await port.close()
        node.close()
        return [address & ~CAN_EXTENDED for address in addresses] == wanted

    assert asyncio.run(scenario())


def test_can_error_frames_reach_a_port_that_nobody_told_what_to_listen_for(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        await port.open()
        node.send(bus.classic(CAN_ERROR | 0x20, bytes(8)))
        (address, payload, _stamp), *_ = await bus.read(port, 1)
        health = port.health()
        await port.close()
        node.close()
        return address, payload, health["errors"]

    assert asyncio.run(scenario()) == (CAN_ERROR | 0x20, bytes(8), {"ack": 1})


def test_can_error_frames_pass_every_filter_into_health_and_no_further(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        port.listen_for([CanFilter(0x123, EXACT)])
        await port.open()
        node.send(bus.classic(CAN_ERROR | 0x20, bytes(8)))
        node.send(bus.classic(0x123))
        addresses, _ = await bus.read_all(port)
        health = port.health()
        await port.close()
        node.close()
        return addresses, health["error_frames"]

    assert asyncio.run(scenario()) == ([0x123], 1)


def test_can_every_frame_carries_the_kernel_s_own_stamp(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        await port.open()
        before_ns = time.time_ns()
        node.send(bus.classic(0x1))
        between_ns = time.time_ns()
        await asyncio.sleep(0.3)  # what would stamp at the read would stamp both alike
        node.send(bus.classic(0x2))
        after_ns = time.time_ns()
        stamps = [stamp for _, _, stamp in await bus.read(port, 2)]
        await port.close()
        node.close()
        return before_ns, stamps[0], between_ns, stamps[1], after_ns

    times = asyncio.run(scenario())
    assert list(times) == sorted(times)


def test_can_frames_that_had_no_room_are_counted_to_the_frame(vcan, bus, monkeypatch):
    monkeypatch.setattr("drivers._can_raw.RECEIVE_BUFFER_BYTES", 65536)

    async def scenario():
        port, node = vcan.port(), vcan.socket()
        await port.open()
        sent = received = dropped = 0
        for _ in range(4):
            for number in range(700):  # nobody reads meanwhile
                node.send(bus.classic(number % 0x7FF, b"12345678"))
                sent += 1
            addresses, lost = await bus.read_all(port)
            received += len(addresses)
            dropped += lost
        kernel = port.health()["kernel_dropped"]
        await port.close()
        node.close()
        return sent, received, dropped, kernel

    sent, received, dropped, kernel = asyncio.run(scenario())
    assert dropped > 0
    assert (received + dropped, kernel) == (sent, dropped)


def test_can_a_read_takes_many_frames_at_once(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        await port.open()
        for number in range(300):
            node.send(bus.classic(number))
        batch = await port.read()
        await port.close()
        node.close()
        return batch.addresses

    assert asyncio.run(scenario()) == list(range(300))


def test_can_what_the_kernel_knows_of_an_interface_is_read_without_its_tools(vcan):
    facts = Interface(vcan.name).facts()

    assert (facts.kind, facts.state, facts.has_carrier, facts.losses["rx_dropped"]) == ("vcan", None, True, 0)


class VcanWire(Wire):
    """A second node on vcan0. Unplugging removes the interface."""

    address = 0x123

    def __init__(self, vcan, bus):
        self._vcan, self._bus = vcan, bus
        self._node = vcan.socket()

    def send(self, data):
        self._node.send(self._bus.classic(0x321, data))

    def receive(self):
        got = bytearray()
        try:
            while True:
                record = self._node.recv(100)
                got += record[8 : 8 + record[4]]
        except OSError:
            return bytes(got)

    async def unplug(self):
        await asyncio.to_thread(self._vcan.remove)

    async def plug(self):
        await asyncio.to_thread(self._vcan.add)
        self._node.close()
        self._node = self._vcan.socket()


def test_can_the_driver_keeps_the_contract_on_the_kernel_s_own_bus(vcan, bus):
    assert asyncio.run(check_driver(vcan.port, VcanWire(vcan, bus))) == []


def test_can_the_receive_buffer_is_what_was_asked_for(vcan):
    async def scenario():
        port = vcan.port()
        await port.open()
        room = port.health()["receive_buffer_bytes"]
        await port.close()
        return room

    assert asyncio.run(scenario()) >= 4 << 20
