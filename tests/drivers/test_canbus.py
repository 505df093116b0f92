from __future__ import annotations

import asyncio
import socket
import struct
import time

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers._can_frames import FD_LENGTHS, fd_length, pack, unpack
from drivers._can_python import filter_of_python_can, split_target
from drivers._can_socket import MAX_FRAMES_PER_READ, SocketCanPort
from drivers.canbus import DRIVER
from gateway.clock import SystemClock
from gateway.errors import (
    PortClosedError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortTimeoutError,
)
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_FD, CAN_REMOTE
from gateway.port import CanFilter
from gateway.profile.model import LinkSpec
from hil.sim.pty import Cable
from tests.waiting import WITHIN_S, first_met

LINK = LinkSpec(bus="can")
FD_LINK = LinkSpec(bus="can", fd=True)


class SocketPair:
    """A message socket pair in the kernel's place."""

    def __init__(self):
        self.far = None

    def connect(self):
        near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.far.setblocking(False)
        return near


def pair(*, fd=False):
    kernel = SocketPair()
    return kernel, SocketCanPort("pair", kernel.connect, SystemClock(), fd=fd)


def classic(can_id, data):
    return struct.pack("=IB3x8s", can_id, len(data), data)


def flexible(can_id, data):
    return struct.pack("=IBB2x64s", can_id, len(data), 5, data)


def test_classic_and_fd_records_become_payloads_with_their_ids():
    kernel, port = pair()

    async def scenario():
        await port.open()
        kernel.far.send(classic(0x123, b"\x01\x02\x03"))
        kernel.far.send(flexible(0x18FEF100 | CAN_EXTENDED, bytes(range(48))))
        kernel.far.send(classic(0x7FF | CAN_REMOTE, b""))
        kernel.far.send(classic(0x4 | CAN_ERROR, bytes(8)))
        batch = await port.read()
        await port.close()
        return batch

    batch = asyncio.run(scenario())
    assert batch.payloads == [b"\x01\x02\x03", bytes(range(48)), b"", bytes(8)]
    assert batch.addresses == [0x123, 0x98FEF100, 0x400007FF, 0x20000004]
    assert batch.dropped == 0


def test_a_read_drains_what_is_there_and_no_more_than_its_bound():
    kernel, port = pair()

    async def scenario():
        await port.open()
        sent = 0
        while sent < 200:
            kernel.far.send(classic(sent, b"\xaa"))
            sent += 1
        first = await port.read()
        await port.close()
        return first

    first = asyncio.run(scenario())
    assert first.addresses == list(range(200))
    assert MAX_FRAMES_PER_READ >= 200


def test_records_too_short_for_a_header_are_counted_as_dropped():
    kernel, port = pair()

    async def scenario():
        await port.open()
        kernel.far.send(b"\x01\x02")
        kernel.far.send(classic(0x1, b"ok"))
        batch = await port.read()
        await port.close()
        return batch

    batch = asyncio.run(scenario())
    assert (batch.payloads, batch.dropped) == ([b"ok"], 1)


def test_a_length_beyond_the_record_gives_what_is_there():
    kernel, port = pair()

    async def scenario():
        await port.open()
        kernel.far.send(struct.pack("=IB3x8s", 1, 200, b"12345678"))
        batch = await port.read()
        await port.close()
        return batch.payloads

    assert asyncio.run(scenario()) == [b"12345678"]


def test_an_end_that_closes_is_a_lost_port_after_its_last_frames():
    kernel, port = pair()

    async def scenario():
        await port.open()
        kernel.far.send(classic(0x1, b"last"))
        kernel.far.close()
        batch = await port.read()
        with pytest.raises(PortLostError):
            await port.read()
        with pytest.raises(PortLostError):
            await port.write(b"", 1)
        await port.close()
        with pytest.raises(PortClosedError):
            await port.read()
        return batch.payloads

    assert asyncio.run(scenario()) == [b"last"]


def test_written_frames_are_the_kernel_s_records():
    kernel, port = pair(fd=True)

    async def scenario():
        await port.open()
        await port.write(b"\x01\x02", 0x123)
        await port.write(bytes(range(1, 14)), 0x18FEF100 | CAN_EXTENDED)
        await port.write(b"", 0x10 | CAN_REMOTE)
        records = [kernel.far.recv(100) for _ in range(3)]
        await port.close()
        return records

    records = asyncio.run(scenario())
    assert records[0] == classic(0x123, b"\x01\x02")
    assert len(records[1]) == 72
    assert unpack(records[1]) == (0x98FEF100, bytes(range(1, 14)) + bytes(3))  # 13 bytes go as 16
    assert records[2] == classic(0x40000010, b"")


