from __future__ import annotations

import asyncio
import logging
import time

import pytest

from drivers._can_netlink import Interface
from gateway.errors import PortLostError, PortNotFoundError, PortTimeoutError
from gateway.frame import CAN_ERROR
from gateway.port import CanFilter

pytestmark = pytest.mark.kernel

ANY = [CanFilter(0, 0)]


def lines_of(caplog):
    return [(record.levelno, record.args[1]) for record in caplog.records if record.msg.startswith("bus state")]


def test_slcan_states_and_counters_of_the_controller_are_told_in_health(slcan, bus):
    async def scenario():
        port = slcan.port()
        port.listen_for(ANY)
        await port.open()
        seen = []
        for line in ("", "sw096000", "sp000135", "sa000000"):  # receive errors, then transmit errors
            slcan.says(line)
            await bus.read_all(port)
            health = port.health()
            seen.append((health["bus_state"], health["tx_errors"], health["rx_errors"]))
        await port.close()
        return seen

    assert asyncio.run(scenario()) == [
        ("error-active", None, None),
        ("error-warning", 0, 96),
        ("error-passive", 135, 0),
        ("error-active", 0, 0),
    ]


def test_slcan_error_frames_are_counted_by_kind_and_are_no_frames_of_devices(slcan, bus):
    async def scenario():
        port = slcan.port()
        port.listen_for(ANY)
        await port.open()
        slcan.says("e1c", "e1a", "e1a", "e1o", "t1232AABB")
        addresses, dropped = await bus.read_all(port)
        health = port.health()
        await port.close()
        return addresses, dropped, health["error_frames"], health["errors"]

    addresses, dropped, frames, errors = asyncio.run(scenario())
    assert (addresses, frames) == ([0x123], 4)
    assert errors == {"bit": 1, "crc": 1, "ack": 2, "rx-overflow": 1}  # this driver tells both of a wrong CRC
    assert dropped == 1  # what the controller had no room for is a lost frame like any other


def test_slcan_a_monitor_sees_the_error_frames_themselves(slcan, bus):
    async def scenario():
        port = slcan.port()
        await port.open()
        slcan.says("sw096000", "t1232AABB")
        frames = await bus.read(port, 2)
        await port.close()
        return [address for address, _, _ in frames]

    first, second = asyncio.run(scenario())
    assert (first & CAN_ERROR, second) == (CAN_ERROR, 0x123)


def test_slcan_a_worse_state_is_warned_of_once_and_not_for_every_frame(slcan, bus, caplog):
    caplog.set_level(logging.INFO)

    async def scenario():
        port = slcan.port()
        port.listen_for(ANY)
        await port.open()
        for _ in range(30):
            slcan.says("sw096000", "sa000000")
        slcan.says("sp128000")
        await bus.read_all(port)
        await port.close()

    asyncio.run(scenario())
    assert lines_of(caplog) == [(logging.WARNING, "error-warning"), (logging.WARNING, "error-passive")]


def test_slcan_bus_off_refuses_writes_with_the_reason_and_the_next_step(slcan, bus):
    async def scenario():
        port = slcan.port()
        port.listen_for(ANY)
        await port.open()
        await port.write(b"\x01", 0x10)
        slcan.says("sb255000")
        await bus.until(lambda: port.health()["bus_state"] == "bus-off", port)
        with pytest.raises(PortTimeoutError, match=r"bus-off.*sudo ip link set slcan0 down"):
            await port.write(b"\x02", 0x10)
        health = port.health()
        await port.close()
        return health["bus_off_count"], health["write_timeouts"], slcan.heard()

    count, timeouts, heard = asyncio.run(scenario())
    assert (count, timeouts) == (1, {"bus-off": 1})
    assert b"t010101\r" in heard
    assert b"t010102\r" not in heard


def test_slcan_bus_off_from_before_the_port_was_opened_is_known(slcan, bus):
    async def scenario():
        first, second = slcan.port(), slcan.port()
        await first.open()
        slcan.says("sb255000")
        await bus.until(lambda: first.health()["bus_state"] == "bus-off", first)
        await first.close()
        await second.open()
        with pytest.raises(PortTimeoutError, match="bus-off"):
            await second.write(b"", 0x10)
        await second.close()

    asyncio.run(scenario())


def test_slcan_bus_off_ends_with_the_state_that_the_kernel_tells_next(slcan, bus, caplog):
    caplog.set_level(logging.INFO)

    async def scenario():
        port = slcan.port()
        port.listen_for(ANY)
        await port.open()
        slcan.says("sb255000")
        await bus.until(lambda: port.health()["bus_state"] == "bus-off", port)
        slcan.says("sa000000")
        await bus.until(lambda: port.health()["bus_state"] == "error-active", port)
        with pytest.raises(PortTimeoutError, match="drops what is sent"):  # this driver leaves the carrier off
            await port.write(b"", 0x10)
        await port.close()

    asyncio.run(scenario())
    assert lines_of(caplog)[0] == (logging.WARNING, "bus-off")


def test_slcan_bus_off_is_left_by_an_interface_that_is_set_up_again(slcan, bus):
    async def scenario():
        port = slcan.port()
        port.listen_for(ANY)
        await port.open()
        slcan.says("sb255000")
        await bus.until(lambda: port.health()["bus_state"] == "bus-off", port)
        slcan.set_up_again()
        with pytest.raises(PortLostError):
            await bus.read_all(port)
        await port.open()
        state = port.health()["bus_state"]
        slcan.heard()
        await port.write(b"\x05", 0x10)
        heard, until_s = b"", time.monotonic() + 10
        while b"t010105\r" not in heard and time.monotonic() < until_s:
            heard += slcan.heard()
            await asyncio.sleep(0.01)
        await port.close()
        return state, b"t010105\r" in heard

    assert asyncio.run(scenario()) == ("error-active", True)


def test_slcan_a_driver_that_cannot_restart_is_not_asked_to(slcan):
    interface = Interface(slcan.name)

    assert not interface.can_restart()
    with pytest.raises(OSError, match=r"busy|not supported"):  # safe in this state on every kernel: nothing is off
        interface.restart()


def test_slcan_an_adapter_that_is_pulled_is_a_lost_port_within_half_a_second(slcan):
    async def scenario():
        port = slcan.port()
        await port.open()

        async def read():
            with pytest.raises(PortLostError):
                await port.read()
            return time.monotonic()

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())
            await asyncio.sleep(0.05)
            slcan.unplug()
            unplugged_s = time.monotonic()
        with pytest.raises(PortNotFoundError):
            await port.open()
        return reading.result() - unplugged_s

    assert asyncio.run(scenario()) < 0.5


async def write_until_full(port):
    while True:
        await port.write(b"12345678", 0x10)


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [("t1230", "queue-full", "txqueuelen"), ("e1a", "no-ack", "nobody on the bus acknowledges")],
)
def test_slcan_a_queue_that_stays_full_says_why_and_takes_frames_again_later(slcan, bus, line, kind, text):
    async def scenario():
        port = slcan.port()
        port.listen_for(ANY)
        await port.open()

        async def read():
            while True:
                await port.read()

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())

            async def tell():
                while not reading.cancelled():
                    slcan.says(line)
                    await asyncio.sleep(0.2)

            telling = group.create_task(tell())
            with pytest.raises(PortTimeoutError, match=text):
                await write_until_full(port)
            reading.cancel()
            telling.cancel()
        counts = port.health()["write_timeouts"]
        with slcan.taking_all():
            await port.write(b"again", 0x10)
        await port.close()
        return counts

    assert asyncio.run(scenario()) == {kind: 1}