async def write_for_ever(port):
    while True:
        await port.write(b"12345678", 0x1)


def test_a_full_socket_times_out():
    async def scenario():
        _kernel, port = pair()
        await port.open()
        start = time.monotonic()
        with pytest.raises(PortTimeoutError):
            await write_for_ever(port)
        await port.close()
        return time.monotonic() - start

    assert first_met(lambda: asyncio.run(scenario()), lambda took_s: took_s < 5) < 5


@pytest.mark.parametrize(
    ("data", "address", "fd"),
    [
        (b"123456789", 1, False),
        (bytes(65), 1, True),
        (b"", None, False),
        (b"", 0x800, False),
        (b"", CAN_ERROR | 1, False),
        (b"", -1, False),
        (b"123456789", 1 | CAN_REMOTE, True),
    ],
)
def test_what_no_frame_can_carry_is_refused_before_it_is_sent(data, address, fd):
    with pytest.raises(PortOptionError):
        pack("can0", data, address, fd=fd)


@given(st.binary(max_size=64), st.integers(0, 0x1FFFFFFF))
def test_unpack_reverses_pack_up_to_the_padding_of_fd(data, number):
    can_id, got = unpack(pack("can0", data, number | CAN_EXTENDED, fd=True))
    assert can_id == number | CAN_EXTENDED
    assert got == data.ljust(fd_length(len(data)), b"\0")
    assert len(got) in FD_LENGTHS


@given(st.binary(max_size=80))
def test_any_record_of_a_header_or_more_unpacks(record):
    if len(record) >= 5:
        unpack(record)
    else:
        with pytest.raises(struct.error):
            unpack(record)


def test_a_kernel_without_can_is_told_with_the_command():
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError:
        match = "modprobe can_raw"
    else:
        match = "nosuchcan"

    async def scenario():
        with pytest.raises(PortNotFoundError, match=match):
            await DRIVER.make("nosuchcan", LINK, SystemClock()).open()

    asyncio.run(scenario())


@pytest.mark.parametrize("target", ["", "a/b", "interface-name-too-long", "socketcan:", "can 0"])
def test_text_that_names_no_interface_is_refused_when_made(target):
    with pytest.raises(PortOptionError):
        DRIVER.make(target, LINK, SystemClock())


def test_an_unknown_interface_suggests_the_nearest():
    async def scenario():
        with pytest.raises(PortOptionError, match="did you mean virtual:demo"):
            await DRIVER.make("virtuel:demo", LINK, SystemClock()).open()

    asyncio.run(scenario())


def test_a_python_can_bus_gives_frames_with_their_flags():
    async def scenario():
        port = DRIVER.make("virtual:flags", FD_LINK, SystemClock())
        await port.open()
        with can.Bus(interface="virtual", channel="flags") as far:
            far.send(can.Message(arbitration_id=0x123, data=b"\x01\x02", is_extended_id=False))
            far.send(can.Message(arbitration_id=0x18FEF100, data=bytes(12), is_fd=True))
            far.send(can.Message(arbitration_id=0x7, is_remote_frame=True, dlc=4, is_extended_id=False))
            far.send(can.Message(is_error_frame=True))
            addresses, payloads = [], []
            while len(payloads) < 4:
                batch = await port.read()
                addresses += batch.addresses
                payloads += batch.payloads
        await port.close()
        return addresses, payloads

    addresses, payloads = asyncio.run(scenario())
    assert addresses[:3] == [0x123, 0x98FEF100, 0x40000007]
    assert addresses[3] & CAN_ERROR
    assert payloads == [b"\x01\x02", bytes(12), b"", b""]


def test_a_python_can_bus_takes_classic_fd_and_remote_frames():
    async def scenario():
        port = DRIVER.make("virtual:writes", FD_LINK, SystemClock())
        await port.open()
        with can.Bus(interface="virtual", channel="writes") as far:
            await port.write(b"\x01", 0x123)
            await port.write(bytes(9), 0x456)
            await port.write(b"", 0x10 | CAN_REMOTE | CAN_EXTENDED)
            got = [far.recv(WITHIN_S) for _ in range(3)]
        await port.close()
        return got

    first, second, third = asyncio.run(scenario())
    assert (first.arbitration_id, bytes(first.data), first.is_fd, first.is_extended_id) == (
        0x123,
        b"\x01",
        False,
        False,
    )
    assert (second.is_fd, second.dlc, bytes(second.data)) == (True, 12, bytes(12))
    assert (third.is_remote_frame, third.is_extended_id, third.arbitration_id) == (True, True, 0x10)


def test_a_reader_that_sleeps_loses_the_oldest_frames_and_is_told_how_many(monkeypatch):
    monkeypatch.setattr("drivers._can_python.HAND_OVER_FRAMES", 100)

    async def scenario():
        port = DRIVER.make("virtual:overflow", LINK, SystemClock())
        await port.open()
        with can.Bus(interface="virtual", channel="overflow") as far:
            for number in range(1000):
                far.send(can.Message(arbitration_id=number, is_extended_id=False))
            numbers, dropped = [], 0
            while not numbers or numbers[-1] != 999:
                await asyncio.sleep(0.01)
                batch = await port.read()
                numbers += batch.addresses
                dropped += batch.dropped
        await port.close()
        return numbers, dropped

    numbers, dropped = asyncio.run(scenario())
    assert len(numbers) + dropped == 1000
    assert numbers == sorted(numbers)


def test_closing_wakes_a_waiting_read_of_a_python_can_bus():
    async def scenario():
        port = DRIVER.make("virtual:close", LINK, SystemClock())
        await port.open()

        async def read():
            with pytest.raises(PortClosedError):
                await port.read()

        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            await asyncio.sleep(0)
            await port.close()
        return time.monotonic() - start

    assert first_met(lambda: asyncio.run(scenario()), lambda took_s: took_s < 1) < 1


def test_an_fd_frame_may_be_as_short_as_a_classic_one():
    assert pack("can0", b"\x30\x00\x00", 0x7E0 | CAN_FD, fd=True) == struct.pack("=IBB2x64s", 0x7E0, 3, 5, b"\x30")
    for fd, flag in ((False, 0), (True, CAN_REMOTE)):
        with pytest.raises(PortOptionError, match="no FD frame"):
            pack("can0", b"", 0x7E0 | CAN_FD | flag, fd=fd)


def test_frames_carry_the_time_at_which_they_were_sent():
    kernel, port = pair()

    async def scenario():
        await port.open()
        before_ns = time.time_ns()
        kernel.far.send(classic(0x1, b""))
        after_ns = time.time_ns()
        batch = await port.read()
        await port.close()
        return before_ns, batch.stamps_ns[0], after_ns, batch.wall_ns

    times = asyncio.run(scenario())
    assert list(times) == sorted(times)


def test_error_frames_go_no_further_once_somebody_said_what_to_listen_for():
    kernel, port = pair()
    port.listen_for(())

    async def scenario():
        await port.open()
        kernel.far.send(classic(CAN_ERROR | 0x20, bytes(8)))
        kernel.far.send(classic(0x1, b"data"))
        kernel.far.send(classic(CAN_ERROR | 0x204, bytes.fromhex("0010000000000080")))
        batch = await port.read()
        health = port.health()
        await port.close()
        return batch, health

    batch, health = asyncio.run(scenario())
    assert (batch.addresses, batch.payloads, len(batch.stamps_ns), batch.dropped) == ([0x1], [b"data"], 1, 0)
    assert (health["error_frames"], health["errors"], health["bus_state"]) == (2, {"ack": 1}, "error-passive")
    assert (health["tx_errors"], health["rx_errors"]) == (0, 128)


def test_a_frame_that_the_controller_had_no_room_for_is_dropped_like_any_other():
    kernel, port = pair()
    port.listen_for(())

    async def scenario():
        await port.open()
        kernel.far.send(classic(CAN_ERROR | 0x04, b"\x00\x01" + bytes(6)))
        batch = await port.read()
        await port.close()
        return batch.payloads, batch.dropped

    assert asyncio.run(scenario()) == ([], 1)


def test_bus_off_holds_writes_back_until_the_bus_is_heard_again():
    kernel, port = pair()
    port.listen_for(())

    async def scenario():
        await port.open()
        kernel.far.send(classic(CAN_ERROR | 0x40, bytes(8)))
        kernel.far.send(classic(CAN_ERROR | 0x04, b"\x00\x01" + bytes(6)))  # gives the read something to return
        await port.read()
        with pytest.raises(PortTimeoutError, match="bus-off"):
            await port.write(b"\x01", 0x10)
        kernel.far.send(classic(0x1, b""))
        await port.read()
        await port.write(b"\x02", 0x10)
        health = port.health()
        sent = kernel.far.recv(100)
        await port.close()
        return health["write_timeouts"], health["bus_off_count"], sent

    assert asyncio.run(scenario()) == ({"bus-off": 1}, 1, classic(0x10, b"\x02"))


def test_what_had_no_room_behind_the_last_frame_is_told_without_another_frame():
    """UDP on the loopback counts what it has no room for as CAN does, on any kernel."""
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def connect():
        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        near.bind(("127.0.0.1", 0))
        far.connect(near.getsockname())
        return near

    async def scenario():
        port = SocketCanPort("lossy", connect, SystemClock())
        await port.open()
        for number in range(200):
            far.send(classic(number, b"12345678"))
        received, dropped, batches = 0, 0, []
        while received + dropped < 200:
            batches.append(await port.read())
            received += len(batches[-1].payloads)
            dropped += batches[-1].dropped
        told = port.health()["kernel_dropped"]
        await port.close()
        far.close()
        return received + dropped, dropped == told, batches[-1].payloads

    assert asyncio.run(scenario()) == (200, True, [])


def test_health_is_known_before_and_after_a_port_is_open():
    _, port = pair()

    async def scenario():
        before = port.health()
        await port.open()
        await port.close()
        return before["bus_state"], port.health()["bus_state"]

    assert asyncio.run(scenario()) == ("unknown", "unknown")


def test_a_python_can_bus_leaves_out_what_nobody_wants_and_hears_every_error_frame():
    async def scenario():
        port = DRIVER.make("virtual:filters", LINK, SystemClock())
        port.listen_for([CanFilter(0x100, CAN_EXTENDED | 0x700)])
        await port.open()
        with can.Bus(interface="virtual", channel="filters") as far:
            far.send(can.Message(is_error_frame=True, arbitration_id=0x20, data=bytes(8), is_extended_id=False))
            for number, extended in ((0x200, False), (0x123, True), (0x123, False)):
                far.send(can.Message(arbitration_id=number, is_extended_id=extended))
            batch = await port.read()
        health = port.health()
        await port.close()
        return batch.addresses, health["errors"]

    assert asyncio.run(scenario()) == ([0x123], {"ack": 1})


def test_a_python_can_bus_that_is_off_takes_no_writes_until_it_is_heard_again():
    async def scenario():
        port = DRIVER.make("virtual:off", LINK, SystemClock())
        await port.open()
        with can.Bus(interface="virtual", channel="off") as far:
            far.send(can.Message(is_error_frame=True, arbitration_id=0x40, data=bytes(8), is_extended_id=False))
            await port.read()
            with pytest.raises(PortTimeoutError, match="bus-off"):
                await port.write(b"", 0x10)
            far.send(can.Message(arbitration_id=0x1, is_extended_id=False))
            await port.read()
            await port.write(b"\x02", 0x10)
            heard = far.recv(WITHIN_S)
        await port.close()
        return bytes(heard.data)

    assert asyncio.run(scenario()) == b"\x02"


def test_damaged_lines_of_an_adapter_are_counted_and_the_next_frame_is_found(tmp_path):
    async def scenario():
        with Cable(tmp_path / "adapter") as cable:
            port = DRIVER.make(f"slcan:{cable.path}?sleep_after_open=0", LINK, SystemClock())
            await port.open()
            cable.send(b"t12\rtzzz\rt1232AABB\r")
            addresses, dropped = [], 0
            while not addresses:
                batch = await port.read()
                addresses += batch.addresses
                dropped += batch.dropped
            malformed = port.health()["malformed"]
            await port.close()
        return addresses, dropped, malformed

    assert asyncio.run(scenario()) == ([0x123], 2, 2)


def test_an_adapter_that_only_sends_nonsense_is_opened_anew(tmp_path):
    async def scenario():
        with Cable(tmp_path / "adapter") as cable:
            port = DRIVER.make(f"slcan:{cable.path}?sleep_after_open=0", LINK, SystemClock())
            await port.open()
            cable.send(b"tzzz\r" * 200)
            with pytest.raises(PortLostError, match="nothing that makes sense"):
                await read_for_ever(port)
            await port.close()

    asyncio.run(scenario())


async def read_for_ever(port):
    while True:
        await port.read()


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("virtual:demo", ("virtual", "demo", {})),
        ("slcan:/dev/ttyACM0@115200", ("slcan", "/dev/ttyACM0@115200", {})),
        (
            "slcan:/dev/x?sleep_after_open=0.5&listen_only=true",
            ("slcan", "/dev/x", {"sleep_after_open": 0.5, "listen_only": True}),
        ),
        ("usb2can:?serial=ED000123", ("usb2can", None, {"serial": "ED000123"})),
    ],
)
def test_options_of_python_can_follow_a_question_mark(target, expected):
    assert split_target(target) == expected


def test_a_filter_of_an_adapter_says_which_kind_of_id_it_means():
    assert filter_of_python_can(CanFilter(0x98FEF100, CAN_EXTENDED | 0x1FFFFF00)) == {
        "can_id": 0x18FEF100,
        "can_mask": 0x1FFFFF00,
        "extended": True,
    }
    assert filter_of_python_can(CanFilter(0x100, 0x700)) == {"can_id": 0x100, "can_mask": 0x700}
